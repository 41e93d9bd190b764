//! Reception of one RTP stream from the studio: numbers, losses, NACK schedule, jitter, reports.
//!
//! RFC 3550 (sections 6.4.1, A.3, A.8) for reports, RFC 4585 (section 6.2.1) for NACK.

use crate::rtcp::{self, ReportBlock};
use crate::types::{Micros, Ssrc, Unwrapper};
use std::collections::VecDeque;

/// Losses remembered at once; beyond it a key frame is the better repair.
const MAX_MISSING: usize = 512;
/// A jump of this size is a restarted encoder, not loss.
const MAX_GAP: u64 = 3_000;
/// Patience for reordering before the first NACK.
const REORDER_US: Micros = 5_000;
/// Requests for one packet before it is given up.
const MAX_REQUESTS: u8 = 10;
/// Age at which a lost packet is given up: later it helps no player.
const GIVE_UP_US: Micros = 1_000_000;

/// A packet that did not come.
#[derive(Clone, Copy, Debug)]
struct Missing {
    /// Extended sequence number.
    index: u64,
    /// When the hole was seen.
    since: Micros,
    /// When it was last asked for.
    asked: Option<Micros>,
    /// How often it was asked for.
    requests: u8,
}

/// What a packet's number says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Arrival {
    /// Extended sequence number.
    pub index: u64,
    /// Numbers skipped just before it.
    pub gap: u64,
    /// The source jumped: nothing before this packet will come any more.
    pub restarted: bool,
}

/// State per received SSRC.
#[derive(Debug)]
pub struct Receiver {
    /// The source.
    pub ssrc: Ssrc,
    /// RTP clock in Hz.
    clock_rate: u32,
    /// Extends sequence numbers.
    unwrapper: Unwrapper<16>,
    /// Added to extended numbers, so that a restart never runs backwards.
    base: u64,
    /// First and highest index.
    first: Option<u64>,
    /// Highest index so far.
    highest: u64,
    /// Packets received, repairs included.
    received: u64,
    /// `received` and expected at the last report.
    reported: (u64, u64),
    /// Interarrival jitter in RTP ticks, times 16.
    jitter16: u64,
    /// Transit time of the last packet, in RTP ticks.
    transit: Option<i64>,
    /// Holes, oldest first.
    missing: VecDeque<Missing>,
    /// NTP (middle bits) of the last sender report and when it came.
    last_report: Option<(u32, Micros)>,
    /// Packets given up, until taken.
    given_up: u64,
    /// Whether any was given up since `expire` said so.
    broken: bool,
    /// Packets asked for, until taken.
    requested: u64,
}

impl Receiver {
    /// `base` is the index before the first packet of this source.
    pub fn new(ssrc: Ssrc, clock_rate: u32, base: u64) -> Self {
        Receiver {
            ssrc,
            clock_rate: clock_rate.max(1),
            unwrapper: Unwrapper::default(),
            base,
            first: None,
            highest: 0,
            received: 0,
            reported: (0, 0),
            jitter16: 0,
            transit: None,
            missing: VecDeque::new(),
            last_report: None,
            given_up: 0,
            broken: false,
            requested: 0,
        }
    }

    /// Number a packet and note what is missing before it.
    pub fn on_packet(&mut self, sequence: u16, timestamp: u32, now: Micros) -> Arrival {
        let mut restarted = false;
        let mut index = self.base + self.unwrapper.extend(u64::from(sequence));
        if self.first.is_some() && index.abs_diff(self.highest) > MAX_GAP {
            self.base = self.highest + (1 << 17);
            self.unwrapper = Unwrapper::default();
            index = self.base + self.unwrapper.extend(u64::from(sequence));
            self.missing.clear();
            self.first = None;
            self.received = 0;
            self.reported = (0, 0);
            restarted = true;
        }
        self.received += 1;
        let gap = match self.first {
            None => {
                self.first = Some(index);
                self.highest = index;
                0
            }
            Some(_) if index > self.highest => self.advance(index, now),
            Some(_) => {
                self.missing.retain(|missing| missing.index != index);
                0
            }
        };
        self.measure_jitter(timestamp, now);
        Arrival {
            index,
            gap,
            restarted,
        }
    }

    /// Number a repaired packet (RTX); not part of jitter.
    pub fn on_repair(&mut self, sequence: u16) -> Option<u64> {
        self.first?;
        let index = self.base + self.unwrapper.peek(u64::from(sequence));
        if index.abs_diff(self.highest) > MAX_GAP {
            return None;
        }
        let before = self.missing.len();
        self.missing.retain(|missing| missing.index != index);
        if self.missing.len() < before {
            self.received += 1;
        }
        Some(index)
    }

    /// When `nacks` or `expire` has something to do.
    pub fn deadline(&self) -> Option<Micros> {
        self.missing
            .front()
            .map(|missing| missing.asked.unwrap_or(missing.since) + REORDER_US)
    }

    /// Sequence numbers to ask for now. `rtt_us` spaces repeated requests.
    pub fn nacks(&mut self, rtt_us: u64, now: Micros, out: &mut Vec<u16>) {
        let pause = rtt_us.clamp(20_000, 250_000) * 5 / 4;
        for missing in &mut self.missing {
            let due = match missing.asked {
                None => missing.since + REORDER_US,
                Some(asked) => asked + pause,
            };
            if due <= now && missing.requests < MAX_REQUESTS {
                missing.asked = Some(now);
                missing.requests += 1;
                self.requested += 1;
                out.push(((missing.index - self.base) & 0xffff) as u16);
            }
        }
    }

    /// Give up what is too old. True when anything was: the picture is broken until a key frame.
    pub fn expire(&mut self, now: Micros) -> bool {
        while self
            .missing
            .front()
            .is_some_and(|oldest| oldest.since + GIVE_UP_US <= now)
        {
            self.give_up_oldest();
        }
        std::mem::take(&mut self.broken)
    }

    /// Remember a sender report for LSR and DLSR.
    pub fn on_sender_report(&mut self, ntp: u64, now: Micros) {
        self.last_report = Some((rtcp::ntp_middle(ntp), now));
    }

    /// The report block of the interval since the last call (RFC 3550, section 6.4.1 and A.3).
    pub fn report(&mut self, now: Micros) -> Option<ReportBlock> {
        let first = self.first?;
        let expected = self.highest + 1 - first;
        let expected_now = expected.saturating_sub(self.reported.1);
        let received_now = self.received.saturating_sub(self.reported.0);
        self.reported = (self.received, expected);
        let lost_now = expected_now.saturating_sub(received_now);
        let fraction_lost = (lost_now * 256).checked_div(expected_now).unwrap_or(0);
        let (last_sr, delay_since_sr) = self.last_report.map_or((0, 0), |(ntp, at)| {
            (ntp, (now.saturating_sub(at) * 65_536 / 1_000_000) as u32)
        });
        let lost = (expected as i64 - self.received as i64).clamp(-0x80_0000, 0x7f_ffff) as i32;
        Some(ReportBlock {
            ssrc: self.ssrc,
            fraction_lost: fraction_lost.min(255) as u8,
            lost,
            highest: ((self.highest - self.base) & 0xffff_ffff) as u32,
            jitter: (self.jitter16 / 16) as u32,
            last_sr,
            delay_since_sr,
        })
    }

    /// Packets asked for and packets given up since the last call.
    pub fn take_losses(&mut self) -> (u64, u64) {
        (
            std::mem::take(&mut self.requested),
            std::mem::take(&mut self.given_up),
        )
    }

    /// Highest index so far.
    pub fn highest(&self) -> u64 {
        self.highest
    }

    /// Holes that may still be repaired.
    pub fn missing(&self) -> usize {
        self.missing.len()
    }

    /// Interarrival jitter in seconds.
    pub fn jitter_s(&self) -> f64 {
        self.jitter16 as f64 / 16.0 / f64::from(self.clock_rate)
    }

    fn advance(&mut self, index: u64, now: Micros) -> u64 {
        let gap = index - self.highest - 1;
        for lost in self.highest + 1..index {
            if self.missing.len() == MAX_MISSING {
                self.give_up_oldest();
            }
            self.missing.push_back(Missing {
                index: lost,
                since: now,
                asked: None,
                requests: 0,
            });
        }
        self.highest = index;
        gap
    }

    fn give_up_oldest(&mut self) {
        self.missing.pop_front();
        self.given_up += 1;
        self.broken = true;
    }

    fn measure_jitter(&mut self, timestamp: u32, now: Micros) {
        let arrival = (now * u64::from(self.clock_rate) / 1_000_000) as u32;
        let transit = i64::from(arrival.wrapping_sub(timestamp) as i32);
        if let Some(last) = self.transit {
            let difference = u64::from((transit as i32).wrapping_sub(last as i32).unsigned_abs());
            self.jitter16 = self.jitter16 + difference - ((self.jitter16 + 8) >> 4);
        }
        self.transit = Some(transit);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn receiver() -> Receiver {
        Receiver::new(Ssrc(1), 90_000, 0)
    }

    #[test]
    fn a_hole_is_asked_for_after_patience_and_again_after_a_round_trip() {
        let mut receiver = receiver();
        receiver.on_packet(1, 0, 0);
        assert_eq!(receiver.on_packet(4, 0, 1_000).gap, 2);
        let mut out = Vec::new();
        receiver.nacks(40_000, 2_000, &mut out);
        assert!(out.is_empty());
        receiver.nacks(40_000, 6_000, &mut out);
        assert_eq!(out, [2, 3]);
        out.clear();
        assert_eq!(receiver.on_repair(2), Some(receiver.highest() - 2));
        receiver.nacks(40_000, 30_000, &mut out);
        assert!(out.is_empty());
        receiver.nacks(40_000, 60_000, &mut out);
        assert_eq!(out, [3]);
    }

    #[test]
    fn what_never_comes_is_given_up() {
        let mut receiver = receiver();
        receiver.on_packet(1, 0, 0);
        receiver.on_packet(3, 0, 0);
        assert!(!receiver.expire(GIVE_UP_US - 1));
        assert!(receiver.expire(GIVE_UP_US));
        assert_eq!(receiver.given_up, 1);
    }

    #[test]
    fn a_restarted_source_goes_on_above() {
        let mut receiver = receiver();
        let before = receiver.on_packet(60_000, 0, 0).index;
        let after = receiver.on_packet(100, 0, 0);
        assert!(after.index > before);
        let jump = receiver.on_packet(30_000, 0, 0);
        assert!(jump.restarted && jump.index > after.index && jump.gap == 0);
    }

    #[test]
    fn report_counts_this_interval() {
        let mut receiver = receiver();
        for sequence in [0u16, 1, 2, 4] {
            receiver.on_packet(sequence, 0, 0);
        }
        receiver.on_sender_report(0x1_2345_6789_0000, 0);
        let report = receiver.report(500_000).expect("has packets");
        assert_eq!((report.lost, report.fraction_lost), (1, 51));
        assert_eq!(report.delay_since_sr, 32_768);
        assert_eq!(receiver.report(600_000).expect("report").fraction_lost, 0);
    }
}
