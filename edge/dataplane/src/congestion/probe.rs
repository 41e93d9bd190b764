//! Probe clusters: padding at a higher rate for a moment, to find room for the next layer.
//!
//! A stream that sends less than the path carries cannot show what the path carries; its estimate
//! is bounded by what it delivers. libwebrtc solves this with clusters too (`ProbeController`,
//! `ProbeBitrateEstimator`); the ratios below are theirs where not said otherwise.

use super::history::Sent;
use crate::types::Micros;

/// Length of a cluster: two frames at 30 fps, and a queue of 80 ms at most when it asks twice
/// what the path has.
const CLUSTER_US: Micros = 80_000;
/// A cluster aims above the wish: coarse timers make it slower than planned, and loss shows less.
const AIM: f64 = 1.4;
/// A wish that the estimate passes by this factor needs no probe.
const SATISFIED: f64 = 1.2;
/// Largest step of one cluster; a larger wish takes two clusters or more.
const STEP: f64 = 2.0;
/// Feedback that stays away this long ends a cluster.
const TIMEOUT_US: Micros = 1_000_000;
/// Received packets that make a result.
const FEWEST: u32 = 5;
/// Share of a cluster's packets that must arrive; what arrives is measured, not supposed.
const ARRIVED: f64 = 0.6;
/// Loss that is taken as random and not as a lack of room.
const RANDOM_LOSS: f64 = 0.05;
/// Below this share of the sent rate, the cluster has filled the path.
const SATURATED: f64 = 0.9;
/// What is taken of the rate of a filled path.
const UTILISATION: f64 = 0.95;
/// First wait after a failure; doubles up to `LONGEST_WAIT_US`.
const FIRST_WAIT_US: Micros = 2_000_000;
/// Longest wait after failures.
const LONGEST_WAIT_US: Micros = 10_000_000;
/// Wait after a success that fell short of its aim.
const REFINE_WAIT_US: Micros = 1_000_000;
/// Gain that counts as a success.
const GAIN: f64 = 1.05;

/// What to send, and until when.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ProbePlan {
    /// Total rate of media and padding.
    pub rate_bps: u64,
    /// Padding or retransmissions to add to the media.
    pub bytes: usize,
    /// Packets sent before this count to the probe.
    pub until: Micros,
}

/// Result of a cluster.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Proven {
    /// What the path has carried.
    pub bps: f64,
    /// Whether the path was filled.
    pub saturated: bool,
}

/// Times and bytes of the cluster in flight.
#[derive(Clone, Copy, Debug, Default)]
struct Cluster {
    /// Rate that was planned.
    rate_bps: f64,
    /// First and last packet sent, of those received.
    sent: Option<(i64, i64)>,
    /// First and last arrival.
    arrived: Option<(i64, i64)>,
    /// Bytes received.
    bytes: u32,
    /// Size of the packet that was sent last.
    last_sent_size: u32,
    /// Size of the packet that arrived first.
    first_arrived_size: u32,
    /// Packets received.
    received: u32,
    /// Packets reported lost.
    lost: u32,
}

/// Decides when to probe, and judges.
#[derive(Debug, Default)]
pub(super) struct Prober {
    /// Number that marks the packets of the cluster; zero is never used.
    tag: u8,
    /// End of sending.
    until: Micros,
    /// The cluster in flight.
    cluster: Option<Cluster>,
    /// Failures in a row.
    failures: u32,
    /// No probe before this.
    next: Micros,
}

impl Prober {
    /// The mark for a packet sent now. Part of the hot path.
    #[inline]
    pub fn tag_at(&self, now: Micros) -> u8 {
        if now < self.until { self.tag } else { 0 }
    }

    /// Plans a cluster towards `wanted`, unless one is in flight or the last failed lately.
    pub fn plan(
        &mut self,
        wanted: f64,
        estimate: f64,
        sending: f64,
        now: Micros,
    ) -> Option<ProbePlan> {
        if self.cluster.is_some() || now < self.next || estimate >= wanted * SATISFIED {
            return None;
        }
        let rate_bps = (wanted * AIM).min(estimate * STEP);
        let extra_bps = (rate_bps - sending).max(rate_bps / 4.0);
        self.tag = self.tag.checked_add(1).unwrap_or(1);
        self.until = now + CLUSTER_US;
        self.cluster = Some(Cluster {
            rate_bps,
            ..Cluster::default()
        });
        // Counted from here, so that a lost answer cannot stretch the wait.
        self.next = now + self.wait();
        let bytes = (extra_bps * CLUSTER_US as f64 / 8e6) as usize;
        Some(ProbePlan {
            rate_bps: rate_bps as u64,
            bytes,
            until: self.until,
        })
    }

    pub fn on_received(&mut self, packet: Sent, arrival: i64) {
        if let Some(cluster) = self.cluster.as_mut().filter(|_| packet.probe == self.tag) {
            cluster.on_received(packet, arrival);
        }
    }

    pub fn on_lost(&mut self, packet: Sent) {
        if let Some(cluster) = self.cluster.as_mut().filter(|_| packet.probe == self.tag) {
            cluster.lost += 1;
        }
    }

    /// Judges the cluster once feedback has passed it. `reached` is the sending time of the newest
    /// packet reported on, `estimate` the rate to beat.
    pub fn judge(&mut self, reached: Micros, estimate: f64, now: Micros) -> Option<Proven> {
        let timed_out = now >= self.until + TIMEOUT_US;
        if reached < self.until && !timed_out {
            return None;
        }
        let cluster = self.cluster.take()?;
        let proven = cluster.result();
        match proven {
            Some(Proven {
                bps,
                saturated: false,
            }) if bps > estimate * GAIN => {
                self.failures = 0;
                let reached_aim = bps >= cluster.rate_bps * SATURATED;
                self.next = if reached_aim {
                    now
                } else {
                    now + REFINE_WAIT_US
                };
            }
            _ => self.failures = (self.failures + 1).min(8),
        }
        proven
    }

    fn wait(&self) -> Micros {
        LONGEST_WAIT_US.min(FIRST_WAIT_US << self.failures.min(8))
    }
}

impl Cluster {
    fn on_received(&mut self, packet: Sent, arrival: i64) {
        let sent = packet.at as i64;
        if self.sent.is_none_or(|(_, last)| sent >= last) {
            self.last_sent_size = packet.size;
        }
        if self.arrived.is_none_or(|(first, _)| arrival < first) {
            self.first_arrived_size = packet.size;
        }
        self.sent = Some(widen(self.sent, sent));
        self.arrived = Some(widen(self.arrived, arrival));
        self.bytes += packet.size;
        self.received += 1;
        self.lost -= u32::from(packet.was_lost).min(self.lost);
    }

    fn result(&self) -> Option<Proven> {
        let share = f64::from(self.received) / f64::from(self.received + self.lost).max(1.0);
        if self.received < FEWEST || share < ARRIVED {
            return None;
        }
        let gross = 1.0 / share.max(1.0 - RANDOM_LOSS);
        let sent_bps = rate(self.bytes - self.last_sent_size, self.sent?);
        let received_bps = rate(self.bytes - self.first_arrived_size, self.arrived?);
        let saturated = received_bps < SATURATED * sent_bps.min(self.rate_bps);
        let usable = if saturated { UTILISATION } else { 1.0 };
        // Coarse sending timers make a short cluster look faster than it was planned.
        let bps = (usable * gross * received_bps.min(sent_bps)).min(self.rate_bps);
        Some(Proven { bps, saturated })
    }
}

fn widen(range: Option<(i64, i64)>, value: i64) -> (i64, i64) {
    range.map_or((value, value), |(first, last)| {
        (first.min(value), last.max(value))
    })
}

fn rate(bytes: u32, (first, last): (i64, i64)) -> f64 {
    f64::from(bytes) * 8e6 / (last - first).max(1_000) as f64
}
