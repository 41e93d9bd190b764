//! Writing RTCP. Each function appends one packet, so that calls in a row make a compound.

use super::{
    BYE, FORMAT_APPLICATION, FORMAT_FIR, FORMAT_NACK, FORMAT_PLI, FORMAT_TRANSPORT_WIDE,
    PADDING_BIT, PAYLOAD_SPECIFIC, RECEIVER_REPORT, REMB_NAME, ReportBlock, SENDER_REPORT,
    SOURCE_DESCRIPTION, SenderInfo, TRANSPORT_LAYER, VERSION,
};
use crate::types::Ssrc;

/// The most report blocks a report can count (RFC 3550, section 6.4.1).
const MAX_BLOCKS: usize = 31;
/// The most sources a REMB can count.
const MAX_REMB_SSRCS: usize = 255;
/// Numbers per NACK packet, so that one always fits a datagram: at most 12 + 4 * 256 octets.
const NACK_NUMBERS: usize = 256;
/// Octets of feedback in one packet: what the length field can hold beside header and padding.
const MAX_FCI_BYTES: usize = 65_000;
/// How many numbers after the first one NACK entry can name.
const NACK_BITS: u16 = 16;
const SDES_CNAME: u8 = 1;
const REMB_MANTISSA_BITS: u32 = 18;
const MAX_LOST: i32 = 0x7f_ffff;
const MIN_LOST: i32 = -0x80_0000;

/// Appends an SR; blocks beyond the 31st are left out.
pub fn write_sender_report(
    out: &mut Vec<u8>,
    ssrc: Ssrc,
    info: &SenderInfo,
    reports: &[ReportBlock],
) {
    let start = begin(out, SENDER_REPORT, block_count(reports));
    put(out, ssrc.0);
    out.extend_from_slice(&info.ntp.to_be_bytes());
    put(out, info.rtp);
    put(out, info.packets);
    put(out, info.octets);
    put_blocks(out, reports);
    end(out, start);
}

/// Appends an RR; blocks beyond the 31st are left out.
pub fn write_receiver_report(out: &mut Vec<u8>, ssrc: Ssrc, reports: &[ReportBlock]) {
    let start = begin(out, RECEIVER_REPORT, block_count(reports));
    put(out, ssrc.0);
    put_blocks(out, reports);
    end(out, start);
}

/// Appends an SDES with one CNAME, cut to 255 octets (RFC 3550, section 6.5).
pub fn write_sdes_cname(out: &mut Vec<u8>, ssrc: Ssrc, cname: &str) {
    let cname = cname
        .get(..floor_char_boundary(cname, 255))
        .unwrap_or_default();
    let start = begin(out, SOURCE_DESCRIPTION, 1);
    put(out, ssrc.0);
    out.extend([SDES_CNAME, u8::try_from(cname.len()).unwrap_or_default()]);
    out.extend_from_slice(cname.as_bytes());
    out.push(0); // at least one zero ends the items
    pad(out, start);
    end(out, start);
}

/// Appends a BYE.
pub fn write_bye(out: &mut Vec<u8>, ssrc: Ssrc) {
    let start = begin(out, BYE, 1);
    put(out, ssrc.0);
    end(out, start);
}

/// Appends a PLI (RFC 4585, section 6.3.1).
pub fn write_pli(out: &mut Vec<u8>, sender: Ssrc, media: Ssrc) {
    let start = begin_feedback(out, PAYLOAD_SPECIFIC, FORMAT_PLI, sender, media);
    end(out, start);
}

/// Appends a FIR for one source (RFC 5104, section 4.3.1: the source stands in the entry, not in the head).
pub fn write_fir(out: &mut Vec<u8>, sender: Ssrc, media: Ssrc, command_sequence: u8) {
    let start = begin_feedback(out, PAYLOAD_SPECIFIC, FORMAT_FIR, sender, Ssrc(0));
    put(out, media.0);
    out.extend([command_sequence, 0, 0, 0]);
    end(out, start);
}

/// Appends a NACK for ascending (across the wrap) sequence numbers; one packet per 256 numbers, none for none.
pub fn write_nack(out: &mut Vec<u8>, sender: Ssrc, media: Ssrc, lost: &[u16]) {
    for numbers in lost.chunks(NACK_NUMBERS) {
        let start = begin_feedback(out, TRANSPORT_LAYER, FORMAT_NACK, sender, media);
        put_nack_entries(out, numbers);
        end(out, start);
    }
}

/// Appends a REMB; the bitrate is rounded down to 18 significant bits, sources beyond the 255th are left out.
pub fn write_remb(out: &mut Vec<u8>, sender: Ssrc, bitrate_bps: u64, ssrcs: &[Ssrc]) {
    let ssrcs = ssrcs.get(..MAX_REMB_SSRCS).unwrap_or(ssrcs);
    let exponent = (u64::BITS - bitrate_bps.leading_zeros()).saturating_sub(REMB_MANTISSA_BITS);
    #[expect(clippy::cast_possible_truncation, reason = "the shift leaves 18 bits")]
    let packed = exponent << REMB_MANTISSA_BITS | (bitrate_bps >> exponent) as u32;
    let count = u32::try_from(ssrcs.len()).unwrap_or_default();
    let start = begin_feedback(out, PAYLOAD_SPECIFIC, FORMAT_APPLICATION, sender, Ssrc(0));
    out.extend_from_slice(&REMB_NAME);
    put(out, count << 24 | packed);
    for ssrc in ssrcs {
        put(out, ssrc.0);
    }
    end(out, start);
}

/// Appends transport-wide congestion control feedback, padded to whole words; none if `fci` exceeds 65,000 octets.
pub fn write_transport_feedback(out: &mut Vec<u8>, sender: Ssrc, media: Ssrc, fci: &[u8]) {
    if fci.len() > MAX_FCI_BYTES {
        return;
    }
    let start = begin_feedback(out, TRANSPORT_LAYER, FORMAT_TRANSPORT_WIDE, sender, media);
    out.extend_from_slice(fci);
    let written = out.len();
    pad(out, start);
    let padding = out.len() - written;
    if let (Some(last), 1..) = (out.last_mut(), padding) {
        // As libwebrtc does: RTCP padding of one to three octets, though RFC 3550 asks for four.
        *last = u8::try_from(padding).unwrap_or_default();
        if let Some(first) = out.get_mut(start) {
            *first |= PADDING_BIT;
        }
    }
    end(out, start);
}

fn put_nack_entries(out: &mut Vec<u8>, numbers: &[u16]) {
    let mut numbers = numbers.iter().copied().peekable();
    while let Some(first) = numbers.next() {
        let mut following = 0u16;
        while let Some(number) = numbers.next_if(|number| number.wrapping_sub(first) <= NACK_BITS) {
            let distance = number.wrapping_sub(first);
            if distance > 0 {
                following |= 1 << (distance - 1);
            }
        }
        put(out, u32::from(first) << 16 | u32::from(following));
    }
}

fn block_count(reports: &[ReportBlock]) -> u8 {
    u8::try_from(reports.len().min(MAX_BLOCKS)).unwrap_or_default()
}

fn put_blocks(out: &mut Vec<u8>, reports: &[ReportBlock]) {
    for block in reports.iter().take(MAX_BLOCKS) {
        let [_, l0, l1, l2] = block.lost.clamp(MIN_LOST, MAX_LOST).to_be_bytes();
        put(out, block.ssrc.0);
        out.extend([block.fraction_lost, l0, l1, l2]);
        put(out, block.highest);
        put(out, block.jitter);
        put(out, block.last_sr);
        put(out, block.delay_since_sr);
    }
}

/// Appends a header whose length `end` fills in; gives where the packet starts.
fn begin(out: &mut Vec<u8>, packet_type: u8, count: u8) -> usize {
    let start = out.len();
    out.extend([VERSION | count, packet_type, 0, 0]);
    start
}

fn begin_feedback(
    out: &mut Vec<u8>,
    packet_type: u8,
    format: u8,
    sender: Ssrc,
    media: Ssrc,
) -> usize {
    let start = begin(out, packet_type, format);
    put(out, sender.0);
    put(out, media.0);
    start
}

/// The length field counts words after the first (RFC 3550, section 6.4.1).
fn end(out: &mut [u8], start: usize) {
    let words = out.len().saturating_sub(start + 4) / 4;
    if let (Some(field), Ok(words)) = (out.get_mut(start + 2..start + 4), u16::try_from(words)) {
        field.copy_from_slice(&words.to_be_bytes());
    }
}

fn put(out: &mut Vec<u8>, word: u32) {
    out.extend_from_slice(&word.to_be_bytes());
}

fn pad(out: &mut Vec<u8>, start: usize) {
    let len = (out.len() - start).next_multiple_of(4);
    out.resize(start + len, 0);
}

fn floor_char_boundary(text: &str, limit: usize) -> usize {
    let mut at = limit.min(text.len());
    while !text.is_char_boundary(at) {
        at -= 1;
    }
    at
}

#[cfg(test)]
mod tests {
    use super::super::{Packet, packets};
    use super::*;

    const SENDER: Ssrc = Ssrc(1);
    const MEDIA: Ssrc = Ssrc(2);

    fn written(write: impl FnOnce(&mut Vec<u8>)) -> Vec<u8> {
        let mut out = vec![];
        write(&mut out);
        assert_eq!(out.len() % 4, 0);
        out
    }

    fn read(out: &[u8]) -> Packet<'_> {
        let mut found = packets(out);
        let packet = found.next().unwrap().unwrap();
        assert!(found.next().is_none());
        packet
    }

    fn block(lost: i32) -> ReportBlock {
        ReportBlock {
            ssrc: MEDIA,
            fraction_lost: 3,
            lost,
            highest: 4,
            jitter: 5,
            last_sr: 6,
            delay_since_sr: 7,
        }
    }

    #[test]
    fn reports_are_read_back() {
        let info = SenderInfo {
            ntp: 0x0102_0304_0506_0708,
            rtp: 9,
            packets: 10,
            octets: 11,
        };
        let out = written(|out| write_sender_report(out, SENDER, &info, &[block(-1), block(1)]));
        let Packet::SenderReport {
            ssrc,
            info: read_info,
            reports,
        } = read(&out)
        else {
            panic!("not an SR")
        };
        assert_eq!((ssrc, read_info), (SENDER, info));
        assert_eq!(reports.collect::<Vec<_>>(), [block(-1), block(1)]);
    }

    #[test]
    fn losses_stay_within_24_bits_and_blocks_within_31() {
        let mut blocks = vec![block(i32::MAX), block(i32::MIN)];
        blocks.resize(40, block(0));
        let out = written(|out| write_receiver_report(out, SENDER, &blocks));
        let Packet::ReceiverReport { reports, .. } = read(&out) else {
            panic!("not an RR")
        };
        let lost: Vec<_> = reports.map(|report| report.lost).collect();
        assert_eq!((lost.len(), lost[0], lost[1]), (31, 8_388_607, -8_388_608));
    }

    #[test]
    fn a_cname_ends_with_zeros_to_the_word() {
        let golden = [
            0x81, 202, 0, 3, 0, 0, 0, 1, 1, 4, b'e', b'd', b'g', b'e', 0, 0,
        ];
        assert_eq!(written(|out| write_sdes_cname(out, SENDER, "edge")), golden);
        let full = written(|out| write_sdes_cname(out, SENDER, "abcdef"));
        assert_eq!(
            full[10..],
            [b'a', b'b', b'c', b'd', b'e', b'f', 0, 0, 0, 0],
            "six octets need four zeros, not none"
        );
        let long = written(|out| write_sdes_cname(out, SENDER, &"é".repeat(200)));
        assert_eq!(long[9], 254, "cut between characters");
    }

    #[test]
    fn feedback_has_the_golden_form() {
        assert_eq!(
            written(|out| write_bye(out, SENDER)),
            [0x81, 203, 0, 1, 0, 0, 0, 1]
        );
        assert_eq!(
            written(|out| write_pli(out, SENDER, MEDIA)),
            [0x81, 206, 0, 2, 0, 0, 0, 1, 0, 0, 0, 2]
        );
        let fir = [
            0x84, 206, 0, 4, 0, 0, 0, 1, 0, 0, 0, 0, 0, 0, 0, 2, 7, 0, 0, 0,
        ];
        assert_eq!(written(|out| write_fir(out, SENDER, MEDIA, 7)), fir);
        let nack = [
            0x81, 205, 0, 4, 0, 0, 0, 1, 0, 0, 0, 2, 0xff, 0xfe, 0x80, 0x05, 0, 100, 0, 0,
        ];
        assert_eq!(
            written(|out| write_nack(out, SENDER, MEDIA, &[65_534, 65_535, 1, 14, 14, 100])),
            nack
        );
        let remb = [
            0x8f, 206, 0, 5, 0, 0, 0, 1, 0, 0, 0, 0, b'R', b'E', b'M', b'B', 1, 0x0f, 0xd0, 0x90,
            0, 0, 0, 2,
        ];
        assert_eq!(
            written(|out| write_remb(out, SENDER, 2_000_000, &[MEDIA])),
            remb
        );
    }

    #[test]
    fn many_losses_make_many_packets_and_none_make_none() {
        assert!(written(|out| write_nack(out, SENDER, MEDIA, &[])).is_empty());
        let lost: Vec<u16> = (0..2_000).map(|number| number * 20).collect();
        let out = written(|out| write_nack(out, SENDER, MEDIA, &lost));
        let mut numbers = vec![];
        for packet in packets(&out) {
            let Ok(Packet::Nack { lost, .. }) = packet else {
                panic!("not a NACK")
            };
            numbers.extend(lost);
        }
        assert_eq!(numbers, lost);
    }

    #[test]
    fn bitrates_keep_18_bits() {
        for bitrate_bps in [0, 1, 262_143, 262_144, 999_999_999, u64::MAX] {
            let out = written(|out| write_remb(out, SENDER, bitrate_bps, &[]));
            let Packet::Remb {
                bitrate_bps: read_bps,
                ..
            } = read(&out)
            else {
                panic!("not a REMB")
            };
            assert!(
                read_bps <= bitrate_bps && bitrate_bps - read_bps <= bitrate_bps >> 17,
                "{bitrate_bps}"
            );
        }
    }

    #[test]
    fn transport_feedback_of_any_length_is_read_back() {
        for fci in [
            &[1, 2, 3, 4][..],
            &[1, 2, 3, 4, 5],
            &[1, 2, 3, 4, 5, 6],
            &[1, 2, 3],
        ] {
            let out = written(|out| write_transport_feedback(out, SENDER, MEDIA, fci));
            assert_eq!(
                read(&out),
                Packet::TransportFeedback {
                    sender: SENDER,
                    media: MEDIA,
                    fci
                }
            );
        }
        let out = written(|out| {
            write_transport_feedback(out, SENDER, MEDIA, &vec![0; MAX_FCI_BYTES + 1])
        });
        assert!(out.is_empty());
    }

    #[test]
    fn calls_in_a_row_make_a_compound() {
        let out = written(|out| {
            write_receiver_report(out, SENDER, &[]);
            write_sdes_cname(out, SENDER, "edge");
            write_pli(out, SENDER, MEDIA);
        });
        let found: Result<Vec<_>, _> = packets(&out).collect();
        assert_eq!(found.unwrap().len(), 3);
    }
}
