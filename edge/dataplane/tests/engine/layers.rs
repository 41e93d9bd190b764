//! Which layer a player gets, and that its numbers go on whatever it gets.

use crate::media::PACKET;
use crate::net::{MS, S};
use crate::player::{IDS, Player, Taste};
use crate::rig::{Rig, STREAM};
use crate::studio::{Names, Script, Studio};
use dataplane::codec::{Codec, Inspector, Numbers};
use dataplane::engine::{Command, Event};
use dataplane::rtcp;
use dataplane::spec::Selection;
use dataplane::types::Ssrc;

/// About 0.26, 0.79 and 2.1 Mbit/s, the largest first, as OBS lists them.
fn three() -> Script {
    let layers = vec![(1280, 720, 8), (640, 352, 3), (320, 176, 1)];
    Script {
        layers,
        names: Names::Rid,
        ..Script::default()
    }
}

fn playing(script: Script, taste: Taste) -> (Rig, usize, usize) {
    let mut rig = Rig::new();
    let studio = Studio::join(&mut rig, 0, 1, script);
    rig.run(S);
    let player = Player::join(&mut rig, 0, taste);
    rig.run(S);
    (rig, studio, player)
}

fn set_tier(rig: &mut Rig, tier: u8) {
    rig.command(
        0,
        Command::SetTier {
            stream: Some(STREAM),
            tier,
        },
    );
}

fn layer(rig: &mut Rig, player: usize) -> Option<String> {
    let handle = rig.players[player].peer.handle;
    rig.session_stats(0, handle).and_then(|stats| stats.layer)
}

fn select(rig: &mut Rig, player: usize, selection: Selection) {
    let handle = rig.players[player].peer.handle;
    rig.command(0, Command::Select { handle, selection });
}

#[test]
fn layers_are_ranked_by_height_whatever_the_order_of_rids() {
    let (mut rig, _, _) = playing(three(), Taste::default());
    let snapshot = rig.stats(0);
    let ranks: Vec<_> = snapshot.streams[0]
        .layers
        .iter()
        .take(3)
        .map(|l| l.rank)
        .collect();
    assert_eq!(ranks, [2, 1, 0]);
    assert!(snapshot.streams[0].layers.iter().all(|layer| layer.active));
}

#[test]
fn each_tier_is_in_force_within_two_hundred_milliseconds() {
    let (mut rig, _, player) = playing(
        three(),
        Taste {
            transport_cc: false,
            ..Taste::default()
        },
    );
    assert_eq!(layer(&mut rig, player).as_deref(), Some("r0"));
    for (tier, rid) in [
        (1, "r1"),
        (2, "r2"),
        (0, "r0"),
        (3, "r2"),
        (1, "r1"),
        (4, "r2"),
        (0, "r0"),
    ] {
        rig.run(600 * MS); // requests for key frames are throttled per layer
        set_tier(&mut rig, tier);
        let taken = rig.run_until(200 * MS, |rig| layer(rig, player).as_deref() == Some(rid));
        assert!(taken <= 200 * MS);
    }
    rig.run(S);
    rig.players[player].frames();
    assert_eq!(&rig.players[player].heights()[..4], [720, 352, 176, 720]);
    let switched = rig
        .events
        .iter()
        .filter(|event| matches!(event, Event::LayerSwitched { .. }));
    assert_eq!(switched.count(), 8);
}

#[test]
fn a_tier_spares_sound() {
    let (mut rig, _, player) = playing(three(), Taste::default());
    set_tier(&mut rig, 4);
    let before = rig.players[player].audio.len();
    rig.run(2 * S);
    assert!(rig.players[player].audio.len() - before >= 99);
}

#[test]
fn tier_three_halves_the_frame_rate_by_frames_that_nothing_refers_to() {
    let (mut rig, _, player) = playing(
        Script {
            discardable: true,
            ..Script::default()
        },
        Taste::default(),
    );
    set_tier(&mut rig, 3);
    rig.run(200 * MS);
    let before = rig.players[player].frames().len();
    rig.run(2 * S);
    let sent = rig.players[player].frames().len() - before;
    assert!((28..=32).contains(&sent), "{sent}");
    assert!(rig.stats(0).streams[0].frames_dropped.tier >= 29);
    set_tier(&mut rig, 0);
    rig.run(2 * S);
    let restored = rig.players[player].frames().len() - before - sent;
    assert!(restored >= 58, "{restored}");
}

fn thinned(codec: Codec) -> (Rig, usize) {
    let script = Script {
        codec,
        temporal: 2,
        layers: vec![(640, 352, 2)],
        ..Script::default()
    };
    let (mut rig, _, player) = playing(
        script,
        Taste {
            codec,
            ..Taste::default()
        },
    );
    set_tier(&mut rig, 3);
    rig.run(2 * S);
    set_tier(&mut rig, 0);
    rig.run(S);
    (rig, player)
}

#[test]
fn tier_three_leaves_out_the_upper_temporal_layer_of_vp8_and_picture_ids_close_up() {
    let (rig, player) = thinned(Codec::Vp8);
    let frames = rig.players[player].frames();
    let mut inspector = Inspector::new(Codec::Vp8);
    let mut last = None;
    let (mut lower, mut upper) = (0, 0);
    for (_, _, packets) in &frames {
        let mut ids = packets.iter().map(|got| {
            let info = inspector.inspect(&got.payload, got.marker, got.timestamp, None);
            let Numbers::Vp8 {
                picture_id: Some((_, true, id)),
                ..
            } = info.numbers
            else {
                panic!("no picture id")
            };
            (id, info.temporal)
        });
        let (id, temporal) = ids.next().unwrap();
        assert!(ids.all(|other| other.0 == id));
        assert!(
            last.is_none_or(|last: u16| id == (last + 1) & 0x7fff),
            "{last:?} {id}"
        );
        last = Some(id);
        match temporal {
            0 => lower += 1,
            _ => upper += 1,
        }
    }
    assert!(lower > upper + 25, "{lower} {upper}");
}

#[test]
fn tier_three_leaves_out_the_upper_temporal_layer_of_vp9() {
    let (rig, player) = thinned(Codec::Vp9);
    let frames = rig.players[player].frames().len();
    assert!((112..=128).contains(&frames), "{frames}");
}

#[test]
fn tier_three_leaves_out_the_upper_temporal_layer_of_av1_and_descriptors_stay_whole() {
    let (rig, player) = thinned(Codec::Av1);
    let frames = rig.players[player].frames();
    assert!((112..=128).contains(&frames.len()), "{}", frames.len());
    let numbers: Vec<u16> = frames
        .iter()
        .map(|(_, _, packets)| {
            let descriptor = Player::element(&packets[0], IDS.dependency_descriptor);
            let descriptor = descriptor.expect("with every packet");
            u16::from_be_bytes([descriptor[1], descriptor[2]])
        })
        .collect();
    // References are told as differences of frame numbers: what is left out leaves a gap.
    assert!(
        numbers
            .windows(2)
            .all(|two| matches!(two[1].wrapping_sub(two[0]), 1 | 2))
    );
    let structure = Player::element(&frames[0].2[0], IDS.dependency_descriptor).unwrap();
    assert!(
        structure.len() > 3,
        "the key frame's structure is passed on"
    );
}

/// Numbers of the codec over a switch of layers whose own numbers have nothing in common.
fn switched(codec: Codec) -> Vec<u16> {
    let layers = vec![(320, 176, 1), (640, 352, 2)];
    let script = Script {
        codec,
        layers,
        names: Names::Rid,
        ..Script::default()
    };
    let taste = Taste {
        codec,
        transport_cc: false,
        ..Taste::default()
    };
    let mut rig = Rig::new();
    let studio = Studio::join(&mut rig, 0, 1, script);
    rig.studios[studio].video[1].skip(7_000);
    rig.run(S);
    let player = Player::join(&mut rig, 0, taste);
    for tier in [0, 2, 0, 2, 0] {
        set_tier(&mut rig, tier);
        rig.run(800 * MS);
    }
    let mut inspector = Inspector::new(codec);
    let mut numbers = Vec::new();
    for (_, _, packets) in rig.players[player].frames() {
        let got = &packets[0];
        let descriptor = Player::element(got, IDS.dependency_descriptor);
        let info = inspector.inspect(&got.payload, got.marker, got.timestamp, descriptor);
        numbers.extend(match info.numbers {
            Numbers::Vp8 { picture_id, .. } | Numbers::Vp9 { picture_id, .. } => {
                picture_id.map(|(_, _, id)| id)
            }
            Numbers::Dependency { frame_number } => Some(frame_number),
            Numbers::None => None,
        });
    }
    numbers
}

#[test]
fn picture_ids_and_frame_numbers_go_on_over_layer_switches() {
    for codec in [Codec::Vp8, Codec::Vp9, Codec::Av1] {
        let numbers = switched(codec);
        assert!(numbers.len() > 100, "{codec:?}");
        let close = numbers
            .windows(2)
            .all(|two| two[1].wrapping_sub(two[0]) & 0x7fff == 1);
        assert!(close, "{codec:?}: {numbers:?}");
    }
}

#[test]
fn a_player_chooses_its_layer_itself() {
    let (mut rig, _, player) = playing(
        three(),
        Taste {
            transport_cc: false,
            ..Taste::default()
        },
    );
    select(
        &mut rig,
        player,
        Selection {
            rid: Some("r1".into()),
            ..Selection::default()
        },
    );
    rig.run(300 * MS);
    assert_eq!(layer(&mut rig, player).as_deref(), Some("r1"));
    select(
        &mut rig,
        player,
        Selection {
            max_rank: Some(0),
            ..Selection::default()
        },
    );
    rig.run(300 * MS);
    assert_eq!(layer(&mut rig, player).as_deref(), Some("r2"));
    let before = rig.players[player].video.len();
    select(
        &mut rig,
        player,
        Selection {
            paused: true,
            ..Selection::default()
        },
    );
    rig.run(50 * MS);
    let paused = rig.players[player].video.len();
    rig.run(S);
    assert_eq!(rig.players[player].video.len(), paused);
    select(&mut rig, player, Selection::default());
    rig.run(S);
    assert!(rig.players[player].video.len() > before + 20);
    rig.players[player].frames();
}

#[test]
fn a_paused_player_has_nobody_asked_for_anything() {
    let (mut rig, studio, player) = playing(Script::default(), Taste::default());
    select(
        &mut rig,
        player,
        Selection {
            paused: true,
            ..Selection::default()
        },
    );
    // The cached key frame falls out of the ring.
    rig.run(24 * S);
    assert!(rig.studios[studio].plis.is_empty());
}

#[test]
fn the_first_layer_fits_the_start_of_the_estimate() {
    let mut rig = Rig::new();
    Studio::join(&mut rig, 0, 1, three());
    rig.run(2 * S);
    let player = Player::join(&mut rig, 0, Taste::default());
    rig.run(20 * MS);
    assert_eq!(layer(&mut rig, player).as_deref(), Some("r1"));
}

#[test]
fn transport_feedback_moves_the_layer_down_and_up_again() {
    let (mut rig, _, player) = playing(
        three(),
        Taste {
            nack: true,
            ..Taste::default()
        },
    );
    let link = &mut rig.players[player].peer;
    (link.up.delay_us, link.down.delay_us) = (20 * MS, 20 * MS);
    link.down.rate_bps = Some(4e6);
    let up = rig.run_until(15 * S, |rig| layer(rig, player).as_deref() == Some("r0"));
    assert!(up > 0);
    rig.run(3 * S);
    rig.players[player].peer.down.rate_bps = Some(1.2e6);
    rig.run_until(2 * S, |rig| layer(rig, player).as_deref() != Some("r0"));
    rig.run(3 * S);
    rig.players[player].peer.down.rate_bps = Some(4e6);
    let repairs = rig.players[player].repairs.len();
    rig.run_until(15 * S, |rig| layer(rig, player).as_deref() == Some("r0"));
    assert!(
        rig.players[player].repairs.len() > repairs,
        "probes are old packets on the RTX stream"
    );
}

#[test]
fn remb_moves_the_layer_where_there_is_no_transport_feedback() {
    let (mut rig, _, player) = playing(
        three(),
        Taste {
            transport_cc: false,
            ..Taste::default()
        },
    );
    for (bitrate, rid) in [(500_000, "r2"), (1_500_000, "r1"), (5_000_000, "r0")] {
        let (mut out, now) = (Vec::new(), rig.now);
        let media = Ssrc(rig.players[player].video_ssrc());
        rtcp::write_remb(&mut out, Ssrc(1), bitrate, &[media]);
        rig.players[player].say(out, now);
        rig.run(800 * MS);
        assert_eq!(layer(&mut rig, player).as_deref(), Some(rid), "{bitrate}");
    }
    rig.players[player].frames();
}

#[test]
fn loss_in_receiver_reports_moves_the_layer_where_there_is_nothing_else() {
    let taste = Taste {
        transport_cc: false,
        feedback: false,
        ..Taste::default()
    };
    let (mut rig, _, player) = playing(three(), taste);
    assert_eq!(layer(&mut rig, player).as_deref(), Some("r0"));
    rig.players[player].told_loss = 70;
    rig.run(8 * S);
    assert_ne!(layer(&mut rig, player).as_deref(), Some("r0"));
    rig.players[player].told_loss = 0;
    rig.run_until(60 * S, |rig| layer(rig, player).as_deref() == Some("r0"));
}

#[test]
fn the_way_down_waits_for_no_deaf_studio() {
    let script = Script {
        listens: false,
        key_every: 90,
        ..three()
    };
    let (mut rig, studio, player) = playing(
        script,
        Taste {
            transport_cc: false,
            ..Taste::default()
        },
    );
    for _ in 0..30 {
        let now = rig.now;
        rig.players[player].pli(now);
        rig.run(100 * MS);
    }
    assert!(rig.studios[studio].plis.len() >= 3);
    rig.run_until(4 * S, |rig| layer(rig, player).as_deref() == Some("r0"));
    rig.run(500 * MS);
    set_tier(&mut rig, 2);
    rig.run_until(200 * MS, |rig| layer(rig, player).as_deref() == Some("r2"));
    rig.run(S);
    rig.players[player].frames();
}

#[test]
fn a_layer_that_stops_is_left_for_another() {
    let (mut rig, studio, player) = playing(
        three(),
        Taste {
            transport_cc: false,
            ..Taste::default()
        },
    );
    rig.studios[studio].video[0].muted = true;
    rig.run(3 * S);
    assert_eq!(layer(&mut rig, player).as_deref(), Some("r1"));
    let recent = rig.now - S;
    let got = rig.players[player]
        .video
        .iter()
        .filter(|got| got.at > recent)
        .count();
    assert!(got * PACKET > 50_000);
    rig.studios[studio].video[0].muted = false;
    rig.run(2 * S);
    assert_eq!(layer(&mut rig, player).as_deref(), Some("r0"));
    rig.players[player].frames();
}
