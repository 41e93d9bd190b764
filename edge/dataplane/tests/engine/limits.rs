//! What must not grow, not stall and not spin.

use crate::net::{MS, S};
use crate::player::{Player, Taste};
use crate::rig::{Rig, STREAM, config};
use crate::studio::{Script, Studio};
use dataplane::engine::Command;
use dataplane::transmit::Batch;

/// A stream of 8 Mbit/s, which a player of a low estimate is not given.
fn heavy() -> Script {
    Script {
        layers: vec![(1280, 720, 30)],
        key_every: 60,
        ..Script::default()
    }
}

#[test]
fn a_slow_player_loses_frames_gets_a_key_frame_later_and_disturbs_nobody() {
    let mut rig = Rig::new();
    let studio = Studio::join(&mut rig, 0, 1, heavy());
    let fast = Player::join(&mut rig, 0, Taste::default());
    let slow = Player::join(
        &mut rig,
        0,
        Taste {
            nack: false,
            ..Taste::default()
        },
    );
    rig.players[slow].peer.down.rate_bps = Some(500e3);
    rig.run(12 * S);
    let dropped = rig.stats(0).streams[0].frames_dropped.congestion;
    assert!(dropped > 30, "{dropped}");
    assert!(rig.players[fast].frames().len() > 355);
    assert!(
        rig.studios[studio].plis.is_empty(),
        "others do not pay with key frames"
    );
    // What it is sent is the present: no packet waited much longer than the limit.
    rig.players[slow].peer.down.rate_bps = None;
    rig.run(8 * S);
    let newest = |rig: &Rig, player: usize| rig.players[player].video.last().unwrap().at;
    assert!(newest(&rig, fast) - newest(&rig, slow) < 50 * MS);
    let before = rig.players[slow].video.len();
    rig.run(2 * S);
    assert!(rig.players[slow].video.len() > before + 1_700);
}

#[test]
fn a_slow_player_that_joins_stays_near_the_present() {
    let mut rig = Rig::new();
    Studio::join(&mut rig, 0, 1, heavy());
    rig.run(4 * S - 100 * MS);
    let slow = Player::join(&mut rig, 0, Taste::default());
    rig.players[slow].peer.down.rate_bps = Some(2e6);
    rig.run(10 * S);
    // Key frames come every two seconds: it never has more than that and the limit to send.
    let handle = rig.players[slow].peer.handle;
    assert!(rig.session_stats(0, handle).unwrap().estimate_bps.unwrap() < 4_000_000);
    let dropped = rig.stats(0).streams[0].frames_dropped.congestion;
    assert!(dropped > 30, "{dropped}");
}

#[test]
fn a_session_that_ends_in_the_middle_of_a_fan_out_disturbs_nobody() {
    let mut rig = Rig::new();
    rig.batch = Batch::with_capacity(0);
    Studio::join(&mut rig, 0, 1, Script::default());
    for _ in 0..6 {
        Player::join(&mut rig, 0, Taste::default());
    }
    rig.run(S);
    for leaving in [0usize, 4] {
        // Find the middle of a fan-out: a batch was filled and there is more.
        'search: loop {
            rig.now += MS;
            let now = rig.now;
            rig.studios[0].step(now);
            for datagram in rig.studios[0].peer.up.due(now) {
                let path = rig.studios[0].peer.path;
                rig.input(0, path, datagram);
            }
            for polls in 0..1_000 {
                let more = rig.poll_once(0);
                if more && polls == 8 {
                    break 'search;
                }
                if !more {
                    break;
                }
            }
        }
        let handle = rig.players[leaving].peer.handle;
        rig.command(0, Command::Remove { handle });
        rig.players.remove(leaving);
        rig.run(500 * MS);
    }
    for player in &rig.players {
        assert!(player.frames().len() > 55);
    }
    // The publisher may go in the middle as well.
    let handle = rig.studios[0].peer.handle;
    rig.command(0, Command::Remove { handle });
    rig.studios.clear();
    rig.run(S);
}

#[test]
fn a_stream_that_is_removed_under_its_players_leaves_an_idle_engine() {
    let mut rig = Rig::new();
    Studio::join(&mut rig, 0, 1, Script::default());
    let player = Player::join(&mut rig, 0, Taste::default());
    rig.run(S);
    rig.command(0, Command::RemoveStream { stream: STREAM });
    rig.run(S);
    let before = rig.players[player].video.len();
    rig.run(S);
    assert_eq!(rig.players[player].video.len(), before);
    assert_eq!(rig.engines[0].occupancy()[4], 0);
}

#[test]
fn an_engine_without_sessions_wants_no_wake_up() {
    let mut rig = Rig::with(config(), 1);
    assert_eq!(rig.engines[0].deadline(), None);
    let peer = rig.connect(0);
    rig.settle();
    assert!(rig.engines[0].deadline().is_some());
    let handle = peer.handle;
    rig.command(0, Command::Remove { handle });
    rig.settle();
    assert_eq!(rig.engines[0].deadline(), None);
}

#[test]
fn a_role_is_left_when_another_is_taken() {
    let mut rig = Rig::new();
    Studio::join(&mut rig, 0, 1, Script::default());
    let player = Player::join(&mut rig, 0, Taste::default());
    rig.run(S);
    let handle = rig.players[player].peer.handle;
    let spec = Player::spec(handle, &Taste::default());
    rig.command(
        0,
        Command::AddSubscriber {
            handle,
            stream: 99,
            spec,
        },
    );
    rig.run(S);
    let streams = rig.stats(0).streams;
    let watched = |number| {
        streams
            .iter()
            .find(|s| s.stream == number)
            .unwrap()
            .subscribers
    };
    assert_eq!((watched(STREAM), watched(99)), (0, 1));
}
