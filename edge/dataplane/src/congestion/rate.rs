//! Delay-based rate control (draft-ietf-rmcat-gcc-02, section 5.5).

use super::trend::Signal;
use crate::types::Micros;

/// `beta`. The draft allows 0.8 to 0.95; the capacity it is applied to is measured while the
/// queue stands, so the upper half is safe and a stream with 20 % headroom keeps its layer.
const BETA: f64 = 0.9;
/// Multiplicative increase per second.
const GROWTH_PER_S: f64 = 1.08;
/// The estimate stays below this multiple of what is delivered, plus `HEADROOM_BPS`.
const DELIVERED_FACTOR: f64 = 1.5;
/// Lets a stream that delivers almost nothing start.
const HEADROOM_BPS: f64 = 10_000.0;
/// Weight of a new capacity in its mean.
const CAPACITY_WEIGHT: f64 = 0.3;
/// Around the last capacity the increase is additive: the draft's three standard deviations,
/// with a floor since a few samples give no spread.
const NEAR: f64 = 0.15;
/// Bits of the half packet that additive increase adds per response time.
const HALF_PACKET_BITS: f64 = 4_800.0;
/// Feedback delay on top of the round trip (section 5.5).
const FEEDBACK_S: f64 = 0.1;

/// AIMD state.
#[derive(Debug)]
pub(super) struct RateControl {
    /// `A_hat` in bit/s.
    estimate_bps: f64,
    /// Mean of the capacities at the last congestions.
    capacity_bps: Option<f64>,
    /// Last increase or decision not to.
    updated: Option<Micros>,
    /// Last decrease.
    decreased: Option<Micros>,
}

impl RateControl {
    pub fn new(start_bps: f64) -> Self {
        Self {
            estimate_bps: start_bps,
            capacity_bps: None,
            updated: None,
            decreased: None,
        }
    }

    pub fn estimate_bps(&self) -> f64 {
        self.estimate_bps
    }

    /// Increases unless the queue drains or grows. `delivered` is `R_hat`.
    pub fn grow(&mut self, signal: Signal, delivered: Option<f64>, rtt_s: f64, now: Micros) {
        let updated = self.updated.replace(now).unwrap_or(now);
        let elapsed_s = now.saturating_sub(updated).min(1_000_000) as f64 / 1e6;
        let (Signal::Normal, Some(delivered)) = (signal, delivered) else {
            return;
        };
        let grown = if self.is_near_capacity() {
            self.estimate_bps + elapsed_s * HALF_PACKET_BITS / (rtt_s + FEEDBACK_S)
        } else {
            self.estimate_bps * GROWTH_PER_S.powf(elapsed_s)
        };
        let limit = DELIVERED_FACTOR * delivered + HEADROOM_BPS;
        self.estimate_bps = self.estimate_bps.max(grown.min(limit));
        if self
            .capacity_bps
            .is_some_and(|capacity| delivered > capacity * (1.0 + NEAR))
        {
            self.capacity_bps = None;
        }
    }

    /// Lowers the estimate to just below the capacity, at most once per `interval`.
    pub fn decrease(&mut self, capacity_bps: f64, interval: Micros, now: Micros) {
        self.updated = Some(now);
        if self.decreased.is_some_and(|last| now < last + interval) {
            return;
        }
        self.decreased = Some(now);
        let mean = self
            .capacity_bps
            .filter(|mean| (capacity_bps / mean - 1.0).abs() < NEAR);
        self.capacity_bps = Some(mean.map_or(capacity_bps, |mean| {
            mean + CAPACITY_WEIGHT * (capacity_bps - mean)
        }));
        self.estimate_bps = self.estimate_bps.min(BETA * capacity_bps);
    }

    /// A probe has shown that the path carries this much.
    pub fn raise(&mut self, proven_bps: f64) {
        if proven_bps > self.estimate_bps {
            self.estimate_bps = proven_bps;
        }
        if self
            .capacity_bps
            .is_some_and(|capacity| proven_bps > capacity * (1.0 + NEAR))
        {
            self.capacity_bps = None;
        }
    }

    /// Lowers the estimate to `bps`, when feedback stays away.
    pub fn limit(&mut self, bps: f64) {
        self.estimate_bps = self.estimate_bps.min(bps);
    }

    fn is_near_capacity(&self) -> bool {
        self.capacity_bps
            .is_some_and(|capacity| (self.estimate_bps / capacity - 1.0).abs() < NEAR)
    }
}
