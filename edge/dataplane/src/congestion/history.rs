//! What was sent lately, by transport-wide sequence number.

use crate::types::Micros;

/// Packets remembered: a second at 10 Mbit/s, which is longer than any feedback takes to be of use.
pub(super) const CAPACITY: usize = 1024;

/// One packet in eight bytes.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Entry {
    /// Lower 32 bits of the time it was sent.
    sent: u32,
    /// Bytes, at most 65,535.
    size: u16,
    /// Number of the probe it belongs to; zero for none.
    probe: u8,
    /// What feedback said of it.
    state: State,
}

/// What feedback said of a packet.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum State {
    /// Nothing yet.
    #[default]
    Unknown,
    /// Not received so far; may still come.
    Lost,
    /// Received.
    Acked,
}

/// A packet on which feedback said something new.
#[derive(Clone, Copy, Debug)]
pub(super) struct Sent {
    /// When it was sent.
    pub at: Micros,
    /// Its size.
    pub size: u32,
    /// Number of the probe it belongs to; zero for none.
    pub probe: u8,
    /// Received now, after an earlier message called it lost.
    pub was_lost: bool,
}

/// Ring of the last packets, allocated with the first one.
#[derive(Debug, Default)]
pub(super) struct History {
    /// Entry by sequence number modulo `CAPACITY`.
    entries: Option<Box<[Entry; CAPACITY]>>,
    /// Number of the next packet.
    next: u64,
}

impl History {
    /// Adds a packet and gives its number on the wire.
    #[inline]
    pub fn push(&mut self, size: usize, probe: u8, now: Micros) -> u16 {
        let entries = self
            .entries
            .get_or_insert_with(|| Box::new([Entry::default(); CAPACITY]));
        let number = self.next;
        self.next = number + 1;
        let size = size.min(usize::from(u16::MAX)) as u16;
        // The remainder of a constant is always inside the array: no check is left at run time.
        entries[number as usize % CAPACITY] = Entry {
            sent: now as u32,
            size,
            probe,
            state: State::Unknown,
        };
        number as u16
    }

    /// Whether anything was ever sent.
    pub fn is_used(&self) -> bool {
        self.entries.is_some()
    }

    /// The number of the next packet.
    pub fn next(&self) -> u64 {
        self.next
    }

    /// When the last packet was sent.
    pub fn last_sent(&self, now: Micros) -> Micros {
        let slot = self.next.wrapping_sub(1) as usize % CAPACITY;
        let last = self.entries.as_ref().and_then(|entries| entries.get(slot));
        last.map_or(0, |entry| entry.describe(now).at)
    }

    /// The full number of a packet that was sent, nearest to the last.
    pub fn extend(&self, number: u16) -> Option<u64> {
        let back = (self.next as u16).wrapping_sub(number);
        if back == 0 {
            None
        } else {
            self.next.checked_sub(u64::from(back))
        }
    }

    /// Marks a packet received; nothing when it is forgotten or was already.
    pub fn ack(&mut self, number: u64, now: Micros) -> Option<Sent> {
        let entry = self.entry(number)?;
        if entry.state == State::Acked {
            return None;
        }
        let sent = entry.describe(now);
        entry.state = State::Acked;
        Some(sent)
    }

    /// Marks a packet lost; nothing when it is forgotten or something is known of it.
    pub fn lose(&mut self, number: u64, now: Micros) -> Option<Sent> {
        let entry = self.entry(number)?;
        if entry.state != State::Unknown {
            return None;
        }
        let sent = entry.describe(now);
        entry.state = State::Lost;
        Some(sent)
    }

    fn entry(&mut self, number: u64) -> Option<&mut Entry> {
        let age = self.next.checked_sub(number)?;
        if age == 0 || age > CAPACITY as u64 {
            return None;
        }
        self.entries.as_mut()?.get_mut(number as usize % CAPACITY)
    }
}

impl Entry {
    fn describe(&self, now: Micros) -> Sent {
        let age = (now as u32).wrapping_sub(self.sent);
        Sent {
            at: now.saturating_sub(Micros::from(age)),
            size: u32::from(self.size),
            probe: self.probe,
            was_lost: self.state == State::Lost,
        }
    }
}
