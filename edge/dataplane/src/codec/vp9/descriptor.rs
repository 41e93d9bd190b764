//! The VP9 payload descriptor (RFC 9628, section 4.2).

use crate::codec::vp8::picture_id;
use crate::codec::{ByteNumber, PictureId};

/// A frame has at most this many references (RFC 9628, section 4.2, P_DIFF).
const MAX_REFERENCES: usize = 3;

/// What the descriptor says.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Descriptor {
    /// P: predicted from other pictures.
    pub predicted: bool,
    /// B: opens a layer frame.
    pub start: bool,
    /// E: ends a layer frame.
    pub end: bool,
    /// Picture ID.
    pub picture_id: Option<PictureId>,
    /// TL0PICIDX.
    pub tl0: Option<ByteNumber>,
    /// TID.
    pub temporal: u8,
    /// U: going up is allowed.
    pub switch: bool,
    /// SID.
    pub spatial: u8,
    /// Size of the highest spatial layer in the scalability structure.
    pub dimensions: Option<(u16, u16)>,
    /// Where the VP9 payload begins.
    pub length: u16,
}

/// Reads bytes one by one.
struct Reader<'a> {
    /// The payload.
    bytes: &'a [u8],
    /// The next byte; a descriptor is shorter than 2^16.
    at: u16,
}

impl Reader<'_> {
    fn byte(&mut self) -> Option<u8> {
        let byte = *self.bytes.get(usize::from(self.at))?;
        self.at = self.at.checked_add(1)?;
        Some(byte)
    }

    fn word(&mut self) -> Option<u16> {
        Some(u16::from_be_bytes([self.byte()?, self.byte()?]))
    }
}

/// Parses the descriptor of a payload.
pub fn parse(payload: &[u8]) -> Option<Descriptor> {
    let mut reader = Reader {
        bytes: payload,
        at: 0,
    };
    let first = reader.byte()?;
    let flexible = first & 0x10 != 0;
    let mut found = Descriptor {
        predicted: first & 0x40 != 0,
        start: first & 0x08 != 0,
        end: first & 0x04 != 0,
        ..Descriptor::default()
    };
    if first & 0x80 != 0 {
        let (id, length) = picture_id(payload, 1)?;
        found.picture_id = Some(id);
        reader.at += u16::from(length);
    }
    if first & 0x20 != 0 {
        layer(&mut reader, flexible, &mut found)?;
    }
    if flexible && found.predicted {
        references(&mut reader)?;
    }
    if first & 0x02 != 0 {
        found.dimensions = structure(&mut reader)?;
    }
    found.length = reader.at;
    Some(found)
}

fn layer(reader: &mut Reader, flexible: bool, found: &mut Descriptor) -> Option<()> {
    let byte = reader.byte()?;
    found.temporal = byte >> 5;
    found.switch = byte & 0x10 != 0;
    found.spatial = byte >> 1 & 7;
    if !flexible {
        let at = u8::try_from(reader.at).ok()?;
        found.tl0 = Some((at, reader.byte()?));
    }
    Some(())
}

fn references(reader: &mut Reader) -> Option<()> {
    for _ in 0..MAX_REFERENCES {
        if reader.byte()? & 1 == 0 {
            return Some(());
        }
    }
    None
}

/// Reads the scalability structure; the outer option is whether it was whole.
fn structure(reader: &mut Reader) -> Option<Option<(u16, u16)>> {
    let first = reader.byte()?;
    let mut dimensions = None;
    if first & 0x10 != 0 {
        for _ in 0..=first >> 5 {
            dimensions = Some((reader.word()?, reader.word()?));
        }
    }
    if first & 0x08 != 0 {
        for _ in 0..reader.byte()? {
            for _ in 0..reader.byte()? >> 2 & 3 {
                reader.byte()?;
            }
        }
    }
    Some(dimensions)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn table_of_descriptors() {
        let plain = Descriptor::default;
        let id = |value| Some((1, true, value));
        for (payload, expected) in [
            (
                &[0x0c][..],
                Descriptor {
                    start: true,
                    end: true,
                    length: 1,
                    ..plain()
                },
            ),
            (
                &[0x80, 0x7f],
                Descriptor {
                    picture_id: Some((1, false, 127)),
                    length: 2,
                    ..plain()
                },
            ),
            (
                // I, P, L, B; 15-bit id; TID 2, U, SID 1, D; TL0PICIDX.
                &[0xe8, 0x81, 0x02, 0x53, 0x09],
                Descriptor {
                    predicted: true,
                    start: true,
                    picture_id: id(0x102),
                    tl0: Some((4, 9)),
                    temporal: 2,
                    switch: true,
                    spatial: 1,
                    length: 5,
                    ..plain()
                },
            ),
            (
                // The same in flexible mode: no TL0PICIDX, two references.
                &[0xf8, 0x81, 0x02, 0x53, 0x03, 0x04],
                Descriptor {
                    predicted: true,
                    start: true,
                    picture_id: id(0x102),
                    temporal: 2,
                    switch: true,
                    spatial: 1,
                    length: 6,
                    ..plain()
                },
            ),
            (
                // V: two spatial layers with sizes, a group of two pictures.
                &[
                    0x0a, 0x38, 1, 64, 0, 180, 2, 128, 1, 104, 2, 0x14, 2, 0x34, 1,
                ],
                Descriptor {
                    start: true,
                    dimensions: Some((640, 360)),
                    length: 15,
                    ..plain()
                },
            ),
        ] {
            assert_eq!(parse(payload), Some(expected), "{payload:x?}");
            for cut in 0..payload.len() {
                assert_eq!(parse(&payload[..cut]), None, "{payload:x?} cut at {cut}");
            }
        }
    }

    #[test]
    fn a_fourth_reference_is_refused() {
        assert_eq!(parse(&[0x50, 3, 3, 3, 2]), None);
    }
}
