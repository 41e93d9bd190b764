//! Splitting a compound and reading each packet of it.

use super::entries::{Delays, Entries, Entry, FirEntries, Reports, SenderInfo, Ssrcs, take};
use super::feedback::{self, NackList};
use super::{
    BYE, COUNT_MASK, EXTENDED_REPORT, PADDING_BIT, PAYLOAD_SPECIFIC, RECEIVER_REPORT,
    SENDER_REPORT, TRANSPORT_LAYER, VERSION,
};
use crate::error::Drop;
use crate::types::Ssrc;

const HEADER_BYTES: usize = 4;
const REPORT_BLOCK_BYTES: usize = 24;
/// Extended report blocks (RFC 3611, sections 4.4 and 4.5).
const RECEIVER_REFERENCE_TIME: u8 = 4;
const DELAY_SINCE_RECEIVER_REPORT: u8 = 5;

/// One RTCP packet. Lists are read from the packet as they are iterated.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Packet<'a> {
    /// SR.
    SenderReport {
        /// Who reports.
        ssrc: Ssrc,
        /// What it sent.
        info: SenderInfo,
        /// What it received.
        reports: Reports<'a>,
    },
    /// RR.
    ReceiverReport {
        /// Who reports.
        ssrc: Ssrc,
        /// What it received.
        reports: Reports<'a>,
    },
    /// BYE.
    Bye {
        /// Sources that leave.
        ssrcs: Ssrcs<'a>,
    },
    /// Generic NACK.
    Nack {
        /// Who asks.
        sender: Ssrc,
        /// Whose packets are missing.
        media: Ssrc,
        /// Sequence numbers to send again.
        lost: NackList<'a>,
    },
    /// Picture loss indication.
    Pli {
        /// Who asks.
        sender: Ssrc,
        /// Who shall send a key frame.
        media: Ssrc,
    },
    /// Full intra request.
    Fir {
        /// Who asks.
        sender: Ssrc,
        /// Who shall send a key frame; a repeated command sequence number is the same request.
        entries: FirEntries<'a>,
    },
    /// Receiver estimated maximum bitrate.
    Remb {
        /// Who estimates.
        sender: Ssrc,
        /// The estimate over all `ssrcs`.
        bitrate_bps: u64,
        /// Sources that share it.
        ssrcs: Ssrcs<'a>,
    },
    /// Transport-wide congestion control feedback.
    TransportFeedback {
        /// Who reports.
        sender: Ssrc,
        /// A source of the transport reported on.
        media: Ssrc,
        /// The report, unread.
        fci: &'a [u8],
    },
    /// XR, of which only what measures a receiver's round trip is read.
    ExtendedReport {
        /// Who reports.
        ssrc: Ssrc,
        /// Its NTP time (RRTR), if given.
        reference_time: Option<u64>,
        /// Answers to reference times (DLRR).
        delays: Delays<'a>,
    },
    /// A packet the edge has no use for.
    Other {
        /// Its type.
        packet_type: u8,
    },
}

/// The packets of a compound or of a reduced-size packet (RFC 5506), in order.
///
/// A malformed packet is the last item. Padding is taken off whichever packet carries it.
pub fn packets(compound: &[u8]) -> impl Iterator<Item = Result<Packet<'_>, Drop>> {
    let mut rest = compound;
    core::iter::from_fn(move || {
        if rest.is_empty() {
            return None;
        }
        let packet = Frame::split(&mut rest)
            .and_then(|frame| frame.read())
            .ok_or(Drop::Malformed);
        if packet.is_err() {
            rest = &[];
        }
        Some(packet)
    })
}

/// A packet's common header and what follows it.
struct Frame<'a> {
    /// Entries in the packet, or the feedback format.
    count: u8,
    /// Packet type.
    packet_type: u8,
    /// What follows the header, without padding.
    body: &'a [u8],
}

impl<'a> Frame<'a> {
    /// Takes the next packet off a compound.
    fn split(compound: &mut &'a [u8]) -> Option<Self> {
        let &[first, packet_type, w0, w1] = compound.first_chunk::<HEADER_BYTES>()?;
        let len = HEADER_BYTES + 4 * usize::from(u16::from_be_bytes([w0, w1]));
        let (packet, rest) = compound.split_at_checked(len)?;
        *compound = rest;
        let mut body = packet.get(HEADER_BYTES..)?;
        if first & !(PADDING_BIT | COUNT_MASK) != VERSION {
            return None;
        }
        if first & PADDING_BIT != 0 {
            body = strip_padding(body)?;
        }
        Some(Self {
            count: first & COUNT_MASK,
            packet_type,
            body,
        })
    }

    fn read(&self) -> Option<Packet<'a>> {
        let mut body = self.body;
        match self.packet_type {
            SENDER_REPORT => Some(Packet::SenderReport {
                ssrc: Ssrc::read(&mut body)?,
                info: SenderInfo::read(&mut body)?,
                reports: self.list(body, REPORT_BLOCK_BYTES)?,
            }),
            RECEIVER_REPORT => Some(Packet::ReceiverReport {
                ssrc: Ssrc::read(&mut body)?,
                reports: self.list(body, REPORT_BLOCK_BYTES)?,
            }),
            BYE => Some(Packet::Bye {
                ssrcs: self.list(body, 4)?,
            }),
            TRANSPORT_LAYER => feedback::read_transport(self.count, body),
            PAYLOAD_SPECIFIC => feedback::read_payload(self.count, body),
            EXTENDED_REPORT => read_extended(body),
            packet_type => Some(Packet::Other { packet_type }),
        }
    }

    /// The counted entries; what follows them is a profile's own (RFC 3550, section 6.4.3) or a BYE's reason.
    fn list<E>(&self, body: &'a [u8], entry_bytes: usize) -> Option<Entries<'a, E>> {
        body.get(..usize::from(self.count) * entry_bytes)
            .map(Entries::new)
    }
}

/// The last octet counts the padding. RFC 3550, section 6.4.1, wants a multiple of four, but libwebrtc
/// pads transport-wide feedback with one to three octets.
fn strip_padding(body: &[u8]) -> Option<&[u8]> {
    let count = usize::from(*body.last()?);
    if count == 0 {
        return None;
    }
    body.get(..body.len().checked_sub(count)?)
}

fn read_extended<'a>(mut body: &'a [u8]) -> Option<Packet<'a>> {
    let ssrc = Ssrc::read(&mut body)?;
    let mut reference_time = None;
    let mut delays: &'a [u8] = &[];
    while !body.is_empty() {
        let [kind, _, w0, w1] = take(&mut body)?;
        let (mut block, rest) =
            body.split_at_checked(4 * usize::from(u16::from_be_bytes([w0, w1])))?;
        body = rest;
        match kind {
            RECEIVER_REFERENCE_TIME => reference_time = Some(u64::read(&mut block)?),
            DELAY_SINCE_RECEIVER_REPORT => delays = block,
            _ => {}
        }
    }
    Some(Packet::ExtendedReport {
        ssrc,
        reference_time,
        delays: Delays::new(delays),
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::rtcp::{Delay, ReportBlock};

    fn all(compound: &[u8]) -> Vec<Result<Packet<'_>, Drop>> {
        packets(compound).collect()
    }

    fn one(compound: &[u8]) -> Packet<'_> {
        let mut found = all(compound);
        assert_eq!(found.len(), 1);
        found.remove(0).unwrap()
    }

    #[test]
    fn a_sender_report_with_a_block_is_read_field_by_field() {
        let golden = [
            0x81, 200, 0, 12, 0, 0, 0, 1, // header, SSRC
            0xb4, 0x4d, 0xb7, 0x05, 0x20, 0, 0, 0, 0, 1, 0x5f, 0x90, 0, 0, 0, 5, 0, 0, 0x13,
            0x88, // sender
            0, 0, 0, 2, 64, 0xff, 0xff, 0xfe, 0, 1, 0, 7, 0, 0, 0, 9, 0xb7, 0x05, 0x20, 0, 0, 1, 0,
            0, // block
        ];
        let Packet::SenderReport {
            ssrc,
            info,
            reports,
        } = one(&golden)
        else {
            panic!("not a sender report")
        };
        assert_eq!(ssrc, Ssrc(1));
        assert_eq!(
            info,
            SenderInfo {
                ntp: 0xb44d_b705_2000_0000,
                rtp: 90_000,
                packets: 5,
                octets: 5_000
            }
        );
        let block = ReportBlock {
            ssrc: Ssrc(2),
            fraction_lost: 64,
            lost: -2,
            highest: 65_543,
            jitter: 9,
            last_sr: 0xb705_2000,
            delay_since_sr: 65_536,
        };
        assert_eq!(reports.collect::<Vec<_>>(), [block]);
    }

    #[test]
    fn a_compound_is_read_in_order() {
        let compound = [
            0x80, 201, 0, 1, 0, 0, 0, 1, // RR
            0x81, 202, 0, 2, 0, 0, 0, 1, 1, 1, b'a', 0, // SDES
            0x82, 203, 0, 3, 0, 0, 0, 1, 0, 0, 0, 2, 2, b'o', b'k', 0, // BYE with a reason
        ];
        let found = all(&compound);
        assert!(matches!(
            &found[0],
            Ok(Packet::ReceiverReport { ssrc: Ssrc(1), .. })
        ));
        assert_eq!(found[1], Ok(Packet::Other { packet_type: 202 }));
        let Ok(Packet::Bye { ssrcs }) = found[2].clone() else {
            panic!("not a BYE")
        };
        assert_eq!(ssrcs.collect::<Vec<_>>(), [Ssrc(1), Ssrc(2)]);
        assert_eq!(found.len(), 3);
    }

    #[test]
    fn an_extended_report_gives_reference_time_and_delays() {
        let golden = [
            0x80, 207, 0, 9, 0, 0, 0, 1, // header, SSRC
            4, 0, 0, 2, 0, 0, 0, 7, 0, 0, 0, 8, // RRTR
            9, 0, 0, 0, // a block of no interest
            5, 0, 0, 3, 0, 0, 0, 2, 0, 0, 0, 3, 0, 0, 0, 4, // DLRR
        ];
        let Packet::ExtendedReport {
            ssrc,
            reference_time,
            delays,
        } = one(&golden)
        else {
            panic!("not an XR")
        };
        assert_eq!(
            (ssrc, reference_time),
            (Ssrc(1), Some(0x0000_0007_0000_0008))
        );
        let delay = Delay {
            ssrc: Ssrc(2),
            last_rr: 3,
            delay_since_rr: 4,
        };
        assert_eq!(delays.collect::<Vec<_>>(), [delay]);
    }

    #[test]
    fn padding_is_taken_off() {
        let padded = [0xa1, 206, 0, 3, 0, 0, 0, 1, 0, 0, 0, 2, 0, 0, 0, 4];
        assert_eq!(
            one(&padded),
            Packet::Pli {
                sender: Ssrc(1),
                media: Ssrc(2)
            }
        );
        for count in [0, 5, 12, 13] {
            let mut wrong = padded;
            wrong[15] = count;
            assert_eq!(
                all(&wrong),
                [Err(Drop::Malformed)],
                "{count} octets of padding"
            );
        }
    }

    #[test]
    fn a_malformed_packet_ends_the_iteration() {
        let good = [0x80, 201, 0, 1, 0, 0, 0, 1];
        let bad = [0x82, 203, 0, 1, 0, 0, 0, 1];
        let compound = [good, bad, good].concat();
        let found = all(&compound);
        assert_eq!(found.len(), 2);
        assert_eq!(found[1], Err(Drop::Malformed));
    }

    #[test]
    fn lengths_and_counts_beyond_the_packet_are_malformed() {
        let bad: [&[u8]; 7] = [
            &[0x80, 201, 0],                            // cut header
            &[0x80, 201, 0, 2, 0, 0, 0, 1],             // length beyond the end
            &[0x00, 201, 0, 1, 0, 0, 0, 1],             // version 0
            &[0x81, 201, 0, 1, 0, 0, 0, 1],             // a block that is not there
            &[0x80, 200, 0, 1, 0, 0, 0, 1],             // no sender information
            &[0x82, 203, 0, 1, 0, 0, 0, 1],             // two sources, one there
            &[0x80, 207, 0, 2, 0, 0, 0, 1, 4, 0, 0, 2], // cut extended block
        ];
        for bad in bad {
            assert_eq!(all(bad), [Err(Drop::Malformed)], "{bad:?}");
        }
    }

    #[test]
    fn nothing_gives_nothing() {
        assert_eq!(all(&[]), []);
    }
}
