//! Continuity of what one player receives, whatever layers, gaps and catch-ups it is made of.
//!
//! The numbers a player sees are a piecewise linear map of the numbers in the rings: a `Piece`
//! holds while packets of one layer follow one another and nothing is left out. Retransmission is
//! the inverse of the map, so no packet needs a record of its own.

use crate::codec::Offsets;
use std::collections::VecDeque;

/// Pieces remembered: two seconds of dropping every other frame at 60 fps. Older packets are not
/// retransmitted any more.
const MAX_PIECES: usize = 128;

/// One layer of one publication.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Source {
    /// Index of the layer in its track.
    pub layer: u8,
    /// Publication: each new publisher of a stream counts up.
    pub epoch: u32,
}

/// A stretch in which out = in + constant.
#[derive(Clone, Copy, Debug)]
pub struct Piece {
    /// Where the packets come from.
    pub source: Source,
    /// First index in the ring.
    pub in_start: u64,
    /// Its extended sequence number towards the player.
    pub out_start: u64,
    /// Added to RTP timestamps, modulo 2^32.
    pub timestamp_delta: u32,
    /// Codec-level numbers (picture id and its kin).
    pub offsets: Offsets,
}

impl Piece {
    fn out(&self, index: u64) -> u64 {
        self.out_start + (index - self.in_start)
    }
}

/// Sequence numbers and timestamps towards one player, for one track.
#[derive(Debug)]
pub struct Rewriter {
    /// Newest last.
    pieces: VecDeque<Piece>,
    /// The next number to give.
    next: u64,
    /// One past the highest number given to a late packet.
    taken: u64,
}

impl Rewriter {
    /// Start numbering at `first` (RFC 3550, section 5.1: unpredictable is better).
    pub fn new(first: u64) -> Self {
        Rewriter {
            pieces: VecDeque::new(),
            next: first,
            taken: 0,
        }
    }

    /// The number after the last one given.
    pub fn next(&self) -> u64 {
        self.next
    }

    /// The newest piece.
    #[inline]
    pub fn current(&self) -> Option<&Piece> {
        self.pieces.back()
    }

    /// From ring index `in_start` on, packets of `source` follow what was sent so far without a
    /// gap, but for `reserved` numbers kept for packets of the old piece that may still come.
    pub fn begin(
        &mut self,
        source: Source,
        in_start: u64,
        reserved: u64,
        timestamp_delta: u32,
        offsets: Offsets,
    ) {
        if self.pieces.len() == MAX_PIECES {
            self.pieces.pop_front();
        }
        // A piece that has sent nothing yet keeps the numbers reserved before it.
        let unsent = self.pieces.back().map_or(0, |piece| piece.out_start);
        self.pieces.push_back(Piece {
            source,
            in_start,
            out_start: (self.next.max(unsent) + reserved).max(self.taken),
            timestamp_delta,
            offsets,
        });
    }

    /// The newest piece has sent nothing yet: its codec-level numbers are known only now.
    pub fn replace_offsets(&mut self, offsets: Offsets) {
        if let Some(piece) = self.pieces.back_mut() {
            piece.offsets = offsets;
        }
    }

    /// Number of a packet of the newest piece that is sent for the first time.
    #[inline]
    pub fn advance(&mut self, index: u64) -> Option<u64> {
        let piece = self.pieces.back()?;
        let out = piece.out(index.max(piece.in_start));
        self.next = self.next.max(out + 1);
        Some(out)
    }

    /// Number kept for a packet that comes late, if it has one. `reserved` numbers after the last
    /// one given belong to the newest piece still.
    pub fn late(&mut self, source: Source, index: u64, reserved: u64) -> Option<(u64, Piece)> {
        let found = self.kept(source, index, reserved)?;
        self.taken = self.taken.max(found.0 + 1);
        Some(found)
    }

    fn kept(&self, source: Source, index: u64, reserved: u64) -> Option<(u64, Piece)> {
        let mut limit = self.next + reserved;
        for piece in self.pieces.iter().rev() {
            if piece.source == source && index >= piece.in_start {
                let out = piece.out(index);
                return (out < limit).then_some((out, *piece));
            }
            limit = limit.min(piece.out_start);
        }
        None
    }

    /// The packet behind a number (16 bits, as in a NACK): extended number, ring index and piece.
    pub fn find(&self, sequence: u16) -> Option<(u64, u64, Piece)> {
        let last = self.next.checked_sub(1)?;
        let behind = u64::from((last as u16).wrapping_sub(sequence));
        let out = last.checked_sub(behind)?;
        let mut end = self.next;
        for piece in self.pieces.iter().rev() {
            if out >= piece.out_start {
                return (out < end)
                    .then(|| (out, piece.in_start + (out - piece.out_start), *piece));
            }
            end = piece.out_start;
        }
        None
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const A: Source = Source { layer: 0, epoch: 1 };
    const B: Source = Source { layer: 1, epoch: 1 };

    #[test]
    fn numbers_go_on_without_a_gap_over_a_switch_and_a_drop() {
        let mut rewriter = Rewriter::new(1_000);
        rewriter.begin(A, 50, 0, 0, Offsets::default());
        assert_eq!(rewriter.advance(50), Some(1_000));
        assert_eq!(rewriter.advance(51), Some(1_001));
        // 52 and 53 left out
        rewriter.begin(A, 54, 0, 0, Offsets::default());
        assert_eq!(rewriter.advance(54), Some(1_002));
        rewriter.begin(B, 9_000, 0, 77, Offsets::default());
        assert_eq!(rewriter.advance(9_000), Some(1_003));
    }

    #[test]
    fn the_map_is_inverted_for_retransmission() {
        let mut rewriter = Rewriter::new(65_534);
        rewriter.begin(A, 10, 0, 0, Offsets::default());
        for index in 10..14 {
            rewriter.advance(index);
        }
        rewriter.begin(B, 500, 0, 5, Offsets::default());
        rewriter.advance(500);
        let (_, index, piece) = rewriter.find(65_535).expect("sent");
        assert_eq!((index, piece.source), (11, A));
        let (_, index, piece) = rewriter.find(2).expect("sent");
        assert_eq!((index, piece.source, piece.timestamp_delta), (500, B, 5));
        assert!(rewriter.find(3).is_none(), "never sent");
        assert!(rewriter.find(60_000).is_none(), "before the first");
    }

    #[test]
    fn a_late_packet_gets_the_number_kept_for_it() {
        let mut rewriter = Rewriter::new(0);
        rewriter.begin(A, 10, 0, 0, Offsets::default());
        rewriter.advance(10);
        rewriter.advance(12);
        assert_eq!(rewriter.late(A, 11, 0).map(|(out, _)| out), Some(1));
        rewriter.begin(A, 20, 0, 0, Offsets::default());
        rewriter.advance(20);
        assert!(rewriter.late(A, 13, 0).is_none(), "left out on purpose");
        assert!(rewriter.late(B, 11, 0).is_none());
    }

    #[test]
    fn numbers_reserved_by_a_piece_that_sent_nothing_stay_reserved() {
        let mut rewriter = Rewriter::new(0);
        rewriter.begin(A, 10, 0, 0, Offsets::default());
        rewriter.advance(10);
        // 11 is missing, 12 was left out; 13 is missing too, and 14 begins another frame.
        rewriter.begin(A, 13, 1, 0, Offsets::default());
        rewriter.begin(A, 14, 1, 7, Offsets::default());
        assert_eq!(rewriter.advance(14), Some(3));
        assert_eq!(rewriter.late(A, 11, 0).map(|(out, _)| out), Some(1));
        assert_eq!(rewriter.late(A, 13, 0).map(|(out, _)| out), Some(2));
        assert!(rewriter.late(A, 12, 0).is_none());
    }
}
