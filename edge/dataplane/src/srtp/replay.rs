//! Which packets were seen, per SSRC (RFC 3711, 3.3.1 and 3.3.2).

use crate::error::Drop;
use crate::types::Ssrc;

/// Packets behind the newest that can still arrive. RFC 3711 asks for 64 at least; at 260 packets
/// a second 1024 are four seconds, longer than any retransmission is of use.
pub(super) const WINDOW: u64 = 1024;
/// SSRCs per key and kind. Simulcast of three layers with RTX and audio needs seven; the bound
/// keeps one publisher from holding memory without end.
pub(super) const MAX_SSRCS: usize = 32;
const WORDS: usize = (WINDOW / 64) as usize;
const HALF: u16 = 1 << 15;

/// The windows of all SSRCs under one key. A linear search wins at this size.
#[derive(Default)]
pub(super) struct Windows {
    /// In order of first appearance.
    windows: Vec<(Ssrc, Window)>,
}

impl Windows {
    /// The 48-bit index of a sequence number: the first packet of an SSRC has rollover counter 0.
    pub(super) fn estimate(&self, ssrc: Ssrc, sequence: u16) -> u64 {
        self.find(ssrc).map_or(u64::from(sequence), |window| {
            estimate(window.highest, sequence)
        })
    }

    /// Whether a packet may be looked at: not seen, and no SSRC too many.
    pub(super) fn admit(&self, ssrc: Ssrc, index: u64) -> Result<(), Drop> {
        match self.find(ssrc) {
            Some(window) if window.is_new(index) => Ok(()),
            Some(_) => Err(Drop::Replayed),
            None if self.windows.len() < MAX_SSRCS => Ok(()),
            None => Err(Drop::UnknownTrack),
        }
    }

    /// Remembers an authentic packet that `admit` let through.
    pub(super) fn record(&mut self, ssrc: Ssrc, index: u64) {
        match self.windows.iter_mut().find(|(known, _)| *known == ssrc) {
            Some((_, window)) => window.record(index),
            None => self.windows.push((ssrc, Window::starting_at(index))),
        }
    }

    fn find(&self, ssrc: Ssrc) -> Option<&Window> {
        let found = self.windows.iter().find(|(known, _)| *known == ssrc);
        found.map(|(_, window)| window)
    }
}

/// The last `WINDOW` indices of one SSRC, a bit each.
struct Window {
    /// The highest index seen.
    highest: u64,
    /// Bit `index % WINDOW` says whether `index` was seen.
    seen: [u64; WORDS],
}

impl Window {
    fn starting_at(index: u64) -> Window {
        let mut window = Window {
            highest: index,
            seen: [0; WORDS],
        };
        window.mark(index);
        window
    }

    fn is_new(&self, index: u64) -> bool {
        let seen = self.seen[word(index)] & bit(index) != 0;
        index > self.highest || (self.highest - index < WINDOW && !seen)
    }

    fn record(&mut self, index: u64) {
        if index.saturating_sub(self.highest) >= WINDOW {
            self.seen = [0; WORDS];
        } else {
            (self.highest + 1..index).for_each(|missing| self.clear(missing));
        }
        self.mark(index);
        self.highest = self.highest.max(index);
    }

    fn mark(&mut self, index: u64) {
        self.seen[word(index)] |= bit(index);
    }

    fn clear(&mut self, index: u64) {
        self.seen[word(index)] &= !bit(index);
    }
}

/// The index nearest to the highest one (RFC 3711, appendix A), but never below the first cycle.
fn estimate(highest: u64, sequence: u16) -> u64 {
    let rollover = highest >> 16;
    let last = (highest & 0xFFFF) as u16;
    let rollover = if last < HALF && sequence.saturating_sub(last) > HALF {
        rollover.saturating_sub(1)
    } else if last >= HALF && last - HALF > sequence {
        rollover + 1
    } else {
        rollover
    };
    rollover << 16 | u64::from(sequence)
}

fn word(index: u64) -> usize {
    (index % WINDOW / 64) as usize
}

fn bit(index: u64) -> u64 {
    1 << (index % 64)
}

#[cfg(test)]
mod tests {
    use super::*;

    const SSRC: Ssrc = Ssrc(7);

    #[test]
    fn indices_are_estimated_as_in_rfc_3711_appendix_a() {
        let cycle = 1 << 16;
        for (highest, sequence, expected) in [
            (0, 0, 0),
            (0, 1, 1),
            (0, 32_768, 32_768),
            (10, 65_535, 65_535), // there is no cycle below the first
            (65_535, 0, cycle),
            (65_535, 32_766, cycle + 32_766),
            (65_535, 32_767, 32_767),
            (cycle, 65_535, 65_535),
            (cycle, 32_769, 32_769),
            (cycle, 32_768, cycle + 32_768),
            (cycle + 32_767, 65_535, cycle + 65_535),
            (cycle + 32_768, 0, cycle),
            (cycle + 32_769, 0, 2 * cycle),
            (3 * cycle + 5, 65_530, 3 * cycle - 6),
            (3 * cycle + 65_530, 5, 4 * cycle + 5),
        ] {
            assert_eq!(
                estimate(highest, sequence),
                expected,
                "{highest} {sequence}"
            );
        }
    }

    #[test]
    fn late_packets_pass_once_and_old_ones_never() {
        for highest in [WINDOW, 65_536 + 3, 5 << 16, (1 << 48) - 1] {
            let mut windows = Windows::default();
            windows.record(SSRC, highest);
            for (index, expected) in [
                (highest, Err(Drop::Replayed)),
                (highest - 1, Ok(())),
                (highest - (WINDOW - 1), Ok(())),
                (highest - WINDOW, Err(Drop::Replayed)),
                (0, Err(Drop::Replayed)),
                (highest + 1, Ok(())),
                (highest + 100 * WINDOW, Ok(())),
            ] {
                assert_eq!(windows.admit(SSRC, index), expected, "{index} of {highest}");
            }
            for late in [highest - 1, highest - (WINDOW - 1), highest - 64] {
                windows.record(SSRC, late);
                assert_eq!(windows.admit(SSRC, late), Err(Drop::Replayed));
            }
        }
    }

    #[test]
    fn a_window_remembers_exactly_what_a_set_would() {
        let mut windows = Windows::default();
        let mut seen = std::collections::HashSet::new();
        let (mut highest, mut random) = (0u64, 1u64);
        for step in 0..50_000u64 {
            random = random
                .wrapping_mul(6_364_136_223_846_793_005)
                .wrapping_add(1);
            let jump = if step % 97 == 0 { 3 * WINDOW } else { 60 };
            let index = (highest + (random >> 33) % jump).saturating_sub(step % 41);
            let fresh = index > highest || (highest - index < WINDOW && !seen.contains(&index));
            let fresh = fresh || seen.is_empty();
            assert_eq!(
                windows.admit(SSRC, index).is_ok(),
                fresh,
                "{index} of {highest}"
            );
            if fresh {
                windows.record(SSRC, index);
                seen.insert(index);
                highest = highest.max(index);
            }
        }
    }

    #[test]
    fn ssrcs_are_bounded_and_the_known_ones_go_on() {
        let mut windows = Windows::default();
        (0..MAX_SSRCS as u32).for_each(|ssrc| windows.record(Ssrc(ssrc), 1));
        assert_eq!(windows.admit(Ssrc(99), 1), Err(Drop::UnknownTrack));
        assert_eq!(windows.admit(Ssrc(31), 2), Ok(()));
    }
}
