//! What is remembered of the access units in flight, so that later packets of one are known.
//!
//! Timestamps of a stream with B-frames step back; so do packets that arrive late.

/// Timestamps further back than this (two seconds at 90 kHz) are a restarted clock, not lateness.
const LATE: u32 = 180_000;

/// One access unit, told from others by its RTP timestamp.
#[derive(Clone, Copy, Debug, Default)]
pub struct Unit {
    /// The RTP timestamp, once a packet came.
    timestamp: Option<u32>,
    /// The packet that opens the unit was seen.
    pub begun: bool,
    /// Decoding can begin in this unit.
    pub key: bool,
    /// H.264: a recovery point message stands in this unit.
    pub recovery: bool,
    /// The frame last opened in this unit is referred to by none.
    pub discardable: bool,
    /// Temporal layer of the frame last opened.
    pub temporal: u8,
    /// Spatial layer of the frame last opened.
    pub spatial: u8,
    /// Going up to `temporal` is allowed here, once decided.
    pub switch: Option<bool>,
}

/// The units of the newest timestamps and the last one behind them: packets may arrive mixed.
#[derive(Clone, Copy, Debug, Default)]
pub struct Units {
    /// The unit of the highest timestamp.
    newest: Unit,
    /// The unit before it.
    previous: Unit,
    /// The last unit opened behind the newest.
    late: Unit,
}

impl Units {
    /// The unit a packet of this timestamp belongs to.
    pub fn at(&mut self, timestamp: u32) -> &mut Unit {
        if self.newest.timestamp == Some(timestamp) {
            return &mut self.newest;
        }
        if self.previous.timestamp == Some(timestamp) {
            return &mut self.previous;
        }
        if self.late.timestamp == Some(timestamp) {
            return &mut self.late;
        }
        let opened = Unit {
            timestamp: Some(timestamp),
            ..Unit::default()
        };
        let behind = self
            .newest
            .timestamp
            .map(|newest| newest.wrapping_sub(timestamp));
        if behind.is_some_and(|behind| behind <= LATE) {
            self.late = opened;
            return &mut self.late;
        }
        self.previous = self.newest;
        self.newest = opened;
        &mut self.newest
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn two_units_are_remembered_in_order_and_a_third_is_not() {
        let mut units = Units::default();
        for timestamp in [u32::MAX - 2_999, 0, 3_000] {
            units.at(timestamp).key = true;
        }
        assert!(units.at(0).key && units.at(3_000).key);
        assert!(!units.at(u32::MAX - 2_999).key);
    }

    #[test]
    fn a_late_unit_does_not_displace_newer_ones() {
        let mut units = Units::default();
        units.at(9_000).key = true;
        units.at(3_000).key = true;
        assert!(units.at(9_000).key && units.at(3_000).key);
        units.at(4_000);
        assert!(units.at(9_000).key && !units.at(3_000).key);
    }

    #[test]
    fn a_restarted_clock_opens_a_unit() {
        let mut units = Units::default();
        units.at(1_000_000_000);
        units.at(5).key = true;
        assert!(units.at(5).key);
    }
}
