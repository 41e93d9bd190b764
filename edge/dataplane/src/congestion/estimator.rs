//! Send-side bandwidth estimate of one subscriber.
//!
//! Three sources, the best one that is there wins: transport-wide feedback (delay and loss per
//! packet), REMB (the receiver's own estimate) capped by loss, receiver reports (loss alone).

use super::delay::DelayControl;
use super::feedback::{self, Feedback};
use super::history::{CAPACITY, History};
use super::loss::{LossControl, Rates};
use super::probe::{ProbePlan, Prober};
use crate::error::Drop;
use crate::types::{Micros, Unwrapper};

/// Loss that confirms a full queue.
const FULL_QUEUE_LOSS: f64 = 0.05;
/// Loss above which no probe is sent.
const PROBE_LOSS: f64 = 0.10;
/// Feedback that stays away this long while packets are in flight lowers the estimate.
const SILENCE_US: Micros = 1_000_000;
/// By how much, each time.
const SILENCE_FACTOR: f64 = 0.7;
/// Feedback that has not begun after this time is not expected any more.
const NEVER_US: Micros = 3_000_000;
/// Round trip assumed before one is known (draft-ietf-rmcat-gcc-02 gives none; libwebrtc's).
const RTT_US: u64 = 200_000;
/// Estimates what a subscriber's path carries.
#[derive(Debug)]
pub struct Estimator {
    /// Packets in flight.
    history: History,
    /// Probe clusters.
    prober: Prober,
    /// Since when packets wait for feedback.
    waiting: Option<Micros>,
    /// All bytes sent.
    sent_bytes: u64,
    /// Time and `sent_bytes` at an earlier feedback, to measure what is sent.
    mark: Option<(Micros, u64)>,
    /// What is sent, if known.
    sending_bps: Option<f64>,
    /// Extends the receiver's reference time.
    reference: Unwrapper<24>,
    /// Delay-based rate.
    delay: DelayControl,
    /// Loss-based rate.
    loss: LossControl,
    /// The receiver's own estimate.
    remb_bps: Option<f64>,
    /// Smoothed round trip.
    rtt_us: u64,
    /// Whether transport feedback was ever seen.
    has_transport: bool,
    /// Whether transport feedback was negotiated but never came.
    is_silent: bool,
    /// Bounds of the target.
    bounds_bps: (u64, u64),
    /// The answer.
    target_bps: u64,
}

impl Estimator {
    /// Starts at `start_bps` with transport feedback and at `max_bps` without.
    pub fn new(start_bps: u64, min_bps: u64, max_bps: u64) -> Self {
        let max_bps = max_bps.max(min_bps);
        Self {
            history: History::default(),
            prober: Prober::default(),
            waiting: None,
            sent_bytes: 0,
            mark: None,
            sending_bps: None,
            reference: Unwrapper::default(),
            delay: DelayControl::new(start_bps.clamp(min_bps, max_bps) as f64),
            loss: LossControl::new(max_bps as f64),
            remb_bps: None,
            rtt_us: RTT_US,
            has_transport: false,
            is_silent: false,
            bounds_bps: (min_bps, max_bps),
            target_bps: max_bps,
        }
    }

    /// Counts a packet and gives the transport-wide sequence number to write into it. Called only
    /// where transport feedback was negotiated.
    #[inline]
    pub fn on_sent(&mut self, size_bytes: usize, now: Micros) -> u16 {
        self.sent_bytes += size_bytes as u64;
        let number = self.history.push(size_bytes, self.prober.tag_at(now), now);
        if self.waiting.is_none() {
            self.begin_waiting(now);
        }
        number
    }

    /// Takes the FCI of a transport feedback message.
    pub fn on_transport_feedback(&mut self, fci: &[u8], now: Micros) -> Result<(), Drop> {
        let feedback = feedback::parse(fci)?;
        let Some(base) = self.history.extend(feedback.base()) else {
            return Ok(());
        };
        (self.has_transport, self.is_silent) = (true, false);
        let reached = self.take_packets(&feedback, base, now);
        let is_open = base + u64::from(feedback.count()) < self.history.next();
        self.waiting = is_open.then_some(now);
        self.measure_sending(now);
        let is_lossy = self.loss.exceeds(FULL_QUEUE_LOSS, 1.0);
        self.delay.close(is_lossy, self.rtt_us, now);
        self.update_loss(now);
        if let Some(proven) = self.prober.judge(reached, self.target_bps as f64, now) {
            self.delay.rate().raise(proven.bps);
            self.loss.raise(proven.bps);
        }
        self.refresh();
        Ok(())
    }

    /// Takes the receiver's own estimate. Ignored while transport feedback is there.
    pub fn on_remb(&mut self, bitrate_bps: u64, _now: Micros) {
        self.remb_bps = Some(bitrate_bps as f64);
        self.refresh();
    }

    /// Takes a report block: `fraction_lost` in 1/256 (RFC 3550, section 6.4.1) and the round trip.
    pub fn on_receiver_report(&mut self, fraction_lost: u8, rtt_us: Option<u64>, now: Micros) {
        if let Some(rtt_us) = rtt_us {
            self.rtt_us = (self.rtt_us * 3 + rtt_us.min(2_000_000)) / 4;
        }
        if !self.has_transport {
            self.loss
                .on_report(f64::from(fraction_lost) / 256.0, self.sending_bps, now);
            self.refresh();
        }
    }

    /// What the application sends. Needed only without transport feedback, where it makes loss act
    /// on the rate that lost packets rather than on the maximum.
    pub fn on_sending(&mut self, bitrate_bps: u64) {
        if !self.has_transport {
            self.sending_bps = Some(bitrate_bps as f64);
        }
    }

    /// What may be sent now, in bit/s.
    pub fn target_bps(&self) -> u64 {
        self.target_bps
    }

    /// Smoothed round trip by transport feedback; 0 without it.
    pub fn rtt_us(&self) -> u64 {
        if self.has_transport { self.rtt_us } else { 0 }
    }

    /// Share of packets lost in the last seconds, 0 to 1.
    pub fn loss_ratio(&self) -> f32 {
        self.loss.ratio() as f32
    }

    /// What was delivered in the last half second, in bit/s; only with transport feedback.
    pub fn acked_bps(&self) -> Option<u64> {
        self.delay.delivered_bps().map(|bps| bps as u64)
    }

    /// Whether transport feedback or REMB was ever seen.
    pub fn has_feedback(&self) -> bool {
        self.has_transport || self.remb_bps.is_some()
    }

    /// When `on_deadline` is due: packets are in flight and feedback stays away.
    pub fn deadline(&self) -> Option<Micros> {
        if self.is_silent {
            return None;
        }
        let patience = if self.has_transport {
            SILENCE_US
        } else {
            NEVER_US
        };
        self.waiting.map(|since| since + patience)
    }

    /// Backs off when feedback has stayed away; harmless when called early.
    pub fn on_deadline(&mut self, now: Micros) {
        if self.deadline().is_none_or(|deadline| now < deadline) {
            return;
        }
        if self.has_transport {
            self.back_off(now);
        } else {
            self.is_silent = true;
        }
        let _ = self.prober.judge(0, f64::MAX, now);
        self.refresh();
    }

    /// Whether padding may be sent to find room for `wanted_bps`, the next layer's rate.
    pub fn want_probe(&mut self, wanted_bps: u64, now: Micros) -> Option<ProbePlan> {
        let delivered = self.delay.delivered_bps()?;
        if !self.delay.is_calm(now) || self.loss.exceeds(PROBE_LOSS, 0.0) {
            return None;
        }
        let wanted = wanted_bps.min(self.bounds_bps.1) as f64;
        let sending = self.sending_bps.unwrap_or(delivered);
        self.prober
            .plan(wanted, self.target_bps as f64, sending, now)
    }

    #[cold]
    fn begin_waiting(&mut self, now: Micros) {
        self.waiting = Some(now);
        if !self.has_transport {
            self.refresh();
        }
    }

    /// Lowers the rate, unless sending stopped soon after the last feedback: then the last packets
    /// were lost and no more feedback is due.
    fn back_off(&mut self, now: Micros) {
        let paused = |since| self.history.last_sent(now) < since + SILENCE_US / 2;
        if self.waiting.take_if(|since| paused(*since)).is_some() {
            return;
        }
        self.waiting = Some(now);
        let lowered = self.target_bps as f64 * SILENCE_FACTOR;
        self.delay.rate().limit(lowered);
    }

    /// Goes through a feedback message; gives the sending time of the newest packet in it.
    fn take_packets(&mut self, feedback: &Feedback<'_>, base: u64, now: Micros) -> Micros {
        let reference = self.reference.extend(u64::from(feedback.reference()));
        let reference_us = reference as i64 * feedback::REFERENCE_US;
        let next = self.history.next();
        let forgotten = next.saturating_sub(CAPACITY as u64);
        let mut reached = 0;
        let statuses = (base..next).zip(feedback.iter());
        for (number, (_, arrival)) in statuses.filter(|(number, _)| *number >= forgotten) {
            let sent_at = match arrival {
                Some(arrival) => self.take_received(number, reference_us + arrival, now),
                None => self.take_lost(number, now),
            };
            reached = reached.max(sent_at.unwrap_or(0));
        }
        self.sample_rtt(reached, now);
        reached
    }

    fn take_received(&mut self, number: u64, arrival: i64, now: Micros) -> Option<Micros> {
        let packet = self.history.ack(number, now)?;
        self.loss.on_received(packet.at, packet.was_lost);
        self.prober.on_received(packet, arrival);
        self.delay.on_received(packet, arrival, now);
        Some(packet.at)
    }

    fn take_lost(&mut self, number: u64, now: Micros) -> Option<Micros> {
        let packet = self.history.lose(number, now)?;
        self.loss.on_lost(packet.at);
        self.prober.on_lost(packet);
        Some(packet.at)
    }

    fn sample_rtt(&mut self, reached: Micros, now: Micros) {
        if reached > 0 {
            let sample = now.saturating_sub(reached).min(2_000_000);
            self.rtt_us = (self.rtt_us * 7 + sample) / 8;
        }
    }

    /// Bytes sent over half a second or more, so that single frames do not show.
    fn measure_sending(&mut self, now: Micros) {
        let (since, bytes) = *self.mark.get_or_insert((now, self.sent_bytes));
        let elapsed = now.saturating_sub(since);
        if elapsed >= 500_000 {
            self.sending_bps = Some((self.sent_bytes - bytes) as f64 * 8e6 / elapsed as f64);
            self.mark = Some((now, self.sent_bytes));
        }
    }

    fn update_loss(&mut self, now: Micros) {
        let delivered = self.delay.delivered_bps().unwrap_or(0.0);
        let sending = self.sending_bps.unwrap_or(delivered);
        self.loss.decide(
            Rates {
                estimate: self.delay.estimate_bps(),
                delivered,
                sending,
            },
            now,
        );
    }

    fn refresh(&mut self) {
        let expects_transport = self.has_transport || self.history.is_used() && !self.is_silent;
        let source = match self.remb_bps {
            _ if self.has_transport => self.delay.estimate_bps(),
            Some(remb) => remb,
            None if expects_transport => self.delay.estimate_bps(),
            None => f64::MAX,
        };
        let (min, max) = self.bounds_bps;
        self.target_bps = (source.min(self.loss.limit_bps()) as u64).clamp(min, max.max(min));
    }
}
