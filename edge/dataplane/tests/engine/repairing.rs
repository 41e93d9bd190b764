//! Packets lost on the way to a player, and on the way to the edge.

use crate::net::{MS, S};
use crate::player::{Player, Taste};
use crate::rig::Rig;
use crate::studio::{Script, Studio};

fn playing(taste: Taste) -> (Rig, usize, usize) {
    let mut rig = Rig::new();
    let studio = Studio::join(&mut rig, 0, 1, Script::default());
    let player = Player::join(&mut rig, 0, taste);
    rig.run(S);
    (rig, studio, player)
}

#[test]
fn a_nack_is_answered_on_the_rtx_stream() {
    let (mut rig, _, player) = playing(Taste::default());
    let original = rig.players[player].sorted()[60].clone();
    let now = rig.now;
    rig.players[player].nack(&[original.number as u16], now);
    rig.run(5 * MS);
    let repairs = &rig.players[player].repairs;
    assert_eq!(repairs.len(), 1);
    assert_eq!(repairs[0].payload_type, crate::player::RTX_PT);
    assert_eq!(repairs[0].number, original.number);
    assert_eq!(
        (repairs[0].timestamp, &repairs[0].payload),
        (original.timestamp, &original.payload)
    );
    assert_eq!(rig.stats(0).worker.packets_retransmitted, 1);
}

#[test]
fn players_without_rtx_get_the_same_number_again() {
    let (mut rig, _, player) = playing(Taste {
        rtx: false,
        ..Taste::default()
    });
    rig.players[player].peer.down.loss = 0.05;
    rig.players[player].taste.nack = true;
    rig.run(4 * S);
    rig.players[player].peer.down.loss = 0.0;
    rig.run(S);
    assert!(rig.players[player].asked > 10);
    assert!(rig.players[player].repairs.is_empty());
    assert!(rig.players[player].frames().len() > 170);
}

#[test]
fn at_five_percent_loss_and_eighty_milliseconds_every_frame_arrives() {
    let (mut rig, _, player) = playing(Taste {
        nack: true,
        ..Taste::default()
    });
    let peer = &mut rig.players[player].peer;
    (peer.up.delay_us, peer.down.delay_us) = (40 * MS, 40 * MS);
    (peer.up.loss, peer.down.loss, peer.down.jitter_us) = (0.05, 0.05, 3 * MS);
    rig.run(10 * S);
    let peer = &mut rig.players[player].peer;
    (peer.up.loss, peer.down.loss) = (0.0, 0.0);
    rig.run(S);
    assert!(rig.players[player].frames().len() > 340);
    assert!(rig.players[player].repairs.len() > 40);
}

#[test]
fn requests_repeated_within_a_round_trip_are_answered_once() {
    let (mut rig, _, player) = playing(Taste::default());
    let peer = &mut rig.players[player].peer;
    (peer.up.delay_us, peer.down.delay_us) = (50 * MS, 50 * MS);
    rig.run(3 * S);
    let numbers: Vec<u16> = rig.players[player].sorted()[200..240]
        .iter()
        .map(|got| got.number as u16)
        .collect();
    rig.players[player].repairs.clear();
    for _ in 0..3 {
        let now = rig.now;
        rig.players[player].nack(&numbers, now);
        rig.run(20 * MS);
    }
    rig.run(500 * MS);
    assert_eq!(rig.players[player].repairs.len(), 40);
    rig.run(2 * S); // until repairs have their full share again
    let now = rig.now;
    rig.players[player].nack(&numbers, now);
    rig.run(500 * MS);
    assert_eq!(
        rig.players[player].repairs.len(),
        80,
        "later it is a new loss"
    );
}

#[test]
fn numbers_that_were_never_sent_or_are_long_gone_get_no_answer() {
    let (mut rig, _, player) = playing(Taste::default());
    let newest = rig.players[player].sorted().last().unwrap().number as u16;
    let now = rig.now;
    let numbers = [
        newest.wrapping_add(100),
        newest.wrapping_sub(20_000),
        newest.wrapping_add(30_000),
    ];
    rig.players[player].nack(&numbers, now);
    rig.run(50 * MS);
    assert!(rig.players[player].repairs.is_empty());
}

#[test]
fn a_flood_of_nacks_is_paced() {
    let (mut rig, _, player) = playing(Taste {
        feedback: false,
        ..Taste::default()
    });
    let numbers: Vec<u16> = rig.players[player]
        .sorted()
        .iter()
        .map(|got| got.number as u16)
        .collect();
    let start = rig.now;
    while rig.now < start + S {
        let now = rig.now;
        rig.players[player].nack(&numbers, now);
        rig.step();
    }
    let bits: usize = rig.players[player]
        .repairs
        .iter()
        .map(|got| got.payload.len() * 8)
        .sum();
    assert!(bits < 8_000_000, "{bits} bits in a second");
    let sound = rig.players[player]
        .audio
        .iter()
        .filter(|got| got.at > start)
        .count();
    assert!(sound >= 49, "{sound}");
}

#[test]
fn what_came_late_to_the_edge_is_passed_on_under_the_number_kept_for_it() {
    let (mut rig, studio, player) = playing(Taste::default());
    rig.studios[studio].peer.up.delay_us = 10 * MS;
    let next = rig.studios[studio].video[0].sequence;
    rig.studios[studio].lose = (next..next + 240).step_by(7).collect();
    let late = Player::join(&mut rig, 0, Taste::default());
    rig.run(4 * S);
    for player in [player, late] {
        // No player asked for anything: `frames` finds no number missing and none twice.
        assert!(rig.players[player].frames().len() > 140);
        assert!(rig.players[player].repairs.is_empty());
    }
    assert_eq!(rig.stats(0).worker.nacks_received, 0);
}

#[test]
fn reordering_on_the_way_in_is_put_right_by_numbers_alone() {
    let (mut rig, studio, player) = playing(Taste::default());
    rig.studios[studio].peer.up.jitter_us = 4 * MS;
    rig.run(3 * S);
    rig.studios[studio].peer.up.jitter_us = 0;
    rig.run(100 * MS);
    assert!(rig.players[player].frames().len() > 110);
}

#[test]
fn late_packets_keep_their_numbers_while_frames_are_left_out() {
    let script = Script {
        discardable: true,
        ..Script::default()
    };
    let mut rig = Rig::new();
    let studio = Studio::join(&mut rig, 0, 1, script);
    let player = Player::join(
        &mut rig,
        0,
        Taste {
            nack: true,
            ..Taste::default()
        },
    );
    rig.run(S);
    let command = dataplane::engine::Command::SetTier {
        stream: None,
        tier: 3,
    };
    rig.command(0, command);
    rig.studios[studio].peer.up.jitter_us = 2 * MS;
    let next = rig.studios[studio].video[0].sequence;
    rig.studios[studio].lose = (next..next + 500).step_by(11).collect();
    rig.run(6 * S);
    rig.studios[studio].peer.up.jitter_us = 0;
    rig.run(S);
    // A hole may belong to a frame that is left out; its number stays kept, and is filled on request.
    let sorted = rig.players[player].sorted();
    let numbers: Vec<_> = sorted.iter().map(|got| got.number).collect();
    assert!(numbers.windows(2).all(|two| two[1] == two[0] + 1));
    assert!(rig.stats(0).streams[0].frames_dropped.tier > 60);
}

#[test]
fn a_packet_under_the_same_number_is_the_same_to_the_last_bit() {
    // Its nonce is the same too: any other byte would give the key away (RFC 7714, section 8.1).
    let (mut rig, _, player) = playing(Taste {
        rtx: false,
        ..Taste::default()
    });
    rig.players[player].keeps = true;
    rig.run(S);
    let video = rig.players[player].sorted();
    let numbers: Vec<u16> = video
        .iter()
        .rev()
        .take(45)
        .map(|got| got.number as u16)
        .collect();
    let now = rig.now;
    let before = rig.players[player].kept.len();
    rig.players[player].nack(&numbers, now);
    rig.run(15 * MS);
    let (first, again) = rig.players[player].kept.split_at(before);
    let ssrc = rig.players[player].video_ssrc().to_be_bytes();
    let mut repeated = 0;
    for datagram in again.iter().filter(|datagram| datagram[8..12] == ssrc) {
        let same = first
            .iter()
            .find(|old| old[2..4] == datagram[2..4] && old[8..12] == ssrc);
        if let Some(same) = same {
            assert_eq!(same, datagram);
            repeated += 1;
        }
    }
    assert!(repeated >= 40, "{repeated}");
}

#[test]
fn repairs_take_no_more_than_their_share_of_the_path() {
    let (mut rig, _, player) = playing(Taste::default());
    rig.run(3 * S);
    let numbers: Vec<u16> = rig.players[player].sorted()[..250]
        .iter()
        .map(|got| got.number as u16)
        .collect();
    rig.players[player].repairs.clear();
    let now = rig.now;
    rig.players[player].nack(&numbers, now);
    rig.run(100 * MS);
    let answered = rig.players[player].repairs.len();
    assert!((40..=70).contains(&answered), "{answered} of 250 at once");
}
