//! Loss-based control (draft-ietf-rmcat-gcc-02, section 6).
//!
//! Three departures, all because radio links lose packets at random. A decrease needs a loss that
//! is significantly above the limit, not one unlucky window; it ends at what is really delivered,
//! since sending less than the path delivers repairs nothing; and loss that stays when less is sent
//! is taken off before the limits apply (the inherent loss of libwebrtc's `LossBasedBweV2`).

use crate::types::Micros;

/// Above this loss the rate falls (section 6).
const HIGH: f64 = 0.10;
/// Below this loss the rate grows (section 6).
const LOW: f64 = 0.02;
/// Growth per second, as with delay.
const GROWTH_PER_S: f64 = 1.08;
/// Time between two decisions.
const INTERVAL_US: Micros = 200_000;
/// Packets that make a window.
const FEWEST: f64 = 20.0;
/// Share of the past that one decision keeps; about a second and a half remains in view.
const DECAY: f64 = 0.87;
/// Sending must fall to this share to show that loss does not depend on it.
const YIELDED: f64 = 0.7;
/// Loss must keep this share for the same.
const KEPT: f64 = 0.7;
/// Time between the two rates that are compared.
const COMPARE_US: Micros = 1_000_000;
/// Most loss that is taken as random; beyond it no picture survives anyway.
const MOST_RANDOM: f64 = 0.25;
/// Noise of the loss in view: the random part follows it down no closer than this.
const NOISE: f64 = 0.05;
/// Receiver reports may raise the limit only after this time without a decrease.
const HOLD_US: Micros = 4_000_000;

/// The loss controller.
#[derive(Debug)]
pub(super) struct LossControl {
    /// `As_hat` in bit/s.
    limit_bps: f64,
    /// Largest value of `limit_bps`.
    max_bps: f64,
    /// Lost packets in view, fading.
    lost: f64,
    /// Packets in view, fading.
    total: f64,
    /// Loss as last seen, for display.
    ratio: f64,
    /// Packets sent before this belong to an earlier rate.
    since: Micros,
    /// Last decision.
    decided: Micros,
    /// Loss that does not depend on the rate.
    random: f64,
    /// The first decrease of this congestion.
    lowered: Option<Lowered>,
}

/// The state of things when the rate was lowered.
#[derive(Clone, Copy, Debug)]
struct Lowered {
    /// When.
    at: Micros,
    /// Loss then.
    ratio: f64,
    /// Rate sent then.
    sending_bps: f64,
}

/// What a decision rests on, in bit/s.
#[derive(Clone, Copy, Debug)]
pub(super) struct Rates {
    /// The rate in force.
    pub estimate: f64,
    /// What arrives; the floor of a decrease.
    pub delivered: f64,
    /// What is sent.
    pub sending: f64,
}

impl LossControl {
    pub fn new(max_bps: f64) -> Self {
        Self {
            limit_bps: max_bps,
            max_bps,
            lost: 0.0,
            total: 0.0,
            ratio: 0.0,
            since: 0,
            decided: 0,
            random: 0.0,
            lowered: None,
        }
    }

    pub fn limit_bps(&self) -> f64 {
        self.limit_bps
    }

    pub fn ratio(&self) -> f64 {
        self.ratio
    }

    /// Whether loss beyond the random part is surely above `limit`, by `sigmas` of a binomial distribution.
    pub fn exceeds(&self, limit: f64, sigmas: f64) -> bool {
        if self.total < FEWEST {
            return false;
        }
        let ratio = self.lost / self.total;
        ratio - sigmas * (ratio * (1.0 - ratio) / self.total).sqrt() > limit + self.random
    }

    /// Counts a packet that was reported lost.
    pub fn on_lost(&mut self, sent: Micros) {
        if sent >= self.since {
            self.lost += 1.0;
            self.total += 1.0;
        }
    }

    /// Counts a packet that was reported received, perhaps after it was reported lost.
    pub fn on_received(&mut self, sent: Micros, was_lost: bool) {
        if sent < self.since {
            return;
        }
        if was_lost {
            self.lost = (self.lost - 1.0).max(0.0);
        } else {
            self.total += 1.0;
        }
    }

    /// Decides at most every 200 ms.
    pub fn decide(&mut self, rates: Rates, now: Micros) {
        let elapsed = now.saturating_sub(self.decided);
        if elapsed < INTERVAL_US {
            return;
        }
        self.decided = now;
        if self.total > 0.0 {
            self.ratio = self.lost / self.total;
        }
        if self.exceeds(HIGH, 2.0) {
            self.lower(rates, now);
        } else if self.total >= FEWEST {
            self.random = self.random.min(self.ratio + NOISE);
            if self.ratio < LOW + self.random {
                self.grow(elapsed);
            }
        }
        self.lost *= DECAY;
        self.total *= DECAY;
    }

    /// A receiver report without transport feedback (section 6). `sending` is what is sent, if known.
    pub fn on_report(&mut self, fraction: f64, sending: Option<f64>, now: Micros) {
        self.ratio = fraction;
        if fraction > HIGH {
            let used = sending.map_or(self.limit_bps, |sending| self.limit_bps.min(sending));
            self.limit_bps = self.limit_bps.min(used * (1.0 - 0.5 * fraction));
            self.since = now;
        } else if fraction < LOW && now >= self.since + HOLD_US {
            self.grow(now.saturating_sub(self.decided));
        }
        self.decided = now;
    }

    /// A probe has shown that the path carries this much.
    pub fn raise(&mut self, proven_bps: f64) {
        self.limit_bps = self.limit_bps.max(proven_bps).min(self.max_bps);
    }

    fn lower(&mut self, rates: Rates, now: Micros) {
        let (ratio, sending_bps) = (self.ratio, rates.sending);
        let first = *self.lowered.get_or_insert(Lowered {
            at: now,
            ratio,
            sending_bps,
        });
        let yielded = sending_bps < first.sending_bps * YIELDED && now >= first.at + COMPARE_US;
        if yielded && ratio >= first.ratio * KEPT {
            self.random = ratio.min(MOST_RANDOM);
            self.lowered = None;
        } else {
            let lowered = self.limit_bps.min(rates.estimate) * (1.0 - 0.5 * ratio);
            self.limit_bps = lowered.max(rates.delivered).min(self.limit_bps);
            if yielded {
                self.lowered = None;
            }
            self.forget(now);
        }
    }

    /// Starts a new window: what was sent until now says nothing of the new rate.
    fn forget(&mut self, now: Micros) {
        (self.lost, self.total, self.since) = (0.0, 0.0, now);
    }

    fn grow(&mut self, elapsed: Micros) {
        let elapsed_s = elapsed.min(2_000_000) as f64 / 1e6;
        self.limit_bps = (self.limit_bps * GROWTH_PER_S.powf(elapsed_s)).min(self.max_bps);
    }
}
