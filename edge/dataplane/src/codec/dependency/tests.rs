//! Descriptors written bit by bit as the appendix lays them out, with the structures of L1T3 and
//! L2T1 that libwebrtc sends.

use super::*;
use crate::codec::{Codec, Inspector};

/// Writes bits, most significant first.
#[derive(Default)]
struct Writer(Vec<bool>);

impl Writer {
    fn put(mut self, value: u32, count: u32) -> Self {
        self.0
            .extend((0..count).rev().map(|bit| value >> bit & 1 == 1));
        self
    }

    fn all(self, values: &[u32], count: u32) -> Self {
        values
            .iter()
            .fold(self, |writer, &value| writer.put(value, count))
    }

    fn bytes(self) -> Vec<u8> {
        let byte = |bits: &[bool]| {
            (0..8).fold(0, |byte, at| {
                byte << 1 | u8::from(bits.get(at) == Some(&true))
            })
        };
        self.0.chunks(8).map(byte).collect()
    }
}

fn dtis(writer: Writer, text: &str) -> Writer {
    let code = |letter| match letter {
        '-' => 0,
        'D' => 1,
        'S' => 2,
        _ => 3,
    };
    text.chars()
        .fold(writer, |writer, letter| writer.put(code(letter), 2))
}

/// L1T3: templates key, T0, T1, T2 after T0, T2 after T1.
fn l1t3() -> Vec<u8> {
    let writer = Writer::default()
        .put(0b11, 2)
        .put(0, 6)
        .put(100, 16)
        .put(0b10000, 5) // a structure and nothing else
        .put(0, 6)
        .put(2, 5) // three decode targets
        .all(&[0, 1, 1, 0, 3], 2);
    let writer = ["SSS", "SSS", "-DS", "--D", "--D"]
        .iter()
        .fold(writer, |writer, text| dtis(writer, text));
    writer
        .put(0, 1) // key: no reference
        .put(1, 1)
        .put(3, 4)
        .put(0, 1)
        .put(1, 1)
        .put(1, 4)
        .put(0, 1)
        .put(1, 1)
        .put(0, 4)
        .put(0, 1)
        .put(1, 1)
        .put(0, 4)
        .put(0, 1)
        .put(1, 2) // one chain of at most three: short code of below(4)
        .all(&[0, 4, 2, 1, 3], 4)
        .put(1, 1)
        .put(639, 16)
        .put(359, 16)
        .bytes()
}

fn mandatory(template: u8, number: u16) -> [u8; 3] {
    let [high, low] = number.to_be_bytes();
    [0xc0 | template, high, low]
}

#[test]
fn a_structure_describes_the_frames_that_follow() {
    let mut inspector = Inspector::new(Codec::Av1);
    let key = inspector.inspect(&[0x18, 0x30, 0x10], true, 0, Some(&l1t3()));
    assert!(key.start && key.end && key.key && key.temporal_switch && !key.discardable);
    assert_eq!(key.dimensions, Some((640, 360)));
    assert_eq!(key.numbers, Numbers::Dependency { frame_number: 100 });
    // (template, temporal, discardable, switch)
    for (step, (template, temporal, discardable, switch)) in [
        (3, 2, true, true),  // T2 right after the key frame
        (2, 1, false, true), // T1 refers to T0 only
        (4, 2, true, false), // this T2 refers to T1
        (1, 0, false, true), // T0
        (3, 2, true, true),
    ]
    .into_iter()
    .enumerate()
    {
        let number = 101 + step as u16;
        let descriptor = mandatory(template, number);
        let timestamp = 3_000 * u32::from(number);
        let info = inspector.inspect(&[0x10, 0x30, 0x30], true, timestamp, Some(&descriptor));
        assert_eq!(info.temporal, temporal, "frame {number}");
        assert_eq!(info.discardable, discardable, "frame {number}");
        assert_eq!(info.temporal_switch, switch, "frame {number}");
        assert!(!info.key);
    }
}

#[test]
fn a_descriptor_before_any_structure_tells_what_is_mandatory() {
    let mut inspector = Inspector::new(Codec::Av1);
    let info = inspector.inspect(&[0x10, 0x30, 0x30], false, 0, Some(&[0x41, 0x12, 0x34]));
    assert!(!info.start && info.end);
    assert_eq!(
        info.numbers,
        Numbers::Dependency {
            frame_number: 0x1234
        }
    );
}

#[test]
fn custom_fields_replace_those_of_the_template() {
    let (_, structure) = parse(&l1t3(), None).expect("a whole descriptor");
    let bytes = Writer::default()
        .put(0b11, 2)
        .put(1, 6)
        .put(7, 16)
        .put(0b01111, 5)
        .put(0b011, 3);
    let bytes = dtis(bytes, "DD-")
        .put(1, 2)
        .put(0, 4)
        .put(0, 2)
        .put(9, 8)
        .bytes();
    let (descriptor, fresh) = parse(&bytes, structure.as_ref()).expect("a whole descriptor");
    let frame = descriptor.frame.expect("a known template");
    assert!(fresh.is_none() && frame.predicted && frame.dtis.discardable());
    assert_eq!(descriptor.active_decode_targets, Some(3));
}

#[test]
fn cut_structures_and_unknown_templates_say_nothing() {
    let whole = l1t3();
    for cut in (0..3).chain(4..whole.len()) {
        assert!(parse(&whole[..cut], None).is_none(), "cut at {cut}");
    }
    let (_, structure) = parse(&whole, None).expect("a whole descriptor");
    let (descriptor, _) = parse(&mandatory(9, 1), structure.as_ref()).expect("mandatory fields");
    assert_eq!(descriptor.frame, None);
}

#[test]
fn more_than_64_templates_are_refused() {
    let endless = Writer::default()
        .put(0, 24)
        .put(0b10000, 5)
        .put(0, 6)
        .put(0, 5)
        .all(&[0; 64], 2)
        .put(3, 2);
    assert!(parse(&endless.put(0, 32).put(0, 32).bytes(), None).is_none());
}

#[test]
fn h264_takes_its_temporal_layers_from_the_descriptor() {
    let mut inspector = Inspector::new(Codec::H264);
    inspector.inspect(&[0x65, 0x88], true, 0, Some(&l1t3()));
    let info = inspector.inspect(&[0x61, 0x98], true, 3_000, Some(&mandatory(3, 101)));
    assert_eq!((info.temporal, info.discardable), (2, true));
}
