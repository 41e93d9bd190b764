//! Delay-based control (draft-ietf-rmcat-gcc-02, section 5): from arrivals to a rate.

use super::groups::Groups;
use super::history::Sent;
use super::queue::Queue;
use super::rate::RateControl;
use super::throughput::Throughput;
use super::trend::{Signal, Trend};
use crate::types::Micros;

/// A queue below this is noise: radio and scheduling delay packets as much.
const STANDING_US: i64 = 25_000;
/// With a queue above this, loss comes from the queue being full.
const FULL_QUEUE_US: i64 = 50_000;
/// Time after over-use in which the path is not calm.
const CALM_US: Micros = 1_000_000;
/// Arrival clocks that jump by more than this beyond the time that passed start a new model.
const JUMP_US: i64 = 5_000_000;

/// Everything that works on arrival times.
#[derive(Debug)]
pub(super) struct DelayControl {
    /// Arrival of the newest packet, and when its feedback came.
    newest: Option<(i64, Micros)>,
    /// Packet groups.
    groups: Groups,
    /// Over-use detector.
    trend: Trend,
    /// Worst signal of the feedback message in hand.
    signal: Signal,
    /// Standing queue and capacity.
    queue: Queue,
    /// Delivered rate.
    throughput: Throughput,
    /// The rate.
    rate: RateControl,
    /// Last over-use.
    overused: Option<Micros>,
}

impl DelayControl {
    /// Starts at `start_bps`.
    pub fn new(start_bps: f64) -> Self {
        Self {
            newest: None,
            groups: Groups::default(),
            trend: Trend::default(),
            signal: Signal::Normal,
            queue: Queue::default(),
            throughput: Throughput::default(),
            rate: RateControl::new(start_bps),
            overused: None,
        }
    }

    /// The rate control.
    pub fn rate(&mut self) -> &mut RateControl {
        &mut self.rate
    }

    /// The rate in force.
    pub fn estimate_bps(&self) -> f64 {
        self.rate.estimate_bps()
    }

    /// What arrives.
    pub fn delivered_bps(&self) -> Option<f64> {
        self.throughput.bps()
    }

    /// Whether there is no queue and was no over-use lately.
    pub fn is_calm(&self, now: Micros) -> bool {
        let recovered = self.overused.is_none_or(|at| now >= at + CALM_US);
        recovered && self.queue.standing_us() < STANDING_US
    }

    /// Takes one received packet.
    pub fn on_received(&mut self, packet: Sent, arrival: i64, now: Micros) {
        if self.has_jumped(arrival, now) {
            (self.groups, self.trend) = (Groups::default(), Trend::default());
            (self.queue, self.throughput) = (Queue::default(), Throughput::default());
        }
        self.newest = Some((arrival, now));
        self.throughput.push(arrival, packet.size);
        self.queue.on_packet(packet.at, arrival, packet.size, now);
        if let Some(delta) = self.groups.push(packet.at, arrival) {
            self.signal = self.signal.max(self.trend.update(delta));
        }
    }

    /// Ends a feedback message and moves the rate. `is_lossy` confirms that a long queue is full.
    pub fn close(&mut self, is_lossy: bool, rtt_us: u64, now: Micros) {
        self.queue.close();
        let signal = std::mem::replace(&mut self.signal, Signal::Normal);
        let standing = self.queue.standing_us();
        let full = standing >= FULL_QUEUE_US && is_lossy;
        if full || signal == Signal::Overuse && standing >= STANDING_US {
            self.overused = Some(now);
            if let Some(capacity) = self.queue.capacity_bps() {
                let interval = (rtt_us + 50_000).clamp(100_000, 400_000);
                self.rate.decrease(capacity, interval, now);
            }
        } else if standing >= STANDING_US {
            // A queue that stands, though it does not grow, is no invitation.
            self.rate.grow(Signal::Underuse, None, 0.0, now);
        } else {
            let rtt_s = rtt_us as f64 / 1e6;
            self.rate.grow(signal, self.throughput.bps(), rtt_s, now);
        }
    }

    fn has_jumped(&self, arrival: i64, now: Micros) -> bool {
        self.newest.is_some_and(|(last, at)| {
            let passed = now.saturating_sub(at) as i64;
            (arrival - last).abs() > passed + JUMP_US
        })
    }
}
