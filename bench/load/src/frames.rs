//! Synthetic H.264 in RTP (RFC 6184) whose filler carries the send time.

/// Parameter sets of a real encoder: 1280x720, constrained baseline, level 3.1.
const SPS: [u8; 24] = [
    0x67, 0x42, 0xC0, 0x1F, 0xDA, 0x01, 0x40, 0x16, 0xEC, 0x04, 0x40, 0x00, 0x00, 0x03, 0x00, 0x40,
    0x00, 0x00, 0x0F, 0x03, 0xC6, 0x0C, 0xA8, 0x80,
];
const PPS: [u8; 5] = [0x68, 0xCE, 0x0F, 0x2C, 0x80];
/// First bytes of an IDR slice (I) and of another slice (P), after the NAL header.
const IDR_START: [u8; 2] = [0x88, 0x84];
const SLICE_START: [u8; 2] = [0x9A, 0x20];

/// Marks a record in the filler. None of a record's bytes is zero, so no start code appears.
const MAGIC: [u8; 4] = [0xA5, 0x5A, 0xC3, 0x3C];
const RECORD_BYTES: usize = 16;

fn sevens(value: u64, out: &mut [u8]) {
    for (index, byte) in out.iter_mut().enumerate() {
        *byte = 0x80 | ((value >> (7 * index)) & 0x7F) as u8;
    }
}

/// Fill with records of (send time, frame number); any 31 bytes of it hold a whole one.
fn fill(out: &mut [u8], stamp_ns: u64, frame: u64) {
    let mut record = [0u8; RECORD_BYTES];
    record[..4].copy_from_slice(&MAGIC);
    sevens(stamp_ns, &mut record[4..12]);
    sevens(frame, &mut record[12..]);
    for chunk in out.chunks_mut(RECORD_BYTES) {
        chunk.copy_from_slice(&record[..chunk.len()]);
    }
}

/// The send time in a payload (CLOCK_MONOTONIC ns modulo 2^56), wherever a packetizer moved it.
pub fn stamp_of(payload: &[u8]) -> Option<u64> {
    let window = &payload[..payload.len().min(96)];
    let at = window
        .windows(RECORD_BYTES)
        .position(|bytes| bytes.starts_with(&MAGIC))?;
    let bytes = window.get(at + 4..at + 12)?;
    Some(bytes.iter().enumerate().fold(0, |value, (index, byte)| {
        value | u64::from(byte & 0x7F) << (7 * index)
    }))
}

/// SPS and PPS in one STAP-A.
pub fn parameter_sets() -> Vec<u8> {
    let mut payload = vec![0x78];
    for unit in [&SPS[..], &PPS[..]] {
        payload.extend_from_slice(&(unit.len() as u16).to_be_bytes());
        payload.extend_from_slice(unit);
    }
    payload
}

/// One packet's payload of a frame that is cut into `count` equal fragments of `bytes` each.
pub fn fragment(
    index: usize,
    count: usize,
    bytes: usize,
    key: bool,
    stamp_ns: u64,
    frame: u64,
) -> Vec<u8> {
    let (header, start) = if key {
        (0x65u8, IDR_START)
    } else {
        (0x41, SLICE_START)
    };
    let mut payload = if count == 1 {
        vec![header]
    } else {
        let ends = u8::from(index == 0) << 7 | u8::from(index + 1 == count) << 6;
        vec![(header & 0x60) | 28, ends | (header & 0x1F)]
    };
    if index == 0 {
        payload.extend_from_slice(&start);
    }
    let from = payload.len();
    payload.resize(bytes.max(from + 2 * RECORD_BYTES), 0);
    fill(&mut payload[from..], stamp_ns, frame);
    payload
}

/// An Opus-like payload.
pub fn sound(stamp_ns: u64, frame: u64) -> Vec<u8> {
    let mut payload = vec![0x78; 120];
    fill(&mut payload[1..], stamp_ns, frame);
    payload
}

/// Whether a payload belongs to a key frame or its parameter sets.
pub fn is_key(payload: &[u8]) -> bool {
    let kind = |at: usize| payload.get(at).map_or(0, |byte| byte & 0x1F);
    match kind(0) {
        5 | 7 => true,
        24 => matches!(kind(3), 5 | 7),
        28 => kind(1) == 5,
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_stamp_is_found_in_every_fragment_and_no_start_code_appears() {
        for index in 0..9 {
            let payload = fragment(index, 9, 1157, true, 123_456_789_012_345, 7);
            assert_eq!(payload.len(), 1157);
            assert_eq!(stamp_of(&payload), Some(123_456_789_012_345));
            assert!(is_key(&payload));
            assert!(!payload.windows(2).any(|bytes| bytes == [0, 0]));
        }
        assert!(is_key(&parameter_sets()));
        assert!(!is_key(&fragment(0, 1, 800, false, 1, 1)));
    }
}
