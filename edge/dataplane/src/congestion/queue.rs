//! Standing queue at the bottleneck, and what the bottleneck delivers while it has one.
//!
//! The delay gradient tells that a queue grows, not how long it is. A key frame makes it grow and
//! go again, which must not cost the player a layer; so over-use counts only with a queue that
//! stands, and the rate measured while the queue stands is the capacity of the path, even when
//! the application sends less on average.

use crate::types::Micros;

/// The lowest delay is forgotten after one to two of these: routes change and clocks drift.
const BASE_PERIOD_US: Micros = 10_000_000;
/// Extra delay from which the bottleneck counts as busy.
const BUSY_US: i64 = 15_000;
/// Shortest busy time that measures a rate.
const SHORTEST_US: i64 = 60_000;
/// A measurement is closed after this time, so that it follows a changing path.
const LONGEST_US: i64 = 300_000;
/// Packets that measure a rate.
const FEWEST: u32 = 5;

/// One-way delay above its lowest, and delivery while it is high.
#[derive(Debug, Default)]
pub(super) struct Queue {
    /// Lowest delay of this period, in the unknown offset of the two clocks.
    base: Option<i64>,
    /// Lowest delay of the period before.
    base_before: Option<i64>,
    /// When this period began.
    period: Micros,
    /// Lowest queue of the feedback message in hand.
    lowest_us: Option<i64>,
    /// Lowest queue of the last feedback message.
    standing_us: i64,
    /// First arrival of the measurement that runs.
    since: Option<i64>,
    /// Last arrival of it.
    until: i64,
    /// Bytes after the first packet.
    bytes: u64,
    /// Packets after the first.
    packets: u32,
    /// The last complete measurement of this busy time.
    measured_bps: Option<f64>,
}

impl Queue {
    /// Takes one received packet.
    pub fn on_packet(&mut self, sent: Micros, arrival: i64, size: u32, now: Micros) {
        let delay = arrival - sent as i64;
        self.rotate(now);
        self.base = Some(self.base.map_or(delay, |base| base.min(delay)));
        let lowest = self.base_before.map_or(delay, |before| before.min(delay));
        let queue = delay - self.base.map_or(lowest, |base| base.min(lowest));
        self.lowest_us = Some(self.lowest_us.map_or(queue, |lowest| lowest.min(queue)));
        if queue < BUSY_US {
            (self.since, self.measured_bps) = (None, None);
        } else {
            self.measure(arrival, size);
        }
    }

    /// Ends a feedback message.
    pub fn close(&mut self) {
        if let Some(lowest) = self.lowest_us.take() {
            self.standing_us = lowest;
        }
    }

    /// The queue that every packet of the last feedback met, in microseconds.
    pub fn standing_us(&self) -> i64 {
        self.standing_us
    }

    /// What the bottleneck delivers; none while it is not busy for long enough to tell.
    pub fn capacity_bps(&self) -> Option<f64> {
        // The higher one: a pause inside a busy time makes a measurement too low, nothing too high.
        let running = self.running_bps();
        self.measured_bps.map_or(running, |measured| {
            Some(running.map_or(measured, |bps| bps.max(measured)))
        })
    }

    fn running_bps(&self) -> Option<f64> {
        let elapsed = self.until - self.since?;
        let enough = elapsed >= SHORTEST_US && self.packets >= FEWEST;
        enough.then(|| self.bytes as f64 * 8e6 / elapsed as f64)
    }

    fn measure(&mut self, arrival: i64, size: u32) {
        let Some(since) = self.since else {
            return self.restart(arrival);
        };
        self.until = self.until.max(arrival);
        self.bytes += u64::from(size);
        self.packets += 1;
        if self.until - since >= LONGEST_US {
            self.measured_bps = self.running_bps().or(self.measured_bps);
            self.restart(arrival);
        }
    }

    fn restart(&mut self, arrival: i64) {
        (self.since, self.until) = (Some(arrival), arrival);
        (self.bytes, self.packets) = (0, 0);
    }

    fn rotate(&mut self, now: Micros) {
        if now.saturating_sub(self.period) >= BASE_PERIOD_US {
            (self.base_before, self.base, self.period) = (self.base, None, now);
        }
    }
}
