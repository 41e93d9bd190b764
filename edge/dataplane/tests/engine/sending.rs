//! What packets carry on their way out, and how they are put together.

use crate::net::{MS, S};
use crate::player::{AUDIO_PT, IDS, Player, RED_PT, Taste};
use crate::rig::{NTP_EPOCH, Rig};
use crate::studio::{Script, Studio};
use dataplane::engine::Command;
use dataplane::transmit::{Batch, Tos};

fn playing(script: Script, taste: Taste) -> (Rig, usize, usize) {
    let mut rig = Rig::new();
    let studio = Studio::join(&mut rig, 0, 1, script);
    let player = Player::join(&mut rig, 0, taste);
    rig.run(2 * S);
    (rig, studio, player)
}

#[test]
fn the_capture_time_of_a_studio_is_passed_on_and_none_is_made() {
    let script = Script {
        capture_time: true,
        ..Script::default()
    };
    let (rig, _, player) = playing(script, Taste::default());
    let mut count = 0;
    for got in &rig.players[player].video {
        if let Some(time) = Player::element(got, IDS.abs_capture_time) {
            count += 1;
            assert_eq!(time.len(), 8, "as the studio sent it");
            let seconds = u32::from_be_bytes([time[0], time[1], time[2], time[3]]);
            assert_eq!(u64::from(seconds), got.at / S + 3_000_000_000);
        }
    }
    assert!(count >= 58, "{count}");
}

#[test]
fn capture_time_is_made_of_sender_reports_where_the_studio_sends_none() {
    let mut rig = Rig::new();
    let studio = Studio::join(&mut rig, 0, 1, Script::default());
    let player = Player::join(&mut rig, 0, Taste::default());
    rig.studios[studio].peer.up.delay_us = 20 * MS;
    rig.run(5 * S);
    let mut count = 0;
    for got in &rig.players[player].video {
        if let Some(time) = Player::element(got, IDS.abs_capture_time) {
            count += 1;
            let time = u64::from_be_bytes(*time.first_chunk().unwrap());
            let micros = (time - NTP_EPOCH) as f64 / 4_294.967_296;
            let late = got.at as f64 - micros;
            // The way from the studio cannot be told from a difference of clocks.
            assert!((-5_000.0..40_000.0).contains(&late), "{late}");
        }
    }
    assert!((3..=6).contains(&count), "about once a second: {count}");
}

#[test]
fn mid_playout_delay_audio_level_and_send_time_are_written() {
    let (rig, _, player) = playing(Script::default(), Taste::default());
    let player = &rig.players[player];
    for got in &player.video {
        assert_eq!(Player::element(got, IDS.mid), Some(&b"v"[..]));
        assert!(Player::element(got, IDS.transport_cc).is_some());
        let time = Player::element(got, IDS.abs_send_time).unwrap();
        let ticks = u32::from_be_bytes([0, time[0], time[1], time[2]]);
        assert_eq!(u64::from(ticks), ((got.at << 18) / S) & 0xff_ffff);
    }
    let key = &player.frames()[0].2[0];
    assert_eq!(
        Player::element(key, IDS.playout_delay),
        Some(&[0x00, 0xa0, 0x28][..])
    );
    for got in &player.audio {
        assert_eq!(Player::element(got, IDS.mid), Some(&b"a"[..]));
        assert_eq!(Player::element(got, IDS.audio_level), Some(&[0x85][..]));
    }
}

#[test]
fn transport_wide_numbers_are_one_sequence_over_sound_and_picture() {
    let (rig, _, player) = playing(Script::default(), Taste::default());
    let player = &rig.players[player];
    let all = player.video.iter().chain(&player.audio);
    let mut numbers: Vec<_> = all
        .map(|got| {
            let number = Player::element(got, IDS.transport_cc).unwrap();
            u16::from_be_bytes([number[0], number[1]])
        })
        .collect();
    numbers.sort_unstable();
    assert!(numbers.windows(2).all(|two| two[1] == two[0] + 1));
}

#[test]
fn redundancy_is_passed_through_where_negotiated_and_unwrapped_elsewhere() {
    let mut rig = Rig::new();
    Studio::join(
        &mut rig,
        0,
        1,
        Script {
            red: true,
            ..Script::default()
        },
    );
    let with = Player::join(
        &mut rig,
        0,
        Taste {
            red: true,
            ..Taste::default()
        },
    );
    let without = Player::join(&mut rig, 0, Taste::default());
    rig.run(S);
    for got in &rig.players[with].audio {
        assert_eq!(got.payload_type, RED_PT);
        assert_eq!(
            got.payload[..8],
            [0x80 | AUDIO_PT, 0x0f, 0, 2, AUDIO_PT, 1, 2, 0xfc]
        );
    }
    for got in &rig.players[without].audio {
        assert_eq!((got.payload_type, got.payload[0]), (AUDIO_PT, 0xfc));
        assert_eq!(got.payload.len(), 2);
    }
    assert!(rig.players[with].audio.len() > 45 && rig.players[without].audio.len() > 45);
}

#[test]
fn silence_is_a_gap_in_time_and_none_in_numbers() {
    let (mut rig, studio, player) = playing(Script::default(), Taste::default());
    rig.studios[studio].silence = Some(110..150);
    rig.run(2 * S);
    let sound = &rig.players[player].audio;
    let spans: Vec<_> = sound
        .windows(2)
        .map(|two| {
            assert_eq!(two[1].number as u16, (two[0].number as u16).wrapping_add(1));
            two[1].timestamp.wrapping_sub(two[0].timestamp)
        })
        .collect();
    assert_eq!(spans.iter().filter(|span| **span == 41 * 960).count(), 1);
    assert!(spans.iter().all(|span| *span == 960 || *span == 41 * 960));
}

#[test]
fn sound_and_picture_have_their_traffic_classes() {
    let (rig, _, player) = playing(Script::default(), Taste::default());
    let path = rig.players[player].peer.path;
    let count = |tos| {
        rig.classes
            .iter()
            .filter(|class| **class == (path, tos))
            .count()
    };
    assert!(count(Tos::Audio) >= 95 && count(Tos::Video) >= 180);
    assert_eq!(count(Tos::Default), 1, "the answer to STUN");
}

#[test]
fn nobody_is_always_last() {
    let mut rig = Rig::new();
    Studio::join(
        &mut rig,
        0,
        1,
        Script {
            audio: false,
            ..Script::default()
        },
    );
    for _ in 0..4 {
        Player::join(
            &mut rig,
            0,
            Taste {
                audio: false,
                ..Taste::default()
            },
        );
    }
    rig.run(S);
    let mut firsts = Vec::new();
    for _ in 0..400 {
        rig.order.clear();
        rig.step();
        if rig.order.len() >= 12 {
            firsts.push(rig.order[0]);
        }
    }
    for player in &rig.players {
        let times = firsts
            .iter()
            .filter(|path| **path == player.peer.path)
            .count();
        assert!(times * 8 >= firsts.len(), "{times} of {}", firsts.len());
    }
}

#[test]
fn nothing_is_lost_when_every_batch_holds_one_datagram() {
    let script = Script {
        transport_cc: true,
        ..Script::default()
    };
    let mut rig = Rig::new();
    rig.batch = Batch::with_capacity(0);
    let studio = Studio::join(&mut rig, 0, 1, script);
    let nack = Taste {
        nack: true,
        ..Taste::default()
    };
    let plain = Taste {
        rtx: false,
        nack: true,
        ..Taste::default()
    };
    let players = [
        Player::join(&mut rig, 0, Taste::default()),
        Player::join(&mut rig, 0, nack),
        Player::join(&mut rig, 0, plain),
    ];
    rig.run(S);
    rig.studios[studio].peer.up.delay_us = 5 * MS;
    let next = rig.studios[studio].video[0].sequence;
    rig.studios[studio].lose = (next..next + 200).step_by(5).collect();
    rig.players[players[1]].peer.down.loss = 0.03;
    rig.players[players[2]].peer.down.loss = 0.03;
    rig.run(4 * S);
    for player in players {
        rig.players[player].peer.down.loss = 0.0;
    }
    let handle = rig.players[players[0]].peer.handle;
    rig.command(
        0,
        Command::Send {
            handle,
            datagram: vec![22; 1_200],
        },
    );
    rig.run(S);
    for player in players {
        assert!(rig.players[player].frames().len() > 170, "{player}");
        assert!(rig.players[player].sender_reports.len() >= 10);
    }
    let sound = &rig.players[players[0]].audio;
    assert!(sound.len() >= 295);
    assert_eq!(rig.players[players[0]].others.len(), 2, "STUN and DTLS");
    assert!(rig.studios[studio].nacks.len() > 10);
}
