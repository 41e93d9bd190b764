//! Wire format of transport-wide feedback, draft-holmer-rmcat-transport-wide-cc-extensions-01,
//! section 3.1: RTCP packet type 205, format 15.
//!
//! The reader works on the FCI (what follows the two SSRCs) without a copy; `Recorder` writes.

use crate::error::Drop;

pub use super::recorder::Recorder;

/// RTCP packet type of transport-layer feedback (RFC 4585, section 6.1).
pub const PACKET_TYPE: u8 = 205;
/// Feedback message type of transport-wide feedback.
pub const FORMAT: u8 = 15;
/// Resolution of arrival deltas.
pub const TICK_US: i64 = 250;
/// Resolution of the reference time.
pub const REFERENCE_US: i64 = 64_000;

/// Bytes of the FCI before the packet chunks.
const HEADER_BYTES: usize = 8;

/// One feedback message whose lengths have been checked.
#[derive(Clone, Copy, Debug)]
pub struct Feedback<'a> {
    /// Sequence number of the first packet reported on.
    base: u16,
    /// How many packets are reported on.
    count: u16,
    /// Time of the receiver in units of 64 ms, 24 bits.
    reference: u32,
    /// Running number of the feedback message.
    number: u8,
    /// Packet chunks, two bytes each, enough for `count` packets.
    chunks: &'a [u8],
    /// Arrival deltas, exactly those the chunks announce.
    deltas: &'a [u8],
}

/// Checks a feedback message. Padding after the deltas is ignored.
///
/// Refused as malformed: no packets, the reserved status, chunks or deltas that are cut short.
pub fn parse(fci: &[u8]) -> Result<Feedback<'_>, Drop> {
    let (header, body) = fci.split_at_checked(HEADER_BYTES).ok_or(Drop::Malformed)?;
    let &[b0, b1, c0, c1, r0, r1, r2, number] = header else {
        return Err(Drop::Malformed);
    };
    let count = u16::from_be_bytes([c0, c1]);
    if count == 0 {
        return Err(Drop::Malformed);
    }
    let (chunk_bytes, delta_bytes) = measure(body, usize::from(count))?;
    let (chunks, rest) = body.split_at_checked(chunk_bytes).ok_or(Drop::Malformed)?;
    Ok(Feedback {
        base: u16::from_be_bytes([b0, b1]),
        count,
        reference: u32::from_be_bytes([0, r0, r1, r2]),
        number,
        chunks,
        deltas: rest.get(..delta_bytes).ok_or(Drop::Malformed)?,
    })
}

/// Bytes of the chunks that cover `count` packets, and bytes of the deltas they announce.
fn measure(body: &[u8], count: usize) -> Result<(usize, usize), Drop> {
    let (mut left, mut chunk_bytes, mut delta_bytes) = (count, 0, 0);
    for word in body.chunks_exact(2) {
        if left == 0 {
            break;
        }
        let chunk = Chunk::read(word);
        let packets = chunk.len().min(left);
        delta_bytes += chunk.delta_bytes(packets).ok_or(Drop::Malformed)?;
        chunk_bytes += 2;
        left -= packets;
    }
    if left > 0 {
        return Err(Drop::Malformed);
    }
    Ok((chunk_bytes, delta_bytes))
}

impl<'a> Feedback<'a> {
    /// Sequence number of the first packet reported on.
    pub fn base(&self) -> u16 {
        self.base
    }

    /// How many packets are reported on; 1 at least.
    pub fn count(&self) -> u16 {
        self.count
    }

    /// Time of the receiver in units of 64 ms; wraps at 24 bits.
    pub fn reference(&self) -> u32 {
        self.reference
    }

    /// Running number of this message; wraps at 8 bits.
    pub fn number(&self) -> u8 {
        self.number
    }

    /// `(sequence, arrival in microseconds after the reference time)`; no arrival means lost so far.
    pub fn iter(&self) -> Statuses<'a> {
        Statuses {
            sequence: self.base,
            left: self.count,
            chunk: Chunk(0),
            position: 0,
            chunks: self.chunks,
            deltas: self.deltas,
            clock_us: 0,
        }
    }
}

impl<'a> IntoIterator for &Feedback<'a> {
    type Item = (u16, Option<i64>);
    type IntoIter = Statuses<'a>;

    fn into_iter(self) -> Statuses<'a> {
        self.iter()
    }
}

/// Walks the packets of one feedback message in the order of their numbers.
#[derive(Clone, Debug)]
pub struct Statuses<'a> {
    /// Number of the next packet.
    sequence: u16,
    /// Packets still to come.
    left: u16,
    /// The chunk being read.
    chunk: Chunk,
    /// Packets taken from `chunk`.
    position: usize,
    /// Chunks after `chunk`.
    chunks: &'a [u8],
    /// Deltas not yet taken.
    deltas: &'a [u8],
    /// Arrival of the last received packet after the reference time.
    clock_us: i64,
}

impl Statuses<'_> {
    fn symbol(&mut self) -> Option<u8> {
        // A run of length zero is legal and covers nothing, hence the loop.
        while self.position >= self.chunk.len() {
            let (word, rest) = self.chunks.split_at_checked(2)?;
            (self.chunk, self.chunks, self.position) = (Chunk::read(word), rest, 0);
        }
        self.position += 1;
        Some(self.chunk.symbol(self.position - 1))
    }

    fn delta(&mut self, symbol: u8) -> Option<i64> {
        let (bytes, rest) = self.deltas.split_at_checked(usize::from(symbol))?;
        self.deltas = rest;
        match *bytes {
            [small] => Some(i64::from(small)),
            [high, low] => Some(i64::from(i16::from_be_bytes([high, low]))),
            _ => None,
        }
    }
}

impl Iterator for Statuses<'_> {
    type Item = (u16, Option<i64>);

    fn next(&mut self) -> Option<Self::Item> {
        self.left = self.left.checked_sub(1)?;
        let symbol = self.symbol()?;
        let sequence = self.sequence;
        self.sequence = sequence.wrapping_add(1);
        let arrival = self.delta(symbol).map(|ticks| {
            self.clock_us += ticks * TICK_US;
            self.clock_us
        });
        Some((sequence, arrival))
    }
}

/// A packet status chunk (sections 3.1.3 and 3.1.4). A symbol is also its delta's size in bytes:
/// 0 not received, 1 small delta, 2 large or negative delta.
#[derive(Clone, Copy, Debug)]
struct Chunk(u16);

impl Chunk {
    fn read(word: &[u8]) -> Self {
        match *word {
            [high, low] => Self(u16::from_be_bytes([high, low])),
            _ => Self(0),
        }
    }

    fn len(self) -> usize {
        match self.0 >> 14 {
            0b10 => 14,
            0b11 => 7,
            _ => usize::from(self.0 & 0x1fff),
        }
    }

    fn symbol(self, index: usize) -> u8 {
        match self.0 >> 14 {
            0b10 => (self.0 >> 13_usize.saturating_sub(index)) as u8 & 1,
            0b11 => (self.0 >> 12_usize.saturating_sub(2 * index)) as u8 & 3,
            _ => (self.0 >> 13) as u8 & 3,
        }
    }

    /// Bytes of deltas that the first `packets` need; nothing for the reserved status.
    fn delta_bytes(self, packets: usize) -> Option<usize> {
        let size = |symbol: u8| (symbol < 3).then_some(usize::from(symbol));
        if self.0 >> 15 == 0 {
            return Some(size(self.symbol(0))? * packets);
        }
        (0..packets).map(|index| size(self.symbol(index))).sum()
    }
}
