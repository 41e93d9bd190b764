//! Numbers that must not be mixed up, and the unit of time.

/// Monotonic time in microseconds since the data plane started. Only `io` reads a clock.
pub type Micros = u64;

/// A span of microseconds in NTP format (RFC 3550, section 4): 32 bits of seconds, 32 of fraction.
pub fn micros_to_ntp(micros: i64) -> i64 {
    let seconds = micros.div_euclid(1_000_000);
    let fraction = (micros.rem_euclid(1_000_000) << 32) / 1_000_000;
    (seconds << 32) | fraction
}

/// An RTP synchronisation source.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Ssrc(pub u32);

/// Extends wrapping counters of `BITS` bits to 64 bits, nearest to the last value seen.
///
/// RFC 3550, appendix A.1 in spirit: a value is taken as the one closest to the highest so far,
/// so late packets get numbers below it and never open a new cycle.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Unwrapper<const BITS: u32> {
    /// The highest extended value so far, if any.
    highest: Option<u64>,
}

impl<const BITS: u32> Unwrapper<BITS> {
    const CYCLE: u64 = 1 << BITS;

    /// The 64-bit value nearest to the highest seen. Starts one cycle up, so that packets
    /// reordered before the first one still have a number.
    pub fn extend(&mut self, value: u64) -> u64 {
        let extended = self.peek(value);
        if self.highest.is_none_or(|highest| extended > highest) {
            self.highest = Some(extended);
        }
        extended
    }

    /// As `extend`, without moving the highest value.
    pub fn peek(&self, value: u64) -> u64 {
        let value = value & (Self::CYCLE - 1);
        let Some(highest) = self.highest else {
            return Self::CYCLE + value;
        };
        let base = highest & !(Self::CYCLE - 1);
        let candidate = base + value;
        let half = Self::CYCLE / 2;
        if candidate + half < highest {
            candidate + Self::CYCLE
        } else if candidate > highest + half && candidate >= Self::CYCLE {
            candidate - Self::CYCLE
        } else {
            candidate
        }
    }
}

/// Media kinds.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, serde::Deserialize, serde::Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Kind {
    /// Sound.
    Audio,
    /// Picture.
    Video,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sequence_numbers_wrap_upwards_and_late_ones_stay_below() {
        let mut unwrap = Unwrapper::<16>::default();
        let first = unwrap.extend(65_534);
        assert_eq!(unwrap.extend(1), first + 3);
        assert_eq!(unwrap.extend(65_535), first + 1);
        assert_eq!(unwrap.extend(2), first + 4);
    }

    #[test]
    fn a_number_before_the_first_is_representable() {
        let mut unwrap = Unwrapper::<16>::default();
        let first = unwrap.extend(0);
        assert_eq!(unwrap.extend(65_535), first - 1);
    }
}
