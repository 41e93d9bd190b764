//! Which layer a player should get: a pure choice from estimate, tier and wish.

use crate::rewriter::Source;
use crate::spec::Selection;
use crate::stream::Track;
use crate::types::Micros;

/// Share of the estimate that a higher layer may fill before it is chosen, in percent.
const UPGRADE_PERCENT: u64 = 92;
/// The present layer is kept up to this share of the estimate: choice must not flap.
const KEEP_PERCENT: u64 = 108;
/// Rate set aside for audio, repairs and RTCP, in bit/s.
const RESERVE_BPS: u64 = 80_000;

/// A chosen layer, and the rate that the next higher allowed one would need.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Choice {
    /// Index of the layer in its track.
    pub layer: u8,
    /// What the estimate would have to be for a higher layer, in bit/s.
    pub wanted_bps: Option<u64>,
}

/// The highest position that a tier allows among `count` layers (DESIGN, tiers).
pub fn tier_ceiling(tier: u8, count: usize) -> usize {
    match tier {
        0 => count.saturating_sub(1),
        1 => count.saturating_sub(1) / 2,
        _ => 0,
    }
}

/// `None` while no layer is being received.
pub fn choose_layer(
    selection: &Selection,
    track: &Track,
    tier: u8,
    current: Option<Source>,
    estimate_bps: u64,
    now: Micros,
) -> Option<Choice> {
    let order = track.by_rank(now);
    let ceiling = tier_ceiling(tier, order.len());
    let mut allowed: Vec<u8> = order.into_iter().take(ceiling + 1).collect();
    if let Some(max_rank) = selection.max_rank {
        let keep = usize::from(max_rank) + 1;
        allowed.truncate(keep.max(1));
    }
    if let Some(rid) = &selection.rid {
        let named = allowed
            .iter()
            .copied()
            .find(|index| layer_rid(track, *index) == Some(rid.as_str()));
        if let Some(layer) = named {
            return Some(Choice {
                layer,
                wanted_bps: None,
            });
        }
    }
    let cost = |index: u8| {
        let meter = track
            .layers
            .get(usize::from(index))
            .map(|layer| layer.meter);
        meter.map_or(0, |meter| meter.estimate_bps(now)) + RESERVE_BPS
    };
    let current = current.map(|source| source.layer);
    let position = current.and_then(|layer| allowed.iter().position(|index| *index == layer));
    let fits = |place: usize, index: u8| {
        let percent = match position {
            Some(position) if place <= position => KEEP_PERCENT,
            Some(_) => UPGRADE_PERCENT,
            None => 100,
        };
        cost(index) * 100 <= estimate_bps * percent
    };
    let best = allowed
        .iter()
        .enumerate()
        .rev()
        .find(|(place, index)| fits(*place, **index))
        .map_or(0, |(place, _)| place);
    let layer = *allowed.get(best)?;
    let wanted_bps = allowed
        .get(best + 1)
        .map(|index| cost(*index) * 100 / UPGRADE_PERCENT);
    Some(Choice { layer, wanted_bps })
}

fn layer_rid(track: &Track, index: u8) -> Option<&str> {
    track
        .layers
        .get(usize::from(index))
        .map(|layer| layer.rid.as_str())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tiers_lower_the_ceiling() {
        let ceilings = |count| [0, 1, 2, 3, 4].map(|tier| tier_ceiling(tier, count));
        assert_eq!(ceilings(3), [2, 1, 0, 0, 0]);
        assert_eq!(ceilings(2), [1, 0, 0, 0, 0]);
        assert_eq!(ceilings(1), [0; 5]);
    }
}
