//! Packet groups (draft-ietf-rmcat-gcc-02, sections 5.1 and 5.2).

use crate::types::Micros;

/// Packets sent within this time are one group (section 5.2).
const BURST_US: i64 = 5_000;
/// A group made of bursts does not last longer, or it would hide a growing queue.
const LONGEST_US: i64 = 100_000;

/// Packets that were sent together.
#[derive(Clone, Copy, Debug)]
struct Group {
    /// When its first packet was sent.
    first_sent: i64,
    /// When its last packet was sent.
    last_sent: i64,
    /// When its first packet arrived.
    first_arrival: i64,
    /// When its last packet arrived.
    last_arrival: i64,
}

/// Inter-departure and inter-arrival time of two groups.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Delta {
    /// Between the sending of the groups.
    pub sent_us: i64,
    /// Between their arrivals.
    pub arrival_us: i64,
    /// When the later group arrived.
    pub at: i64,
}

/// Sorts packets into groups and compares each with the one before.
#[derive(Debug, Default)]
pub(super) struct Groups {
    /// The group before `current`.
    previous: Option<Group>,
    /// The group that still grows.
    current: Option<Group>,
}

impl Groups {
    /// Adds a packet; when it opens a group, the two groups before it are compared.
    pub fn push(&mut self, sent: Micros, arrival: i64) -> Option<Delta> {
        let sent = sent as i64;
        let fresh = Group {
            first_sent: sent,
            last_sent: sent,
            first_arrival: arrival,
            last_arrival: arrival,
        };
        let Some(group) = self.current.as_mut() else {
            self.current = Some(fresh);
            return None;
        };
        if sent < group.first_sent {
            return None;
        }
        if group.takes(sent, arrival) {
            group.last_sent = group.last_sent.max(sent);
            group.last_arrival = group.last_arrival.max(arrival);
            return None;
        }
        let complete = *group;
        self.current = Some(fresh);
        let previous = self.previous.replace(complete)?;
        Some(Delta {
            sent_us: complete.last_sent - previous.last_sent,
            arrival_us: complete.last_arrival - previous.last_arrival,
            at: complete.last_arrival,
        })
    }
}

impl Group {
    fn takes(&self, sent: i64, arrival: i64) -> bool {
        if sent - self.first_sent <= BURST_US {
            return true;
        }
        // Packets that were held up on the way and arrive together say nothing of a queue.
        let gap = arrival - self.last_arrival;
        gap <= BURST_US && gap < sent - self.last_sent && arrival - self.first_arrival < LONGEST_US
    }
}
