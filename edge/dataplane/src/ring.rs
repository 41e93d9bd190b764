//! The ring of a layer: its last packets in plaintext, by extended sequence number.
//!
//! One ring is the NACK cache, the key-frame cache, and what subscribers read at their own pace.
//! Packets are immutable and shared by reference count, so every worker holds the same bytes; a
//! ring itself belongs to one worker and needs no lock.

use crate::codec::FrameInfo;
use crate::types::Micros;
use std::sync::Arc;

/// Values of header extensions that travel with a packet, whatever ids either side uses.
#[derive(Clone, Debug, Default)]
pub struct Carried {
    /// Capture time (NTP, 64 bits) and the studio's clock offset, where it sent them.
    pub abs_capture_time: Option<(u64, Option<i64>)>,
    /// RFC 6464 level and voice flag.
    pub audio_level: Option<u8>,
    /// CVO byte.
    pub video_orientation: Option<u8>,
    /// AV1 dependency descriptor.
    pub dependency_descriptor: Option<Box<[u8]>>,
}

/// One received RTP packet, decrypted, without padding.
#[derive(Debug)]
pub struct Packet {
    /// Extended sequence number in its layer.
    pub index: u64,
    /// RTP timestamp as the studio sent it.
    pub timestamp: u32,
    /// Marker bit.
    pub marker: bool,
    /// Whether the payload is RFC 2198 redundancy.
    pub red: bool,
    /// When it came.
    pub arrived: Micros,
    /// What the payload says of its frame.
    pub info: FrameInfo,
    /// Header extension values.
    pub carried: Carried,
    /// RTP payload.
    pub payload: Box<[u8]>,
}

/// What `insert` found.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Inserted {
    /// A new highest number.
    Fresh,
    /// It fills a hole below the highest number.
    Late,
    /// It was there.
    Duplicate,
    /// It is older than the ring.
    TooOld,
}

/// Fixed slots, overwritten in order.
#[derive(Debug)]
pub struct Ring {
    /// Power-of-two number of slots.
    slots: Box<[Option<Arc<Packet>>]>,
    /// One past the highest index; 0 while empty.
    head: u64,
    /// The lowest index ever inserted.
    first: u64,
    /// First packet of the newest key frame, and its timestamp.
    key: Option<(u64, u32)>,
    /// The key frame before it.
    former_key: Option<(u64, u32)>,
}

impl Ring {
    /// A ring of at least `capacity` slots.
    pub fn new(capacity: usize) -> Self {
        let size = capacity.clamp(16, 1 << 16).next_power_of_two();
        Ring {
            slots: (0..size).map(|_| None).collect(),
            head: 0,
            first: 0,
            key: None,
            former_key: None,
        }
    }

    /// One past the highest index.
    pub fn head(&self) -> u64 {
        self.head
    }

    /// The lowest index that may still be present.
    pub fn tail(&self) -> u64 {
        self.first
            .max(self.head.saturating_sub(self.slots.len() as u64))
    }

    /// Start of the newest key frame, while the ring still holds it.
    pub fn key_start(&self) -> Option<u64> {
        self.key
            .map(|(index, _)| index)
            .filter(|index| *index >= self.tail() && self.at(*index).is_some())
    }

    /// The packet of this index.
    #[inline]
    pub fn at(&self, index: u64) -> Option<&Arc<Packet>> {
        let slot = (index as usize) & (self.slots.len() - 1);
        self.slots
            .get(slot)?
            .as_ref()
            .filter(|packet| packet.index == index)
    }

    /// Take a packet in. Old packets fall out; nothing waits for readers.
    pub fn insert(&mut self, packet: Arc<Packet>) -> Inserted {
        let index = packet.index;
        if self.head == 0 {
            self.first = index;
        } else if index < self.tail() && self.head - index > self.slots.len() as u64 {
            return Inserted::TooOld;
        }
        if self.at(index).is_some() {
            return Inserted::Duplicate;
        }
        self.first = self.first.min(index);
        if packet.info.key {
            self.note_key(index, packet.timestamp);
        } else if !packet.payload.is_empty() {
            self.revoke_key(index, packet.timestamp);
        }
        let slot = (index as usize) & (self.slots.len() - 1);
        if let Some(place) = self.slots.get_mut(slot) {
            *place = Some(packet);
        }
        if index >= self.head {
            self.head = index + 1;
            Inserted::Fresh
        } else {
            Inserted::Late
        }
    }

    /// Bytes of payload between two indices; what a reader at `from` has waiting.
    pub fn bytes_between(&self, from: u64, to: u64) -> usize {
        (from.max(self.tail())..to)
            .filter_map(|index| self.at(index))
            .map(|packet| packet.payload.len())
            .sum()
    }

    /// Whether every packet between two indices is there.
    pub fn is_whole(&self, from: u64, to: u64) -> bool {
        from >= self.tail() && (from..to).all(|index| self.at(index).is_some())
    }

    /// Frames (distinct timestamps) between two indices.
    pub fn frames_between(&self, from: u64, to: u64) -> u32 {
        let mut last = None;
        let mut frames = 0;
        for packet in (from.max(self.tail())..to).filter_map(|index| self.at(index)) {
            if last != Some(packet.timestamp) {
                last = Some(packet.timestamp);
                frames += 1;
            }
        }
        frames
    }

    /// A key frame begins at the lowest index of its timestamp: encoders send parameter sets as
    /// packets of their own before the picture.
    fn note_key(&mut self, index: u64, timestamp: u32) {
        self.key = match self.key {
            Some((start, same)) if same == timestamp && index.abs_diff(start) < 4096 => {
                Some((start.min(index), timestamp))
            }
            Some((start, other)) if index < start => Some((start, other)),
            former => {
                self.former_key = former;
                Some((index, timestamp))
            }
        };
    }

    /// Parameter sets claim a key frame in advance; a predicted slice after them takes it back.
    fn revoke_key(&mut self, index: u64, timestamp: u32) {
        if self
            .key
            .is_some_and(|(start, same)| same == timestamp && index > start)
        {
            self.key = self.former_key;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn packet(index: u64, timestamp: u32, key: bool) -> Arc<Packet> {
        Arc::new(Packet {
            index,
            timestamp,
            marker: false,
            red: false,
            arrived: 0,
            info: FrameInfo {
                key,
                ..FrameInfo::default()
            },
            carried: Carried::default(),
            payload: vec![0; 10].into(),
        })
    }

    #[test]
    fn late_packets_fill_holes_and_old_ones_are_refused() {
        let mut ring = Ring::new(16);
        assert_eq!(ring.insert(packet(100, 0, false)), Inserted::Fresh);
        assert_eq!(ring.insert(packet(102, 0, false)), Inserted::Fresh);
        assert_eq!(ring.insert(packet(101, 0, false)), Inserted::Late);
        assert_eq!(ring.insert(packet(101, 0, false)), Inserted::Duplicate);
        for index in 103..140 {
            ring.insert(packet(index, 0, false));
        }
        assert_eq!(ring.insert(packet(100, 0, false)), Inserted::TooOld);
        assert_eq!(ring.tail(), 124);
    }

    #[test]
    fn a_key_frame_begins_at_its_first_packet_even_when_reordered() {
        let mut ring = Ring::new(16);
        ring.insert(packet(10, 1, false));
        ring.insert(packet(12, 2, true));
        ring.insert(packet(11, 2, true));
        assert_eq!(ring.key_start(), Some(11));
        ring.insert(packet(13, 3, false));
        assert_eq!(ring.key_start(), Some(11));
        for index in 14..40 {
            ring.insert(packet(index, 4, false));
        }
        assert_eq!(ring.key_start(), None);
    }

    #[test]
    fn parameter_sets_before_a_predicted_frame_are_no_key_frame() {
        let mut ring = Ring::new(16);
        ring.insert(packet(10, 1, true));
        ring.insert(packet(11, 2, true));
        assert_eq!(ring.key_start(), Some(11));
        ring.insert(packet(12, 2, false));
        assert_eq!(ring.key_start(), Some(10));
        assert!(ring.is_whole(10, 13) && !ring.is_whole(10, 14));
    }
}
