//! RTP payloads of each codec, just real enough to be told apart.

use dataplane::codec::Codec;

/// One frame to be made.
#[derive(Clone, Copy, Debug, Default)]
pub struct Frame {
    pub key: bool,
    /// Packets of 1,100 bytes.
    pub packets: usize,
    pub temporal: u8,
    /// Nothing refers to it.
    pub discardable: bool,
    /// Picture id or frame number.
    pub number: u16,
    pub width: u16,
    pub height: u16,
}

pub const PACKET: usize = 1_100;

/// Payload and dependency descriptor of each packet of a frame.
pub fn payloads(codec: Codec, frame: &Frame) -> Vec<(Vec<u8>, Option<Vec<u8>>)> {
    let mut packets: Vec<_> = (0..frame.packets.max(1))
        .map(|at| {
            let first = at == 0;
            let mut payload = match codec {
                Codec::H264 => h264(frame, first),
                Codec::Vp8 => vp8(frame, first),
                Codec::Vp9 => vp9(frame, first),
                Codec::Av1 => vec![if first && frame.key { 0x18 } else { 0x10 }, 0x30, 0x30],
                _ => vec![1],
            };
            payload.resize(PACKET, 0xa5);
            let descriptor = (codec == Codec::Av1).then(|| descriptor(frame, at));
            (payload, descriptor)
        })
        .collect();
    if codec == Codec::H264 && frame.key {
        packets.insert(0, (parameter_sets(frame.width, frame.height), None));
    }
    packets
}

fn h264(frame: &Frame, first: bool) -> Vec<u8> {
    let reference = if frame.discardable { 0x00 } else { 0x60 };
    let start = if first { 0x80 } else { 0 };
    match (frame.key, first) {
        (true, _) => vec![0x60 | 28, start | 5, 0x88, 0x84],
        (false, true) => vec![reference | 28, start | 1, 0b1001_1000, 0],
        (false, false) => vec![reference | 28, 1, 0, 0],
    }
}

/// STAP-A of a baseline SPS of this size and a PPS.
fn parameter_sets(width: u16, height: u16) -> Vec<u8> {
    let mut bits = Bits::default();
    bits.put(66, 8);
    bits.put(0xc0, 8);
    bits.put(31, 8);
    for value in [0, 0, 2, 1] {
        bits.ue(value);
    }
    bits.put(0, 1);
    bits.ue(u32::from(width) / 16 - 1);
    bits.ue(u32::from(height) / 16 - 1);
    bits.put(0b1100, 4); // frames only, direct 8x8, no cropping, no VUI
    bits.put(1, 1);
    let sps = bits.bytes();
    let mut payload = vec![0x78, 0, sps.len() as u8 + 1, 0x67];
    payload.extend(sps);
    payload.extend([0, 4, 0x68, 0xce, 0x3c, 0x80]);
    payload
}

fn vp8(frame: &Frame, first: bool) -> Vec<u8> {
    let non_reference = if frame.discardable { 0x20 } else { 0 };
    let start = if first { 0x10 } else { 0 };
    let [high, low] = (frame.number | 0x8000).to_be_bytes();
    let tl0 = (frame.number / 4) as u8;
    let mut payload = vec![0x80 | non_reference | start, 0xe0, high, low, tl0];
    payload.push(frame.temporal << 6 | 0x20);
    if first && frame.key {
        let [w0, w1] = frame.width.to_le_bytes();
        let [h0, h1] = frame.height.to_le_bytes();
        payload.extend([0x10, 0, 0, 0x9d, 0x01, 0x2a, w0, w1, h0, h1]);
    } else {
        payload.push(0x11);
    }
    payload
}

fn vp9(frame: &Frame, first: bool) -> Vec<u8> {
    let predicted = if frame.key { 0 } else { 0x40 };
    let begin = if first { 0x08 } else { 0 };
    let [high, low] = (frame.number | 0x8000).to_be_bytes();
    let mut payload = vec![0xa0 | predicted | begin, high, low];
    payload.extend([frame.temporal << 5 | 0x10, 0, 0x82, 0x49]);
    payload
}

/// Two temporal layers: templates key, T0, T1 (discardable for the upper target, absent below).
fn descriptor(frame: &Frame, at: usize) -> Vec<u8> {
    let first = at == 0;
    let last = at + 1 == frame.packets.max(1);
    let template = match (frame.key, frame.temporal) {
        (true, _) => 0,
        (false, 0) => 1,
        _ => 2,
    };
    let [high, low] = frame.number.to_be_bytes();
    let flags = u8::from(first) << 7 | u8::from(last) << 6 | template;
    if !(frame.key && first) {
        return vec![flags, high, low];
    }
    let mut bits = Bits::default();
    bits.put(0b10000, 5); // a structure and nothing else
    bits.put(0, 6);
    bits.put(1, 5); // two decode targets
    for next in [0, 1, 3] {
        bits.put(next, 2);
    }
    for dti in [0b1010, 0b1010, 0b0001] {
        bits.put(dti, 4); // switch, switch; for T1: not present, discardable
    }
    bits.put(0, 1); // the key frame refers to nothing
    for difference in [1, 0] {
        bits.put(1, 1);
        bits.put(difference, 4);
        bits.put(0, 1);
    }
    bits.put(0, 1); // no chains: ns(3) of 0
    bits.put(1, 1);
    bits.put(u32::from(frame.width) - 1, 16);
    bits.put(u32::from(frame.height) - 1, 16);
    let mut out = vec![flags, high, low];
    out.extend(bits.bytes());
    out
}

#[derive(Default)]
struct Bits(Vec<bool>);

impl Bits {
    fn put(&mut self, value: u32, count: u32) {
        self.0
            .extend((0..count).rev().map(|bit| value >> bit & 1 == 1));
    }

    fn ue(&mut self, value: u32) {
        let length = 32 - (value + 1).leading_zeros();
        self.put(0, length - 1);
        self.put(value + 1, length);
    }

    fn bytes(&self) -> Vec<u8> {
        let byte = |bits: &[bool]| {
            (0..8).fold(0, |byte, at| {
                byte << 1 | u8::from(bits.get(at) == Some(&true))
            })
        };
        self.0.chunks(8).map(byte).collect()
    }
}
