//! What a studio sends, how it is told apart, and what the studio hears.

use crate::net::{MS, S};
use crate::player::{Player, Taste};
use crate::rig::{Rig, STREAM};
use crate::studio::{Names, Script, Studio};
use dataplane::engine::{Command, Event};

/// A rig with a studio and a player that has watched for a second.
fn playing(script: Script) -> (Rig, usize, usize) {
    let mut rig = Rig::new();
    let studio = Studio::join(&mut rig, 0, 1, script);
    let player = Player::join(&mut rig, 0, Taste::default());
    rig.run(S);
    (rig, studio, player)
}

#[test]
fn sources_are_found_by_announced_ssrc_and_fid() {
    let layers = vec![(640, 352, 1), (1280, 720, 3)];
    let (mut rig, studio, _) = playing(Script {
        layers,
        ..Script::default()
    });
    let lost = rig.studios[studio].video[0].sequence + 1;
    rig.studios[studio].lose = vec![lost];
    rig.run(S);
    assert_eq!(
        rig.stats(0).worker.packets_lost,
        0,
        "repaired by RTX of the FID group"
    );
    let heights: Vec<_> = rig.stats(0).streams[0]
        .layers
        .iter()
        .map(|l| l.height)
        .collect();
    assert_eq!(heights, [352, 720, 0]);
    assert_eq!(rig.drops("unknown_track"), 0);
}

#[test]
fn sources_are_found_by_rid_and_repaired_rid() {
    let layers = vec![(1280, 720, 3), (320, 176, 1)];
    let script = Script {
        layers,
        names: Names::Rid,
        ..Script::default()
    };
    let (mut rig, studio, _) = playing(script);
    rig.studios[studio].lose = vec![rig.studios[studio].video[0].sequence + 1];
    rig.run(S);
    let snapshot = rig.stats(0);
    let layers = &snapshot.streams[0].layers;
    let named: Vec<_> = layers.iter().map(|l| (l.rid.as_str(), l.height)).collect();
    assert_eq!(named, [("r0", 720), ("r1", 176), ("", 0)]);
    assert_eq!(
        (snapshot.worker.packets_lost, snapshot.worker.nacks_sent),
        (0, 1)
    );
    assert_eq!(rig.drops("unknown_track"), 0);
}

#[test]
fn a_studio_without_extensions_is_found_by_payload_type() {
    let script = Script {
        names: Names::PayloadType,
        rtx: false,
        ..Script::default()
    };
    let (mut rig, studio, player) = playing(script);
    rig.studios[studio].lose = vec![rig.studios[studio].video[0].sequence + 1];
    rig.run(S);
    assert_eq!(rig.drops("unknown_track"), 0);
    assert!(rig.players[player].frames().len() > 55);
    assert_eq!(
        rig.stats(0).worker.packets_lost,
        0,
        "repaired on the same SSRC"
    );
}

#[test]
fn an_encoder_that_restarts_with_another_ssrc_goes_on_and_stragglers_do_not_disturb() {
    let script = Script {
        names: Names::PayloadType,
        rtx: false,
        ..Script::default()
    };
    let (mut rig, studio, player) = playing(script);
    let old = rig.studios[studio].video[0].ssrc;
    rig.studios[studio].restart_encoder(50_000);
    rig.run(S);
    rig.studios[studio].video[0].ssrc = old;
    let sequence = rig.studios[studio].video[0].sequence;
    rig.run(40 * MS);
    assert!(rig.drops("unknown_track") > 0);
    rig.studios[studio].video[0].ssrc = 50_100;
    rig.studios[studio].video[0].sequence = sequence;
    rig.run(S);
    let frames = rig.players[player].frames();
    assert!(frames.len() > 80, "{}", frames.len());
    let spans: Vec<u32> = frames
        .windows(2)
        .map(|two| two[1].0.wrapping_sub(two[0].0))
        .collect();
    assert!(spans.iter().all(|span| *span < 20_000), "{spans:?}");
    let sound = &rig.players[player].audio;
    let gaps = sound
        .windows(2)
        .filter(|two| two[1].number as u16 != (two[0].number as u16).wrapping_add(1));
    assert_eq!(gaps.count(), 0);
}

#[test]
fn what_is_missing_is_asked_for_soon_and_again_and_then_given_up() {
    let (mut rig, studio, _) = playing(Script::default());
    let lost = rig.studios[studio].video[0].sequence + 1;
    rig.studios[studio].lose = vec![lost];
    rig.studios[studio].repairs = false;
    let start = rig.now;
    rig.run(2 * S);
    let times: Vec<u64> = rig.studios[studio]
        .nacks
        .iter()
        .map(|nack| nack.0 - start)
        .collect();
    assert!(
        rig.studios[studio]
            .nacks
            .iter()
            .all(|nack| nack.2 == [lost as u16])
    );
    assert!((5 * MS..60 * MS).contains(&times[0]), "{times:?}");
    assert!((8..=10).contains(&times.len()), "{times:?}");
    assert!(
        times.windows(2).all(|two| two[1] - two[0] >= 70 * MS),
        "{times:?}"
    );
    let snapshot = rig.stats(0);
    assert_eq!(snapshot.worker.packets_lost, 1);
    assert_eq!(snapshot.streams[0].frames_dropped.ingest, 1);
    assert_eq!(
        rig.studios[studio].plis.len(),
        1,
        "the picture is broken for good"
    );
}

#[test]
fn a_loss_that_is_repaired_drops_no_frame() {
    let (mut rig, studio, player) = playing(Script::default());
    let next = rig.studios[studio].video[0].sequence;
    rig.studios[studio].lose = (next..next + 300).step_by(17).collect();
    rig.run(5 * S);
    let snapshot = rig.stats(0);
    assert_eq!(snapshot.streams[0].frames_dropped.ingest, 0);
    assert!(snapshot.worker.nacks_sent >= 17);
    assert!(rig.players[player].frames().len() > 170);
    assert!(rig.studios[studio].plis.is_empty());
}

#[test]
fn fifty_players_in_need_make_one_request() {
    let mut rig = Rig::new();
    let studio = Studio::join(&mut rig, 0, 1, Script::default());
    let players: Vec<_> = (0..50)
        .map(|_| Player::join(&mut rig, 0, Taste::default()))
        .collect();
    rig.run(S);
    for player in &players {
        let now = rig.now;
        rig.players[*player].pli(now);
        rig.step();
    }
    rig.run(400 * MS);
    assert_eq!(rig.studios[studio].plis.len(), 1);
    assert_eq!(rig.stats(0).worker.keyframe_requests_received, 50);
    // One that comes too early after the last is not forgotten.
    let now = rig.now;
    rig.players[0].pli(now);
    rig.run(10 * MS);
    rig.players[0].pli(now);
    rig.run(S);
    let times: Vec<_> = rig.studios[studio].plis.iter().map(|pli| pli.0).collect();
    assert_eq!(times.len(), 2, "{times:?}");
    assert!(times[1] - times[0] >= 500 * MS, "{times:?}");
}

#[test]
fn a_deaf_studio_is_asked_ever_less_often() {
    let (mut rig, studio, player) = playing(Script {
        listens: false,
        ..Script::default()
    });
    for _ in 0..300 {
        let now = rig.now;
        rig.players[player].pli(now);
        rig.run(100 * MS);
    }
    let times: Vec<_> = rig.studios[studio].plis.iter().map(|pli| pli.0).collect();
    let pauses: Vec<_> = times.windows(2).map(|two| (two[1] - two[0]) / MS).collect();
    assert!(pauses[0] >= 490 && pauses[0] <= 620, "{pauses:?}");
    assert!(pauses.iter().any(|pause| *pause >= 7_900), "{pauses:?}");
    assert!(times.len() <= 10, "{pauses:?}");
}

#[test]
fn players_of_a_deaf_studio_begin_again_from_the_cached_key_frame() {
    let script = Script {
        listens: false,
        key_every: 60,
        ..Script::default()
    };
    let mut rig = Rig::with(crate::rig::config(), 2);
    Studio::join(&mut rig, 0, 1, script);
    let near = Player::join(&mut rig, 0, Taste::default());
    let far = Player::join(&mut rig, 1, Taste::default());
    rig.run(S);
    for _ in 0..80 {
        for player in [near, far] {
            let now = rig.now;
            rig.players[player].pli(now);
        }
        rig.run(100 * MS);
    }
    for player in [near, far] {
        let keys = rig.players[player].heights().len();
        rig.players[player].frames();
        // Five of its own in nine seconds, and about one more a second on request.
        assert!((8..=14).contains(&keys), "{keys}");
    }
}

#[test]
fn a_studio_that_knows_fir_alone_is_asked_by_fir() {
    let (mut rig, studio, player) = playing(Script {
        pli: false,
        fir: true,
        ..Script::default()
    });
    for _ in 0..2 {
        let now = rig.now;
        rig.players[player].pli(now);
        rig.run(S);
    }
    let numbers: Vec<_> = rig.studios[studio].firs.iter().map(|fir| fir.2).collect();
    assert_eq!(numbers, [1, 2], "each a new command");
    assert!(rig.studios[studio].plis.is_empty());
}

#[test]
fn receiver_reports_tell_loss_and_delay() {
    let (mut rig, studio, _) = playing(Script {
        nack: false,
        ..Script::default()
    });
    let next = rig.studios[studio].video[0].sequence;
    rig.studios[studio].lose = (next..next + 270).step_by(10).collect();
    rig.run(4 * S);
    let ssrc = rig.studios[studio].video[0].ssrc;
    let reports: Vec<_> = rig.studios[studio]
        .reports
        .iter()
        .filter(|r| r.1.ssrc.0 == ssrc)
        .collect();
    assert!(reports.len() >= 4);
    assert!(
        reports
            .iter()
            .any(|r| (15..=40).contains(&r.1.fraction_lost)),
        "{reports:?}"
    );
    let last = &reports.last().unwrap().1;
    assert_eq!(last.lost, 27);
    assert!(last.last_sr != 0 && last.delay_since_sr < 65_536);
}

#[test]
fn transport_feedback_names_every_packet_and_the_lost_ones() {
    let (mut rig, studio, _) = playing(Script::default());
    let next = rig.studios[studio].video[0].sequence;
    rig.studios[studio].lose = vec![next + 4];
    rig.studios[studio].repairs = false;
    rig.studios[studio].feedback.clear();
    rig.run(S);
    let (mut received, mut lost) = (0, 0);
    for fci in &rig.studios[studio].feedback {
        let feedback = dataplane::congestion::parse(fci).expect("well formed");
        for (_, arrival) in feedback.iter() {
            match arrival {
                Some(_) => received += 1,
                None => lost += 1,
            }
        }
    }
    assert!(received >= 120, "{received}");
    assert_eq!(lost, 1);
    assert!((10..=25).contains(&rig.studios[studio].feedback.len()));
}

#[test]
fn feedback_about_heavy_loss_fits_datagrams() {
    let script = Script {
        layers: vec![(1280, 720, 60)],
        ..Script::default()
    };
    let (mut rig, studio, _) = playing(script);
    let next = rig.studios[studio].video[0].sequence;
    // Holes so far apart that every one takes an entry of its own.
    rig.studios[studio].lose = (next..next + 2_000).step_by(3).collect();
    rig.studios[studio].repairs = false;
    rig.studios[studio].raw.clear();
    rig.run(2 * S);
    let longest = rig.studios[studio].raw.iter().map(Vec::len).max().unwrap();
    assert!(longest <= 1_280, "{longest}");
    let asked: usize = rig.studios[studio]
        .nacks
        .iter()
        .map(|nack| nack.2.len())
        .sum();
    assert!(asked > 600, "{asked}");
}

#[test]
fn publishing_and_idle_are_told_and_layers_when_they_change() {
    let (mut rig, studio, _) = playing(Script::default());
    let handle = rig.studios[studio].peer.handle;
    let publishing = |event: &&Event| matches!(event, Event::Publishing { stream: STREAM, handle: h } if *h == handle);
    assert_eq!(rig.events.iter().filter(publishing).count(), 1);
    rig.run(5 * S);
    let layers = rig
        .events
        .iter()
        .filter(|event| matches!(event, Event::Layers { .. }))
        .count();
    assert!((1..=4).contains(&layers), "{layers}");
    rig.studios[studio].sending = false;
    rig.studios[studio].script.reports = false;
    rig.run(3 * S);
    let idle =
        |event: &Event| matches!(event, Event::Idle { stream: STREAM, handle: h } if *h == handle);
    assert_eq!(rig.events.iter().filter(|event| idle(event)).count(), 1);
    rig.studios[studio].sending = true;
    rig.run(S);
    assert_eq!(rig.events.iter().filter(publishing).count(), 2);
}

#[test]
fn a_key_frame_can_be_asked_for_by_command() {
    let (mut rig, studio, _) = playing(Script::default());
    rig.command(0, Command::RequestKeyframe { stream: STREAM });
    rig.run(100 * MS);
    assert_eq!(rig.studios[studio].plis.len(), 1);
}
