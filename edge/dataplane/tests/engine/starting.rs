//! Joining: the cached key frame, squeezed time, pacing, clocks.

use crate::net::{MS, S};
use crate::player::{Player, Taste};
use crate::rig::{NTP_EPOCH, Rig};
use crate::studio::{Script, Studio};
use dataplane::engine::Event;

#[test]
fn media_flows_and_numbers_and_times_go_on() {
    let mut rig = Rig::new();
    Studio::join(&mut rig, 0, 1, Script::default());
    let player = Player::join(&mut rig, 0, Taste::default());
    rig.run(3 * S);
    let frames = rig.players[player].frames();
    assert!(frames.len() >= 88, "{}", frames.len());
    assert!(rig.players[player].audio.len() >= 145);
    assert!(
        frames[0].2[0].payload.starts_with(&[0x78]),
        "parameter sets come first"
    );
}

#[test]
fn a_late_player_starts_at_once_from_the_cached_key_frame_without_asking_for_one() {
    let mut rig = Rig::new();
    let studio = Studio::join(&mut rig, 0, 1, Script::default());
    let first = Player::join(&mut rig, 0, Taste::default());
    rig.run(3 * S);
    let joined = rig.now;
    let late = Player::join(&mut rig, 0, Taste::default());
    rig.run(2 * S);
    let handle = rig.players[late].peer.handle;
    let after = rig.events.iter().find_map(|event| match event {
        Event::FirstFrame {
            handle: told,
            after,
        } if *told == handle => Some(*after),
        _ => None,
    });
    assert!(after.is_some_and(|after| after < 10 * MS), "{after:?}");
    assert!(rig.studios[studio].plis.is_empty());
    let frames = rig.players[late].frames();
    // 90 frames of the past, squeezed to a millisecond each, then live at 30 a second.
    let spans: Vec<_> = frames
        .windows(2)
        .map(|two| two[1].0.wrapping_sub(two[0].0))
        .collect();
    let squeezed = spans.iter().take_while(|span| **span <= 90).count();
    assert!((85..=95).contains(&squeezed), "{squeezed}");
    assert!(
        spans[squeezed..]
            .iter()
            .all(|span| (2_900..=3_100).contains(span)),
        "{spans:?}"
    );
    let caught_up = frames[squeezed + 1].2[0].at - joined;
    assert!(caught_up < 700 * MS, "{caught_up}");
    // From then on it is as live as the player that was there before.
    let newest = |player: usize| rig.players[player].video.last().unwrap().at;
    assert_eq!(newest(first), newest(late));
}

#[test]
fn a_player_before_the_studio_starts_with_its_first_key_frame() {
    let mut rig = Rig::new();
    let player = Player::join(&mut rig, 0, Taste::default());
    rig.run(S);
    Studio::join(&mut rig, 0, 1, Script::default());
    let waited = rig.run_until(S, |rig| rig.players[player].video.len() > 3);
    assert!(waited <= 10 * MS, "{waited}");
}

#[test]
fn a_frame_lost_for_good_does_not_turn_squeezed_time_back() {
    let mut rig = Rig::new();
    let studio = Studio::join(&mut rig, 0, 1, Script::default());
    rig.run(S);
    // A whole frame is missing when the player joins, and comes while it catches up.
    let next = rig.studios[studio].video[0].sequence;
    rig.studios[studio].lose = (next..next + 3).collect();
    rig.studios[studio].repairs = false;
    rig.run(300 * MS);
    rig.players.clear();
    let player = Player::join(&mut rig, 0, Taste::default());
    rig.step();
    let now = rig.now;
    for number in next..next + 3 {
        rig.studios[studio].repair(0, number as u16, now);
    }
    rig.run(S);
    let mut last: Option<u32> = None;
    for got in rig.players[player].sorted() {
        assert!(last.is_none_or(|last| got.timestamp.wrapping_sub(last) as i32 >= 0));
        last = Some(got.timestamp);
    }
    assert!(rig.players[player].video.len() > 100);
}

#[test]
fn a_large_key_frame_is_paced_and_sound_is_not_held_up() {
    let mut rig = Rig::new();
    let script = Script {
        key_packets: Some(136),
        ..Script::default()
    }; // 150 KB
    Studio::join(&mut rig, 0, 1, script);
    let player = Player::join(&mut rig, 0, Taste::default());
    rig.run(S);
    let frames = rig.players[player].frames();
    let key = &frames[0].2;
    assert!(key.len() >= 136);
    let span = key.last().unwrap().at - key[0].at;
    assert!((35 * MS..100 * MS).contains(&span), "{span}");
    let mut largest = 0;
    for got in key {
        let burst = key
            .iter()
            .filter(|other| (got.at..got.at + MS).contains(&other.at))
            .count();
        largest = largest.max(burst);
    }
    assert!(
        largest * 1_150 < 30_000,
        "{largest} packets in a millisecond"
    );
    let sound = rig.players[player]
        .audio
        .iter()
        .filter(|got| got.at <= key.last().unwrap().at);
    assert!(sound.count() as u64 >= span / (20 * MS));
}

#[test]
fn sender_reports_put_sound_and_picture_on_one_clock() {
    let mut rig = Rig::new();
    Studio::join(&mut rig, 0, 1, Script::default());
    rig.run(2 * S);
    let player = Player::join(&mut rig, 0, Taste::default());
    rig.run(4 * S);
    let player = &rig.players[player];
    let last = |ssrc: u32| {
        let found = player
            .sender_reports
            .iter()
            .rev()
            .find(|(_, s, _)| s.0 == ssrc);
        found.expect("reported").2
    };
    let (video, audio) = (last(player.video_ssrc()), last(player.audio_ssrc()));
    assert_eq!(video.ntp >> 40, NTP_EPOCH >> 40, "the edge's own clock");
    let newest_video = player.video.last().unwrap();
    let newest_audio = player.audio.last().unwrap();
    // NTP time of a packet as a player computes it.
    let at = |timestamp: u32, rtp: u32, ntp: u64, rate: f64| {
        let base = (ntp >> 32) as f64 + (ntp & 0xffff_ffff) as f64 / 4_294_967_296.0;
        base + f64::from(timestamp.wrapping_sub(rtp) as i32) / rate
    };
    let shown = at(newest_video.timestamp, video.rtp, video.ntp, 90_000.0);
    let heard = at(newest_audio.timestamp, audio.rtp, audio.ntp, 48_000.0);
    let apart = (shown - heard) - (newest_video.at as f64 - newest_audio.at as f64) / 1e6;
    assert!(apart.abs() < 0.035, "{apart}");
    assert!(video.packets > 100 && video.octets > 100_000);
    let first = player.sender_reports.first().unwrap().0;
    assert!(
        first < player.video[0].at + 50 * MS,
        "the first comes with the picture"
    );
}

#[test]
fn the_round_trip_is_read_from_receiver_reports() {
    let mut rig = Rig::new();
    Studio::join(&mut rig, 0, 1, Script::default());
    let player = Player::join(&mut rig, 0, Taste::default());
    let peer = &mut rig.players[player].peer;
    (peer.up.delay_us, peer.down.delay_us) = (30 * MS, 50 * MS);
    rig.run(4 * S);
    let handle = rig.players[player].peer.handle;
    let rtt = rig.session_stats(0, handle).unwrap().rtt_us.unwrap();
    assert!((78 * MS..=83 * MS).contains(&rtt), "{rtt}");
    let observed: u64 = rig.stats(0).worker.media_rtt.counts.iter().sum();
    assert!(
        (1..=4).contains(&observed),
        "once per report that tells one: {observed}"
    );
}
