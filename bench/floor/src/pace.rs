//! When how many packets leave.

use crate::options::{Burst, Options};
use std::time::Duration;

/// RTP payload of each packet, in bytes.
pub const PAYLOAD: usize = 1200;

/// Ticks of equal length; the packets of a second are spread over them without loss.
#[derive(Clone, Copy, Debug)]
pub struct Pace {
    /// Packets per tick, with their fraction.
    packets: f64,
    /// Ticks per second.
    ticks: f64,
}

impl Pace {
    /// A tick is a frame, or a packet if they are spaced.
    pub fn new(options: &Options) -> Pace {
        let packets_per_second = options.rate_bps / (8 * PAYLOAD) as f64;
        let ticks = match options.burst {
            Burst::Frame => options.fps,
            Burst::Spaced => packets_per_second,
        };
        Pace {
            packets: packets_per_second / ticks,
            ticks,
        }
    }

    /// Ticks in this many seconds.
    pub fn ticks(self, seconds: f64) -> u64 {
        (self.ticks * seconds).round() as u64
    }

    /// When a tick is due, since the first.
    pub fn due(self, tick: u64) -> Duration {
        Duration::from_secs_f64(tick as f64 / self.ticks)
    }

    /// Packets to each receiver before this tick.
    pub fn before(self, tick: u64) -> u64 {
        // The small part keeps whole numbers whole despite rounding.
        (tick as f64 * self.packets + 1e-6) as u64
    }

    /// The most packets that one tick has.
    pub fn largest(self) -> usize {
        self.packets.ceil() as usize
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_frame_has_the_packets_of_its_share_of_the_rate() {
        let pace = Pace::new(&Options::default());
        let bursts = (0..300).map(|tick| pace.before(tick + 1) - pace.before(tick));
        let bursts: Vec<u64> = bursts.collect();
        assert_eq!(pace.ticks(10.0), 300);
        assert_eq!(bursts.iter().sum::<u64>(), 2604); // 2.5 Mbit/s for 10 s in 1200-byte packets
        assert!(bursts.iter().all(|burst| [8, 9].contains(burst)));
        assert_eq!(pace.largest(), 9);
    }

    #[test]
    fn spaced_packets_leave_one_by_one() {
        let options = Options {
            burst: Burst::Spaced,
            ..Options::default()
        };
        let pace = Pace::new(&options);
        assert!((0..5000).all(|tick| pace.before(tick + 1) - pace.before(tick) == 1));
        assert_eq!(pace.due(625), Duration::from_millis(2400));
        assert_eq!(pace.largest(), 1);
    }
}
