//! Feedback messages (RFC 4585, section 6; RFC 5104, section 4.3).

use super::entries::{Entries, Entry, Ssrcs, take};
use super::packet::Packet;
use super::{
    FORMAT_APPLICATION, FORMAT_FIR, FORMAT_NACK, FORMAT_PLI, FORMAT_TRANSPORT_WIDE,
    PAYLOAD_SPECIFIC, REMB_NAME, TRANSPORT_LAYER,
};
use crate::types::Ssrc;

const FIR_ENTRY_BYTES: usize = 8;
/// REMB's mantissa has 18 bits below an exponent of 6.
const REMB_MANTISSA_MASK: u32 = 0x3_ffff;
const REMB_MANTISSA_BITS: u32 = 18;

/// Sequence numbers of a NACK: each entry names one and, by bits, any of the 16 after it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NackList<'a> {
    /// Entries still to be read.
    entries: Entries<'a, (u16, u16)>,
    /// The number that bit 0 of `bits` stands for.
    next: u16,
    /// What is left of the current entry; bit 0 is the nearest.
    bits: u32,
}

impl<'a> NackList<'a> {
    fn new(fci: &'a [u8]) -> Self {
        Self {
            entries: Entries::new(fci),
            next: 0,
            bits: 0,
        }
    }
}

impl Entry for (u16, u16) {
    fn read(from: &mut &[u8]) -> Option<Self> {
        Some((u16::read(from)?, u16::read(from)?))
    }
}

impl Iterator for NackList<'_> {
    type Item = u16;

    fn next(&mut self) -> Option<u16> {
        if self.bits == 0 {
            let (first, following) = self.entries.next()?;
            self.next = first;
            self.bits = u32::from(following) << 1 | 1;
        }
        let skipped = self.bits.trailing_zeros();
        #[expect(
            clippy::cast_possible_truncation,
            reason = "17 bits have at most 16 zeros below a one"
        )]
        let number = self.next.wrapping_add(skipped as u16);
        self.next = number.wrapping_add(1);
        self.bits >>= skipped + 1;
        Some(number)
    }
}

pub(super) fn read_transport(format: u8, mut body: &[u8]) -> Option<Packet<'_>> {
    let sender = Ssrc::read(&mut body)?;
    let media = Ssrc::read(&mut body)?;
    Some(match format {
        FORMAT_NACK => Packet::Nack {
            sender,
            media,
            lost: NackList::new(body),
        },
        FORMAT_TRANSPORT_WIDE => Packet::TransportFeedback {
            sender,
            media,
            fci: body,
        },
        _ => Packet::Other {
            packet_type: TRANSPORT_LAYER,
        },
    })
}

pub(super) fn read_payload(format: u8, mut body: &[u8]) -> Option<Packet<'_>> {
    let sender = Ssrc::read(&mut body)?;
    let media = Ssrc::read(&mut body)?;
    match format {
        FORMAT_PLI => Some(Packet::Pli { sender, media }),
        FORMAT_FIR if body.len().is_multiple_of(FIR_ENTRY_BYTES) => Some(Packet::Fir {
            sender,
            entries: Entries::new(body),
        }),
        FORMAT_FIR => None,
        FORMAT_APPLICATION if body.starts_with(&REMB_NAME) => read_remb(sender, body),
        _ => Some(Packet::Other {
            packet_type: PAYLOAD_SPECIFIC,
        }),
    }
}

fn read_remb(sender: Ssrc, mut fci: &[u8]) -> Option<Packet<'_>> {
    let _name: [u8; 4] = take(&mut fci)?;
    let [count, e, m0, m1] = take(&mut fci)?;
    let packed = u32::from_be_bytes([0, e, m0, m1]);
    let mantissa = u64::from(packed & REMB_MANTISSA_MASK);
    let exponent = packed >> REMB_MANTISSA_BITS;
    if mantissa.leading_zeros() < exponent {
        return None; // more than 64 bits can hold
    }
    let ssrcs: Ssrcs = fci.get(..4 * usize::from(count)).map(Entries::new)?;
    Some(Packet::Remb {
        sender,
        bitrate_bps: mantissa << exponent,
        ssrcs,
    })
}

#[cfg(test)]
mod tests {
    use super::super::packets;
    use super::*;
    use crate::error::Drop;

    fn one(packet: &[u8]) -> Result<Packet<'_>, Drop> {
        packets(packet).next().unwrap()
    }

    #[test]
    fn a_nack_expands_to_its_numbers_across_the_wrap() {
        let golden = [
            0x81, 205, 0, 4, 0, 0, 0, 1, 0, 0, 0, 2, 0xff, 0xfe, 0x80, 0x05, 0, 100, 0, 0,
        ];
        let Ok(Packet::Nack {
            sender,
            media,
            lost,
        }) = one(&golden)
        else {
            panic!("not a NACK")
        };
        assert_eq!((sender, media), (Ssrc(1), Ssrc(2)));
        assert_eq!(lost.collect::<Vec<_>>(), [65_534, 65_535, 1, 14, 100]);
    }

    #[test]
    fn every_bit_of_a_nack_counts() {
        let full = [0x81, 205, 0, 3, 0, 0, 0, 1, 0, 0, 0, 2, 0, 10, 0xff, 0xff];
        let Ok(Packet::Nack { lost, .. }) = one(&full) else {
            panic!("not a NACK")
        };
        assert!(lost.eq(10..=26));
    }

    #[test]
    fn a_fir_names_its_sources_in_entries() {
        let golden = [
            0x84, 206, 0, 4, 0, 0, 0, 1, 0, 0, 0, 0, 0, 0, 0, 2, 7, 0, 0, 0,
        ];
        let Ok(Packet::Fir { sender, entries }) = one(&golden) else {
            panic!("not a FIR")
        };
        assert_eq!(
            (sender, entries.collect::<Vec<_>>()),
            (Ssrc(1), vec![(Ssrc(2), 7)])
        );
        let cut = [0x84, 206, 0, 3, 0, 0, 0, 1, 0, 0, 0, 0, 0, 0, 0, 2];
        assert_eq!(one(&cut), Err(Drop::Malformed));
    }

    #[test]
    fn a_remb_is_mantissa_times_power_of_two() {
        // 2 Mbit/s: exponent 3, mantissa 250,000.
        let golden = [
            0x8f, 206, 0, 5, 0, 0, 0, 1, 0, 0, 0, 0, b'R', b'E', b'M', b'B', 1, 0x0f, 0xd0, 0x90,
            0, 0, 0, 2,
        ];
        let Ok(Packet::Remb {
            bitrate_bps, ssrcs, ..
        }) = one(&golden)
        else {
            panic!("not a REMB")
        };
        assert_eq!(
            (bitrate_bps, ssrcs.collect::<Vec<_>>()),
            (2_000_000, vec![Ssrc(2)])
        );
        let mut beyond = golden;
        beyond[17] |= 0xfc;
        assert_eq!(one(&beyond), Err(Drop::Malformed), "beyond 64 bits");
        let mut more = golden;
        more[16] = 2;
        assert_eq!(
            one(&more),
            Err(Drop::Malformed),
            "a source that is not there"
        );
    }

    #[test]
    fn transport_wide_feedback_is_handed_on_unread() {
        let golden = [0x8f, 205, 0, 3, 0, 0, 0, 1, 0, 0, 0, 2, 9, 8, 7, 6];
        let expected = Packet::TransportFeedback {
            sender: Ssrc(1),
            media: Ssrc(2),
            fci: &[9, 8, 7, 6],
        };
        assert_eq!(one(&golden), Ok(expected));
    }

    #[test]
    fn feedback_of_other_formats_is_other() {
        for (format, kind) in [(0x8b, 205), (0x82, 206), (0x8f, 206)] {
            let packet = [format, kind, 0, 2, 0, 0, 0, 1, 0, 0, 0, 2];
            assert_eq!(one(&packet), Ok(Packet::Other { packet_type: kind }));
        }
        assert_eq!(
            one(&[0x81, 205, 0, 1, 0, 0, 0, 1]),
            Err(Drop::Malformed),
            "no media source"
        );
    }
}
