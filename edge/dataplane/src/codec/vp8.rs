//! VP8 payloads (RFC 7741, section 4.2).

use super::unit::Unit;
use super::{ByteNumber, FrameInfo, Numbers, PictureId};

/// The payload descriptor.
#[derive(Debug, Default)]
struct Descriptor {
    /// N: no frame refers to this one.
    non_reference: bool,
    /// S and PID 0: the packet opens a frame.
    start: bool,
    /// PictureID.
    picture_id: Option<PictureId>,
    /// TL0PICIDX.
    tl0: Option<ByteNumber>,
    /// TID and Y.
    layer: Option<(u8, bool)>,
    /// KEYIDX.
    keyidx: Option<ByteNumber>,
    /// Where the VP8 payload begins.
    length: u8,
}

/// Classifies a payload.
pub fn inspect(payload: &[u8], unit: &mut Unit, mut info: FrameInfo) -> FrameInfo {
    let Some(descriptor) = parse(payload) else {
        return info;
    };
    let frame = payload
        .get(usize::from(descriptor.length)..)
        .unwrap_or_default();
    if descriptor.start {
        unit.key = frame.first().is_some_and(|byte| byte & 1 == 0);
        info.dimensions = unit.key.then(|| dimensions(frame)).flatten();
    }
    let (temporal, sync) = descriptor.layer.unwrap_or_default();
    info.start = descriptor.start;
    info.key = unit.key;
    info.temporal = temporal;
    info.temporal_switch = temporal == 0 || sync || unit.key;
    info.discardable = descriptor.non_reference;
    info.numbers = Numbers::Vp8 {
        picture_id: descriptor.picture_id,
        tl0: descriptor.tl0,
        keyidx: descriptor.keyidx,
    };
    info
}

fn parse(payload: &[u8]) -> Option<Descriptor> {
    let first = *payload.first()?;
    let mut descriptor = Descriptor {
        non_reference: first & 0x20 != 0,
        start: first & 0x17 == 0x10,
        length: 1,
        ..Descriptor::default()
    };
    if first & 0x80 == 0 {
        return Some(descriptor);
    }
    let extension = *payload.get(1)?;
    let mut at = 2u8;
    if extension & 0x80 != 0 {
        let (id, length) = picture_id(payload, at)?;
        descriptor.picture_id = Some(id);
        at += length;
    }
    if extension & 0x40 != 0 {
        descriptor.tl0 = Some((at, *payload.get(usize::from(at))?));
        at += 1;
    }
    if extension & 0x30 != 0 {
        let byte = *payload.get(usize::from(at))?;
        descriptor.layer = (extension & 0x20 != 0).then_some((byte >> 6, byte & 0x20 != 0));
        descriptor.keyidx = (extension & 0x10 != 0).then_some((at, byte & 0x1f));
        at += 1;
    }
    descriptor.length = at;
    Some(descriptor)
}

/// A picture id of 7 or 15 bits and its length in bytes; VP9 has the same.
pub(super) fn picture_id(payload: &[u8], at: u8) -> Option<(PictureId, u8)> {
    let first = *payload.get(usize::from(at))?;
    if first & 0x80 == 0 {
        return Some(((at, false, u16::from(first)), 1));
    }
    let second = *payload.get(usize::from(at) + 1)?;
    Some(((at, true, u16::from_be_bytes([first & 0x7f, second])), 2))
}

/// Width and height of a key frame header (RFC 6386, section 9.1).
fn dimensions(frame: &[u8]) -> Option<(u16, u16)> {
    let &[_, _, _, 0x9d, 0x01, 0x2a, w0, w1, h0, h1, ..] = frame else {
        return None;
    };
    let (width, height) = (u16::from_le_bytes([w0, w1]), u16::from_le_bytes([h0, h1]));
    Some((width & 0x3fff, height & 0x3fff))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn one(payload: &[u8]) -> FrameInfo {
        inspect(
            payload,
            &mut Unit::default(),
            FrameInfo {
                temporal_switch: true,
                ..FrameInfo::default()
            },
        )
    }

    #[test]
    fn table_of_descriptors() {
        type Row = (
            &'static [u8],
            Option<PictureId>,
            Option<ByteNumber>,
            u8,
            bool,
            Option<ByteNumber>,
        );
        let table: [Row; 8] = [
            (&[0x10, 1], None, None, 0, true, None),
            (
                &[0x90, 0x80, 0x11, 1],
                Some((2, false, 0x11)),
                None,
                0,
                true,
                None,
            ),
            (
                &[0x90, 0x80, 0x91, 0x22, 1],
                Some((2, true, 0x1122)),
                None,
                0,
                true,
                None,
            ),
            (&[0x90, 0x40, 7, 1], None, Some((2, 7)), 0, true, None),
            (&[0x90, 0x20, 0xa0, 1], None, None, 2, true, None),
            (&[0x90, 0x20, 0x40, 1], None, None, 1, false, None),
            (&[0x90, 0x10, 0x1f, 1], None, None, 0, true, Some((2, 0x1f))),
            (
                &[0x90, 0xf0, 0x81, 0x02, 9, 0x45, 1],
                Some((2, true, 0x102)),
                Some((4, 9)),
                1,
                false,
                Some((5, 5)),
            ),
        ];
        for (payload, picture_id, tl0, temporal, switch, keyidx) in table {
            let info = one(payload);
            assert_eq!(
                info.numbers,
                Numbers::Vp8 {
                    picture_id,
                    tl0,
                    keyidx
                },
                "{payload:x?}"
            );
            assert_eq!(
                (info.temporal, info.temporal_switch),
                (temporal, switch),
                "{payload:x?}"
            );
            assert!(info.start && !info.key, "{payload:x?}");
        }
    }

    #[test]
    fn a_key_frame_marks_its_later_packets_too() {
        let mut unit = Unit::default();
        let first = [0x10, 0x10, 2, 0, 0x9d, 1, 0x2a, 0x80, 0x42, 0x68, 0x01];
        let info = inspect(&first, &mut unit, FrameInfo::default());
        assert_eq!((info.key, info.dimensions), (true, Some((640, 360))));
        for later in [[0x00, 0xff], [0x11, 0xff], [0x01, 0xff]] {
            let info = inspect(&later, &mut unit, FrameInfo::default());
            assert!(info.key && !info.start);
        }
    }

    #[test]
    fn a_cut_descriptor_says_nothing() {
        for length in 0..6 {
            let whole = [0x90, 0xf0, 0x81, 0x02, 9, 0x45];
            assert_eq!(one(&whole[..length]).numbers, Numbers::None);
        }
    }

    #[test]
    fn the_n_bit_is_discardable() {
        assert!(one(&[0x30, 1]).discardable && !one(&[0x10, 1]).discardable);
    }
}
