//! The few RTCP messages this tool sends and understands (RFC 3550, RFC 4585).

/// What a publisher must react to.
#[derive(Debug, Default)]
pub struct Feedback {
    /// Sequence numbers asked for again.
    pub nacked: Vec<u16>,
    pub keyframe_requests: u64,
    pub transport_cc: u64,
    pub receiver_reports: u64,
}

fn half(bytes: &[u8], at: usize) -> u16 {
    bytes
        .get(at..at + 2)
        .map_or(0, |bytes| u16::from_be_bytes([bytes[0], bytes[1]]))
}

/// Read a compound packet.
pub fn parse(mut packet: &[u8], feedback: &mut Feedback) {
    while packet.len() >= 4 {
        let length = 4 * (1 + usize::from(half(packet, 2)));
        let (format, kind) = (packet[0] & 0x1F, packet[1]);
        let body = packet.get(..length).unwrap_or(packet);
        match (kind, format) {
            (201, _) => feedback.receiver_reports += 1,
            (205, 1) => nacks(body.get(12..).unwrap_or_default(), &mut feedback.nacked),
            (205, 15) => feedback.transport_cc += 1,
            (206, 1 | 4) => feedback.keyframe_requests += 1,
            _ => {}
        }
        packet = packet.get(length..).unwrap_or_default();
    }
}

fn nacks(pairs: &[u8], out: &mut Vec<u16>) {
    for pair in pairs.chunks_exact(4) {
        let (first, mask) = (half(pair, 0), half(pair, 2));
        out.push(first);
        out.extend(
            (0..16)
                .filter(|bit| mask >> bit & 1 == 1)
                .map(|bit| first.wrapping_add(bit + 1)),
        );
    }
}

/// A sender report.
pub fn sender_report(ssrc: u32, wall_ns: u64, rtp_time: u32, packets: u32, octets: u32) -> Vec<u8> {
    let seconds = (wall_ns / 1_000_000_000 + 2_208_988_800) as u32;
    let fraction = (((wall_ns % 1_000_000_000) << 32) / 1_000_000_000) as u32;
    let mut packet = vec![0x80, 200, 0, 6];
    for word in [ssrc, seconds, fraction, rtp_time, packets, octets] {
        packet.extend_from_slice(&word.to_be_bytes());
    }
    packet
}

/// A receiver report with one block and no losses to tell of.
pub fn receiver_report(ssrc: u32, source: u32, highest: u32) -> Vec<u8> {
    let mut packet = vec![0x81, 201, 0, 7];
    for word in [ssrc, source, 0, highest, 0, 0, 0] {
        packet.extend_from_slice(&word.to_be_bytes());
    }
    packet
}
