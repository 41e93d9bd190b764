//! One publication after another, on one worker and on two.

use crate::net::{MS, S};
use crate::player::{Player, Taste};
use crate::rig::{Rig, config};
use crate::studio::{Names, Script, Studio};
use dataplane::engine::Command;

/// Times of picture and sound go on by about what has passed, whatever the studios counted.
fn continuous(rig: &Rig, player: usize) {
    let player = &rig.players[player];
    let frames = player.frames();
    for two in frames.windows(2) {
        let told = i64::from(two[1].0.wrapping_sub(two[0].0)) / 90;
        let passed = (two[1].2[0].at - two[0].2[0].at) as i64 / 1_000;
        assert!(told > 0 || passed == 0);
        assert!(
            (told - passed).abs() < 150,
            "told {told} ms, passed {passed} ms"
        );
    }
    for two in player.audio.windows(2) {
        assert_eq!(two[1].number as u16, (two[0].number as u16).wrapping_add(1));
        let told = i64::from(two[1].timestamp.wrapping_sub(two[0].timestamp) as i32) / 48;
        let passed = (two[1].at - two[0].at) as i64 / 1_000;
        assert!(told > 0, "sound goes back by {told} ms");
        assert!(
            (told - passed).abs() < 150,
            "told {told} ms, passed {passed} ms"
        );
    }
}

#[test]
fn a_take_over_on_the_same_worker_goes_on() {
    let mut rig = Rig::new();
    let first = Studio::join(&mut rig, 0, 1, Script::default());
    let player = Player::join(&mut rig, 0, Taste::default());
    rig.run(2 * S);
    let before = rig.players[player].video.len();
    let script = Script {
        base: 60_000,
        names: Names::Rid,
        ..Script::default()
    };
    Studio::join(&mut rig, 0, 2, script);
    let waited = rig.run_until(S, |rig| rig.players[player].video.len() > before + 3);
    assert!(waited < 50 * MS, "{waited}");
    rig.run(2 * S);
    continuous(&rig, player);
    assert!(rig.players[player].frames().len() > 115);
    assert_eq!(rig.players[player].heights().len(), 2);
    assert!(
        rig.drops("unknown_track") > 0,
        "the first studio is silenced"
    );
    rig.studios[first].sending = false;
}

#[test]
fn a_take_over_on_another_worker_goes_on() {
    let mut rig = Rig::with(config(), 2);
    Studio::join(&mut rig, 0, 1, Script::default());
    let here = Player::join(&mut rig, 0, Taste::default());
    let there = Player::join(&mut rig, 1, Taste::default());
    rig.run(2 * S);
    Studio::join(
        &mut rig,
        1,
        2,
        Script {
            base: 60_000,
            ..Script::default()
        },
    );
    rig.run(2 * S);
    for player in [here, there] {
        continuous(&rig, player);
        assert!(rig.players[player].frames().len() > 115);
    }
    assert!(!rig.stats(0).streams[0].home && rig.stats(1).streams[0].home);
}

#[test]
fn a_studio_that_returns_after_a_pause_goes_on_with_the_pause_in_time() {
    let mut rig = Rig::new();
    let first = Studio::join(&mut rig, 0, 1, Script::default());
    let player = Player::join(&mut rig, 0, Taste::default());
    rig.run(2 * S);
    let handle = rig.studios[first].peer.handle;
    rig.command(0, Command::Remove { handle });
    rig.studios.clear();
    rig.run(5 * S);
    Studio::join(
        &mut rig,
        0,
        2,
        Script {
            base: 33,
            ..Script::default()
        },
    );
    rig.run(2 * S);
    continuous(&rig, player);
    assert!(rig.players[player].frames().len() > 110);
}

#[test]
fn a_publication_that_was_taken_over_before_it_began_stays_out() {
    let mut rig = Rig::new();
    Studio::join(&mut rig, 0, 5, Script::default());
    let player = Player::join(&mut rig, 0, Taste::default());
    rig.run(S);
    Studio::join(
        &mut rig,
        0,
        4,
        Script {
            base: 9_000,
            ..Script::default()
        },
    );
    rig.run(S);
    assert!(rig.players[player].frames().len() > 55);
    assert_eq!(rig.players[player].heights().len(), 1);
}

#[test]
fn a_player_on_another_worker_that_needs_a_key_frame_reaches_the_studio() {
    let mut rig = Rig::with(config(), 3);
    let studio = Studio::join(&mut rig, 0, 1, Script::default());
    let player = Player::join(&mut rig, 2, Taste::default());
    rig.run(S);
    let now = rig.now;
    rig.players[player].pli(now);
    rig.run(S);
    assert_eq!(rig.studios[studio].plis.len(), 1);
    rig.players[player].frames();
}

#[test]
fn wishes_for_a_stream_without_a_home_do_not_go_round() {
    let mut rig = Rig::with(config(), 3);
    let studio = Studio::join(&mut rig, 0, 1, Script::default());
    let player = Player::join(&mut rig, 2, Taste::default());
    rig.run(S);
    let handle = rig.studios[studio].peer.handle;
    rig.command(0, Command::Remove { handle });
    rig.studios.clear();
    let now = rig.now;
    rig.players[player].pli(now);
    rig.run(100 * MS);
    let mut messages = 0;
    for _ in 0..50 {
        rig.now += MS;
        for worker in 0..3 {
            rig.flush(worker);
            for message in rig.engines[worker].take_bus() {
                messages += 1;
                for to in (0..3).filter(|to| *to != worker) {
                    rig.engines[to].handle_bus(message.clone(), rig.now);
                }
            }
        }
    }
    assert!(messages < 5, "{messages}");
}

#[test]
fn a_worker_that_missed_the_opening_is_told_again() {
    let mut rig = Rig::with(config(), 2);
    Studio::join(&mut rig, 0, 1, Script::default());
    let lost = rig.engines[0].take_bus();
    assert!(!lost.is_empty());
    let player = Player::join(&mut rig, 1, Taste::default());
    rig.run(4 * S);
    assert!(rig.players[player].frames().len() > 50);
}
