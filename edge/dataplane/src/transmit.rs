//! What the engine wants sent: messages of equal segments, ready for UDP GSO.
//!
//! One message goes to one peer. All its segments but the last are of one size (the kernel cuts
//! it there, `UDP_SEGMENT`), so a segment of another size closes the message.

use crate::types::Micros;
use std::net::SocketAddr;

/// Bytes of all messages of one batch; small enough to stay in the L2 cache.
pub const BATCH_BYTES: usize = 256 * 1024;
/// Messages of one `sendmmsg`; larger batches gain nothing (bench/floor).
pub const BATCH_MESSAGES: usize = 64;
/// Segments of one message: the limit of older kernels (UDP_MAX_SEGMENTS).
const MAX_SEGMENTS: usize = 64;
/// Largest payload of one IPv4 UDP datagram, as GSO sees it.
const MAX_MESSAGE_BYTES: usize = 65_000;
/// Largest single datagram that the engine writes.
pub const MAX_DATAGRAM: usize = 2_048;

/// Where a peer is reached.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Path {
    /// A UDP address.
    Udp(SocketAddr),
    /// A TCP connection of this worker (RFC 6544), by number.
    Tcp(u32),
}

/// Differentiated services code points (RFC 8837, table 1), as the whole TOS byte.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum Tos {
    /// STUN, DTLS.
    Default = 0,
    /// Audio: EF.
    Audio = 46 << 2,
    /// Video: AF41.
    Video = 34 << 2,
}

/// One message of a batch.
#[derive(Clone, Copy, Debug)]
pub struct Message {
    /// Destination.
    pub path: Path,
    /// Traffic class.
    pub tos: Tos,
    /// Offset of the first byte in the batch's buffer.
    pub start: usize,
    /// End offset.
    pub end: usize,
    /// Size of every segment but the last; the whole message when there is one.
    pub segment: usize,
}

impl Message {
    /// Number of datagrams.
    pub fn segments(&self) -> usize {
        (self.end - self.start).div_ceil(self.segment.max(1))
    }
}

/// A buffer and the messages in it.
#[derive(Debug)]
pub struct Batch {
    /// The bytes of all messages, back to back.
    bytes: Box<[u8]>,
    /// Bytes in use.
    used: usize,
    /// Messages; the last one may still grow.
    messages: Vec<Message>,
    /// Whether the last message may take another segment.
    open: bool,
    /// Arrival of the oldest packet forwarded in this batch.
    pub oldest: Option<Micros>,
}

impl Default for Batch {
    fn default() -> Self {
        Batch::with_capacity(BATCH_BYTES)
    }
}

impl Batch {
    /// A batch with a buffer of this many bytes, at least one datagram.
    pub fn with_capacity(bytes: usize) -> Self {
        Batch {
            bytes: vec![0; bytes.max(MAX_DATAGRAM)].into(),
            used: 0,
            messages: Vec::with_capacity(BATCH_MESSAGES),
            open: false,
            oldest: None,
        }
    }

    /// Whether another datagram fits, as a message of its own if need be.
    #[inline]
    pub fn has_room(&self) -> bool {
        self.messages.len() < BATCH_MESSAGES && self.used + MAX_DATAGRAM <= self.bytes.len()
    }

    /// Whether there is anything to send.
    pub fn is_empty(&self) -> bool {
        self.messages.is_empty()
    }

    /// The messages to send.
    pub fn messages(&self) -> &[Message] {
        &self.messages
    }

    /// The bytes that messages point into.
    pub fn bytes(&self) -> &[u8] {
        &self.bytes
    }

    /// The datagrams of a message.
    pub fn datagrams(&self, message: &Message) -> impl Iterator<Item = &[u8]> {
        self.bytes
            .get(message.start..message.end)
            .unwrap_or(&[])
            .chunks(message.segment.max(1))
    }

    /// The last message takes no further segment: the next one goes to another peer.
    #[inline]
    pub fn close_message(&mut self) {
        self.open = false;
    }

    /// Forget everything sent.
    pub fn clear(&mut self) {
        self.used = 0;
        self.messages.clear();
        self.open = false;
        self.oldest = None;
    }

    /// Append one datagram that `write` puts into the space given and whose size it returns
    /// (0 writes nothing). It joins the open message when peer, class and size allow.
    ///
    /// Returns the size, or `None` without room: then send the batch first.
    #[inline]
    pub fn push(
        &mut self,
        path: Path,
        tos: Tos,
        write: impl FnOnce(&mut [u8]) -> usize,
    ) -> Option<usize> {
        if !self.has_room() {
            return None;
        }
        let start = self.used;
        let space = self.bytes.get_mut(start..start + MAX_DATAGRAM)?;
        let size = write(space).min(MAX_DATAGRAM);
        if size == 0 {
            return Some(0);
        }
        self.used += size;
        let open = self.open;
        match self.messages.last_mut() {
            Some(last)
                if open
                    && last.path == path
                    && last.tos == tos
                    && size <= last.segment
                    && last.end - last.start + size <= MAX_MESSAGE_BYTES
                    && last.segments() < MAX_SEGMENTS =>
            {
                last.end = self.used;
                self.open = size == last.segment;
            }
            _ => {
                self.messages.push(Message {
                    path,
                    tos,
                    start,
                    end: self.used,
                    segment: size,
                });
                self.open = true;
            }
        }
        Some(size)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn peer(port: u16) -> Path {
        Path::Udp(SocketAddr::from(([127, 0, 0, 1], port)))
    }

    fn push(batch: &mut Batch, path: Path, size: usize) {
        batch.push(path, Tos::Video, |space| {
            space[..size].fill(7);
            size
        });
    }

    #[test]
    fn equal_sizes_share_a_message_and_a_shorter_one_ends_it() {
        let mut batch = Batch::default();
        for size in [1200, 1200, 900, 900] {
            push(&mut batch, peer(1), size);
        }
        let shapes: Vec<_> = batch
            .messages()
            .iter()
            .map(|message| (message.segments(), message.segment))
            .collect();
        assert_eq!(shapes, [(3, 1200), (1, 900)]);
    }

    #[test]
    fn another_peer_starts_a_message() {
        let mut batch = Batch::default();
        push(&mut batch, peer(1), 100);
        push(&mut batch, peer(2), 100);
        push(&mut batch, peer(2), 101);
        assert_eq!(batch.messages().len(), 3);
    }

    #[test]
    fn a_full_batch_refuses() {
        let mut batch = Batch::default();
        let mut count = 0;
        while batch.push(peer(1), Tos::Video, |_| 1200).is_some() {
            count += 1;
        }
        assert!(count >= 64 && batch.messages().len() <= BATCH_MESSAGES);
        for message in batch.messages() {
            assert!(message.end - message.start <= MAX_MESSAGE_BYTES);
        }
    }
}
