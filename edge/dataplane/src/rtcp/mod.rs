//! RTCP: reading and writing the packets an edge exchanges with studios, players and other edges.
//!
//! RFC 3550 section 6 (reports), RFC 4585 (NACK, PLI), RFC 5104 (FIR), RFC 3611 (extended reports),
//! draft-alvestrand-rmcat-remb-03 (REMB), draft-holmer-rmcat-transport-wide-cc-extensions-01.

mod entries;
mod feedback;
mod packet;
mod write;

pub use entries::{Delay, Delays, Entries, FirEntries, ReportBlock, Reports, SenderInfo, Ssrcs};
pub use feedback::NackList;
pub use packet::{Packet, packets};
pub use write::{
    write_bye, write_fir, write_nack, write_pli, write_receiver_report, write_remb,
    write_sdes_cname, write_sender_report, write_transport_feedback,
};

/// Packet types (RFC 3550 section 12.1, RFC 4585 section 6.1, RFC 3611 section 2).
const SENDER_REPORT: u8 = 200;
const RECEIVER_REPORT: u8 = 201;
const SOURCE_DESCRIPTION: u8 = 202;
const BYE: u8 = 203;
const TRANSPORT_LAYER: u8 = 205;
const PAYLOAD_SPECIFIC: u8 = 206;
const EXTENDED_REPORT: u8 = 207;

/// Formats of transport-layer feedback.
const FORMAT_NACK: u8 = 1;
const FORMAT_TRANSPORT_WIDE: u8 = 15;
/// Formats of payload-specific feedback.
const FORMAT_PLI: u8 = 1;
const FORMAT_FIR: u8 = 4;
const FORMAT_APPLICATION: u8 = 15;

/// What tells REMB from other application feedback.
const REMB_NAME: [u8; 4] = *b"REMB";

const VERSION: u8 = 0x80;
const PADDING_BIT: u8 = 0x20;
const COUNT_MASK: u8 = 0x1f;

/// Whether a datagram of version 2 is RTCP and not RTP, where both share a port (RFC 5761, section 4).
#[inline]
#[must_use]
pub fn is_rtcp(datagram: &[u8]) -> bool {
    matches!(datagram, [0x80..=0xbf, 192..=223, ..])
}

/// The middle 32 bits of an NTP time: the form in LSR and LRR fields, in units of 1/65536 s.
#[must_use]
pub fn ntp_middle(ntp: u64) -> u32 {
    let [_, _, m0, m1, m2, m3, _, _] = ntp.to_be_bytes();
    u32::from_be_bytes([m0, m1, m2, m3])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_compact_time_is_the_middle_of_the_full_one() {
        // RFC 3550, figure 2: 0xb44d_b705 seconds and 0x2000_0000 fraction.
        assert_eq!(ntp_middle(0xb44d_b705_2000_0000), 0xb705_2000);
    }

    #[test]
    fn the_second_octet_tells_rtcp_from_rtp() {
        assert!(is_rtcp(&[0x80, 200]) && is_rtcp(&[0xa1, 192]) && is_rtcp(&[0x8f, 223]));
        assert!(
            !is_rtcp(&[0x80, 96])
                && !is_rtcp(&[0x80, 224])
                && !is_rtcp(&[0x00, 200])
                && !is_rtcp(&[0x80])
        );
    }
}
