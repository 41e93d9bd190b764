//! Invariant: a player sees VP8 picture ids that grow by exactly 1 per frame sent, whatever is
//! switched and left out, and a retransmitted packet has the numbers it was first sent with.

use super::*;
use crate::codec::{Codec, Inspector};

/// A VP8 packet: 15-bit or 7-bit id, TL0PICIDX, TID and KEYIDX.
fn vp8(wide: bool, id: u16, tl0: u8, keyidx: u8) -> Vec<u8> {
    let [high, low] = (id & 0x7fff).to_be_bytes();
    let id = if wide {
        vec![0x80 | high, low]
    } else {
        vec![low & 0x7f]
    };
    [&[0x90, 0xf0][..], &id, &[tl0, 0x40 | keyidx & 0x1f, 1]].concat()
}

fn inspect(codec: Codec, payload: &[u8]) -> FrameInfo {
    Inspector::new(codec).inspect(payload, true, 0, None)
}

fn sent(continuity: &mut Continuity, packet: &[u8]) -> (Vec<u8>, Numbers) {
    let info = inspect(Codec::Vp8, packet);
    let mut payload = packet.to_vec();
    continuity.apply(&info, &mut payload, None);
    let numbers = inspect(Codec::Vp8, &payload).numbers;
    (payload, numbers)
}

fn id_of(numbers: Numbers) -> u16 {
    match numbers {
        Numbers::Vp8 {
            picture_id: Some((_, _, id)),
            ..
        } => id,
        Numbers::Vp9 {
            picture_id: Some((_, _, id)),
            ..
        } => id,
        other => panic!("no picture id in {other:?}"),
    }
}

/// A small generator with a seed (Knuth's constants): the same sequences in every run.
struct Dice(u64);

impl Dice {
    fn roll(&mut self, sides: u64) -> u64 {
        self.0 = self
            .0
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1_442_695_040_888_963_407);
        (self.0 >> 33) % sides
    }
}

#[test]
fn picture_ids_grow_by_one_over_any_switches_and_gaps() {
    for seed in 0..200 {
        let mut dice = Dice(seed);
        let wide = seed % 3 != 0;
        let mask = if wide { 0x7fff } else { 0x7f };
        let mut ids = [
            dice.roll(0x8000) as u16,
            dice.roll(0x8000) as u16,
            dice.roll(0x8000) as u16,
        ];
        let (mut continuity, mut layer, mut last) = (Continuity::new(), 0, None::<u16>);
        for _ in 0..500 {
            for id in &mut ids {
                *id = id.wrapping_add(1) & mask;
            }
            if dice.roll(20) == 0 {
                layer = dice.roll(3) as usize;
                continuity.on_switch();
            }
            let packet = vp8(wide, ids[layer], 0, 0);
            let packets = 1 + dice.roll(3);
            if dice.roll(3) == 0 {
                (0..packets).for_each(|_| continuity.on_dropped(&inspect(Codec::Vp8, &packet)));
                continue;
            }
            let id = id_of(sent(&mut continuity, &packet).1);
            (1..packets).for_each(|_| assert_eq!(id_of(sent(&mut continuity, &packet).1), id));
            assert!(
                last.is_none_or(|last| id == (last.wrapping_add(1) & mask)),
                "seed {seed}"
            );
            last = Some(id);
        }
    }
}

#[test]
fn all_numbers_of_vp8_follow_over_a_switch() {
    let mut continuity = Continuity::new();
    sent(&mut continuity, &vp8(true, 0x7fff, 255, 31));
    continuity.on_switch();
    let (payload, numbers) = sent(&mut continuity, &vp8(true, 77, 9, 4));
    let expected = Numbers::Vp8 {
        picture_id: Some((2, true, 0)),
        tl0: Some((4, 0)),
        keyidx: Some((5, 0)),
    };
    assert_eq!(numbers, expected);
    assert_eq!(payload, vp8(true, 0, 0, 0), "nothing else is touched");
}

#[test]
fn late_packets_of_frames_before_a_gap_keep_their_numbers() {
    let mut continuity = Continuity::new();
    sent(&mut continuity, &vp8(true, 10, 0, 0));
    for dropped in [11, 13] {
        continuity.on_dropped(&inspect(Codec::Vp8, &vp8(true, dropped, 0, 0)));
        sent(&mut continuity, &vp8(true, dropped + 1, 0, 0));
    }
    let ids = [10, 12, 14].map(|id| id_of(sent(&mut continuity, &vp8(true, id, 0, 0)).1));
    assert_eq!(ids, [10, 11, 12]);
}

#[test]
fn a_retransmission_gets_the_numbers_of_the_first_time() {
    let mut continuity = Continuity::new();
    sent(&mut continuity, &vp8(true, 10, 0, 0));
    continuity.on_dropped(&inspect(Codec::Vp8, &vp8(true, 11, 0, 0)));
    let packet = vp8(true, 12, 5, 6);
    let (first, _) = sent(&mut continuity, &packet);
    let kept = continuity.offsets();
    continuity.on_switch();
    sent(&mut continuity, &vp8(true, 900, 0, 0));
    let mut again = packet.clone();
    let info = inspect(Codec::Vp8, &packet);
    apply_offsets(kept, &info, &mut again, None);
    assert_eq!(again, first);
    apply_offsets(kept, &info, &mut again, None);
    assert_eq!(again, first, "twice is as once");
}

#[test]
fn vp9_keeps_gaps_because_references_are_differences() {
    let packet = |id: u8, tl0: u8| [0xa8, id, 0x20, tl0, 0x86, 0x01];
    let mut continuity = Continuity::new();
    let send = |continuity: &mut Continuity, mut payload: [u8; 6]| {
        continuity.apply(&inspect(Codec::Vp9, &payload), &mut payload, None);
        (payload[1], payload[3])
    };
    assert_eq!(send(&mut continuity, packet(10, 3)), (10, 3));
    continuity.on_dropped(&inspect(Codec::Vp9, &packet(11, 3)));
    assert_eq!(send(&mut continuity, packet(12, 4)), (12, 4));
    continuity.on_switch();
    assert_eq!(send(&mut continuity, packet(99, 50)), (13, 5));
    assert_eq!(send(&mut continuity, packet(101, 51)), (15, 6));
}

#[test]
fn frame_numbers_follow_over_a_switch_and_keep_gaps() {
    let mut continuity = Continuity::new();
    let send = |continuity: &mut Continuity, frame_number: u16| {
        let info = FrameInfo {
            numbers: Numbers::Dependency { frame_number },
            ..FrameInfo::default()
        };
        let mut descriptor = [0xc0, 0, 0, 0xaa];
        continuity.apply(&info, &mut [], Some(&mut descriptor));
        assert_eq!((descriptor[0], descriptor[3]), (0xc0, 0xaa));
        u16::from_be_bytes([descriptor[1], descriptor[2]])
    };
    assert_eq!(send(&mut continuity, 65_535), 65_535);
    assert_eq!(send(&mut continuity, 1), 1);
    continuity.on_switch();
    assert_eq!(send(&mut continuity, 500), 2);
    assert_eq!(send(&mut continuity, 503), 5);
    assert_eq!(send(&mut continuity, 502), 4);
    continuity.on_switch();
    assert_eq!(send(&mut continuity, 9), 6);
}
