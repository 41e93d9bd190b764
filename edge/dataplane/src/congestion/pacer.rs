//! A byte bucket that spreads bursts (draft-ietf-rmcat-gcc-02, section 4).

use crate::types::Micros;

/// Bits times a million: what one bit/s pays off in one microsecond.
const PER_BIT: i64 = 1_000_000;
/// Longest time that is paid for at once, so that the arithmetic cannot overflow.
const LONGEST_US: Micros = 10_000_000;

/// Debt model: a sent packet is a debt, time pays it off, and a packet may go without debt.
#[derive(Clone, Debug)]
pub struct Pacer {
    /// Rate at which the debt is paid off.
    rate_bps: u64,
    /// Most credit that idle time gives, in bits times a million.
    burst: i64,
    /// Debt in bits times a million; negative is credit.
    debt: i64,
    /// When the debt was last brought up to date.
    settled: Micros,
}

impl Pacer {
    /// A pacer with full credit: the first `burst_bytes` go at once.
    pub fn new(rate_bps: u64, burst_bytes: usize) -> Self {
        let burst = bits(burst_bytes);
        Self {
            rate_bps: limit(rate_bps),
            burst,
            debt: -burst,
            settled: 0,
        }
    }

    /// Changes the rate from the last `ready` or `on_sent` on.
    pub fn set_rate(&mut self, rate_bps: u64) {
        self.rate_bps = limit(rate_bps);
    }

    /// Whether a packet may go now.
    pub fn ready(&mut self, now: Micros) -> bool {
        self.settle(now);
        self.debt <= 0
    }

    /// Counts what was sent, whether `ready` allowed it or not.
    pub fn on_sent(&mut self, bytes: usize, now: Micros) {
        self.settle(now);
        self.debt = self.debt.saturating_add(bits(bytes));
    }

    /// When the next packet may go; `now` if at once.
    pub fn next(&self, now: Micros) -> Micros {
        let debt = u64::try_from(self.debt).unwrap_or(0);
        now.max(self.settled + debt.div_ceil(self.rate_bps))
    }

    fn settle(&mut self, now: Micros) {
        let elapsed = now.saturating_sub(self.settled).min(LONGEST_US);
        let paid = (elapsed * self.rate_bps) as i64;
        self.debt = self.debt.saturating_sub(paid).max(-self.burst);
        self.settled = self.settled.max(now);
    }
}

/// Between 1 bit/s, so that time always pays, and 100 Gbit/s, far above any link here.
fn limit(rate_bps: u64) -> u64 {
    rate_bps.clamp(1, 100_000_000_000)
}

fn bits(bytes: usize) -> i64 {
    i64::try_from(bytes)
        .unwrap_or(i64::MAX)
        .saturating_mul(8 * PER_BIT)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_burst_goes_at_once_and_then_the_rate_holds() {
        let mut pacer = Pacer::new(800_000, 3_000);
        let mut now = 5_000_000;
        let mut sent = 0;
        while now < 6_000_000 {
            while pacer.ready(now) {
                pacer.on_sent(1_000, now);
                sent += 1_000;
            }
            let next = pacer.next(now);
            assert!(next > now);
            now = next;
        }
        // 3,000 bytes of credit, 100,000 bytes in a second, one packet into debt.
        assert!((103_000..=105_000).contains(&sent), "{sent}");
    }

    #[test]
    fn idle_time_gives_no_more_than_the_burst() {
        let mut pacer = Pacer::new(8_000_000, 2_000);
        pacer.on_sent(2_000, 0);
        assert!(pacer.ready(60_000_000));
        pacer.on_sent(2_001, 60_000_000);
        assert!(!pacer.ready(60_000_000));
        assert_eq!(pacer.next(60_000_000), 60_000_001);
    }

    #[test]
    fn a_rate_of_zero_never_divides_by_it() {
        let mut pacer = Pacer::new(0, 0);
        pacer.on_sent(1, 0);
        assert_eq!(pacer.next(0), 8_000_000);
        pacer.set_rate(8);
        assert_eq!(pacer.next(0), 1_000_000);
    }
}
