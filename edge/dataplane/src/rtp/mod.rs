//! The RTP header (RFC 3550, section 5.1) and its extensions (RFC 8285).
//!
//! Reading works on SRTP as it arrives, because SRTP leaves the whole header in the clear.

mod extensions;
mod writer;

use core::ops::Range;

pub use extensions::{ExtensionForm, Extensions};
pub use writer::{HeaderFields, HeaderWriter};

use crate::error::Drop;
use crate::types::Ssrc;

/// Octets of the header before any CSRC.
const FIXED_BYTES: usize = 12;
/// The version bits of the first octet, and their value for RTP.
const VERSION_MASK: u8 = 0xc0;
const VERSION: u8 = 0x80;
const PADDING_BIT: u8 = 0x20;
const EXTENSION_BIT: u8 = 0x10;
const CSRC_COUNT_MASK: u8 = 0x0f;
const MARKER_BIT: u8 = 0x80;

/// The header of one RTP packet.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Header {
    /// The marker bit; for video the last packet of a picture.
    pub marker: bool,
    /// The payload type, 0 to 127.
    pub payload_type: u8,
    /// The sequence number as sent.
    pub sequence: u16,
    /// The media time as sent.
    pub timestamp: u32,
    /// The source of the packet.
    pub ssrc: Ssrc,
    /// Octets of fixed header, CSRCs and extension together: where the payload starts.
    pub len: usize,
    /// Whether the payload ends with padding (the P bit).
    pub padding: bool,
    /// How extension elements are written; none when there are none to read.
    form: Option<ExtensionForm>,
    /// Where the extension elements start; they end at `len`.
    elements: usize,
}

impl Header {
    /// Reads the header, `Malformed` if it is not of version 2 or does not fit the packet.
    #[inline]
    pub fn parse(packet: &[u8]) -> Result<Self, Drop> {
        let fixed = packet.first_chunk::<FIXED_BYTES>().ok_or(Drop::Malformed)?;
        let &[first, second, s0, s1, t0, t1, t2, t3, x0, x1, x2, x3] = fixed;
        if first & VERSION_MASK != VERSION {
            return Err(Drop::Malformed);
        }
        let csrc_end = FIXED_BYTES + 4 * usize::from(first & CSRC_COUNT_MASK);
        let block = Block::parse(packet, csrc_end, first & EXTENSION_BIT != 0)?;
        Ok(Self {
            marker: second & MARKER_BIT != 0,
            payload_type: second & !MARKER_BIT,
            sequence: u16::from_be_bytes([s0, s1]),
            timestamp: u32::from_be_bytes([t0, t1, t2, t3]),
            ssrc: Ssrc(u32::from_be_bytes([x0, x1, x2, x3])),
            len: block.end,
            padding: first & PADDING_BIT != 0,
            form: block.form,
            elements: block.elements,
        })
    }

    /// The extension elements of `packet`, which must be the one this header was read from.
    #[inline]
    #[must_use]
    pub fn extensions<'a>(&self, packet: &'a [u8]) -> Extensions<'a> {
        match (self.form, packet.get(self.elements..self.len)) {
            (Some(form), Some(elements)) => Extensions::new(form, elements),
            _ => Extensions::default(),
        }
    }

    /// Where the payload lies in the decrypted packet, without its padding.
    ///
    /// `Malformed` if the last octet counts no padding or more than there is (RFC 3550, section 5.1).
    #[inline]
    pub fn payload(&self, plaintext: &[u8]) -> Result<Range<usize>, Drop> {
        let after_header = plaintext.get(self.len..).ok_or(Drop::Malformed)?;
        if !self.padding {
            return Ok(self.len..plaintext.len());
        }
        match after_header.last() {
            Some(&count) if count > 0 && usize::from(count) <= after_header.len() => {
                Ok(self.len..plaintext.len() - usize::from(count))
            }
            _ => Err(Drop::Malformed),
        }
    }
}

/// Where the header extension lies.
struct Block {
    /// The form of its elements, if it is one of RFC 8285.
    form: Option<ExtensionForm>,
    /// Where the elements start.
    elements: usize,
    /// Where they, and the header, end.
    end: usize,
}

impl Block {
    #[inline]
    fn parse(packet: &[u8], start: usize, present: bool) -> Result<Self, Drop> {
        let rest = packet.get(start..).ok_or(Drop::Malformed)?;
        if !present {
            return Ok(Self {
                form: None,
                elements: start,
                end: start,
            });
        }
        let &[p0, p1, w0, w1] = rest.first_chunk::<4>().ok_or(Drop::Malformed)?;
        let elements = start + 4;
        let end = elements + 4 * usize::from(u16::from_be_bytes([w0, w1]));
        if end > packet.len() {
            return Err(Drop::Malformed);
        }
        let form = ExtensionForm::of_profile(u16::from_be_bytes([p0, p1]));
        Ok(Self {
            form,
            elements,
            end,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The last packet of an H.264 picture: no extension, marker set.
    const PLAIN: [u8; 16] = [
        0x80, 0xea, 0x12, 0x34, 0x00, 0x01, 0x5f, 0x90, 0xde, 0xad, 0xbe, 0xef, 0x41, 0x9a, 0x02,
        0x03,
    ];

    #[test]
    fn a_plain_packet_is_read_field_by_field() {
        let header = Header::parse(&PLAIN).unwrap();
        assert!(header.marker && !header.padding);
        assert_eq!(
            (header.payload_type, header.sequence, header.timestamp),
            (106, 0x1234, 90_000)
        );
        assert_eq!((header.ssrc, header.len), (Ssrc(0xdead_beef), 12));
        assert_eq!(header.payload(&PLAIN), Ok(12..16));
        assert_eq!(header.extensions(&PLAIN).count(), 0);
    }

    #[test]
    fn csrcs_and_a_one_byte_extension_precede_the_payload() {
        let mut packet = vec![0x92, 0x60, 0, 1, 0, 0, 0, 2, 0, 0, 0, 3];
        packet.extend([0; 8]); // two CSRCs
        packet.extend([0xbe, 0xde, 0, 2, 0x32, 7, 8, 9, 0x00, 0x10, b'h', 0x00]);
        packet.extend([0xaa, 0xbb]);
        let header = Header::parse(&packet).unwrap();
        let found: Vec<_> = header.extensions(&packet).collect();
        assert_eq!(found, [(3, &[7, 8, 9][..]), (1, &b"h"[..])]);
        assert_eq!(header.payload(&packet), Ok(32..34));
    }

    #[test]
    fn an_extension_of_another_profile_is_skipped() {
        let packet = [
            0x90, 96, 0, 1, 0, 0, 0, 2, 0, 0, 0, 3, 0xab, 0xcd, 0, 1, 0x10, 1, 0, 0, 9,
        ];
        let header = Header::parse(&packet).unwrap();
        assert_eq!(header.extensions(&packet).count(), 0);
        assert_eq!(header.payload(&packet), Ok(20..21));
    }

    #[test]
    fn lengths_beyond_the_packet_and_other_versions_are_malformed() {
        for cut in 0..FIXED_BYTES {
            assert_eq!(
                Header::parse(&PLAIN[..cut]),
                Err(Drop::Malformed),
                "{cut} octets"
            );
        }
        for first in [
            0x00, 0x40, 0xc0, 0x82, /* two CSRCs */
            0x90, /* extension of 0x0203 words */
        ] {
            let mut packet = PLAIN;
            packet[0] = first;
            assert_eq!(
                Header::parse(&packet),
                Err(Drop::Malformed),
                "first octet {first:#x}"
            );
        }
    }

    #[test]
    fn padding_is_stripped_by_its_last_octet() {
        for (count, payload) in [
            (0, Err(Drop::Malformed)),
            (1, Ok(12..15)),
            (4, Ok(12..12)),
            (5, Err(Drop::Malformed)),
        ] {
            let mut packet = PLAIN;
            packet[0] |= PADDING_BIT;
            packet[15] = count;
            assert_eq!(
                Header::parse(&packet).unwrap().payload(&packet),
                payload,
                "{count} octets of padding"
            );
        }
        let header = Header {
            padding: true,
            ..Header::parse(&PLAIN).unwrap()
        };
        assert_eq!(header.payload(&PLAIN[..12]), Err(Drop::Malformed));
        assert_eq!(header.payload(&PLAIN[..11]), Err(Drop::Malformed));
    }
}
