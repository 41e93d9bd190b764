//! The dependency descriptor header extension (RTP Payload Format For AV1, appendix A).

mod structure;

use super::bits::Bits;
use super::unit::Unit;
use super::{FrameInfo, Numbers};
pub use structure::{Dti, Dtis, Structure, Template};

/// What the descriptor says of one packet's frame.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Descriptor {
    /// start_of_frame.
    pub start: bool,
    /// end_of_frame.
    pub end: bool,
    /// frame_dependency_template_id.
    pub template_id: u8,
    /// frame_number.
    pub frame_number: u16,
    /// What the template and the custom fields say, when the structure is known.
    pub frame: Option<Frame>,
    /// active_decode_targets_bitmask, when this packet tells it.
    pub active_decode_targets: Option<u32>,
}

/// A frame's place in the structure.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Frame {
    /// Spatial layer.
    pub spatial: u8,
    /// Temporal layer.
    pub temporal: u8,
    /// What the frame is to each decode target.
    pub dtis: Dtis,
    /// It refers to other frames.
    pub predicted: bool,
    /// Size of its spatial layer, where the structure tells.
    pub dimensions: Option<(u16, u16)>,
}

/// Parses a descriptor with the structure known so far; a new structure comes back beside it.
pub fn parse(bytes: &[u8], known: Option<&Structure>) -> Option<(Descriptor, Option<Structure>)> {
    let &[first, high, low, ref extended @ ..] = bytes else {
        return None;
    };
    let mut found = Descriptor {
        start: first & 0x80 != 0,
        end: first & 0x40 != 0,
        template_id: first & 0x3f,
        frame_number: u16::from_be_bytes([high, low]),
        ..Descriptor::default()
    };
    if extended.is_empty() {
        found.frame = known.and_then(|known| known.frame(found.template_id));
        return Some((found, None));
    }
    let mut bits = Bits::new(extended);
    let [renewed, active, dtis, fdiffs, chains] = flags(&mut bits)?;
    let fresh = if renewed {
        Some(structure::parse(&mut bits)?)
    } else {
        None
    };
    let Some(structure) = fresh.as_ref().or(known) else {
        return Some((found, None));
    };
    if renewed {
        found.active_decode_targets = Some(structure.all_targets());
    }
    if active {
        found.active_decode_targets = Some(bits.read(structure.targets)?);
    }
    let mut frame = structure.frame(found.template_id)?;
    if dtis {
        frame.dtis = Dtis::parse(&mut bits, structure.targets)?;
    }
    if fdiffs {
        frame.predicted = custom_fdiffs(&mut bits)?;
    }
    if chains {
        bits.skip(8 * structure.chains)?;
    }
    found.frame = Some(frame);
    Some((found, fresh))
}

fn flags(bits: &mut Bits) -> Option<[bool; 5]> {
    Some([
        bits.bit()?,
        bits.bit()?,
        bits.bit()?,
        bits.bit()?,
        bits.bit()?,
    ])
}

/// Whether any reference is told.
fn custom_fdiffs(bits: &mut Bits) -> Option<bool> {
    let mut any = false;
    loop {
        let size = bits.read(2)?;
        if size == 0 {
            return Some(any);
        }
        bits.skip(4 * size)?;
        any = true;
    }
}

/// Follows the descriptors of one layer.
#[derive(Debug, Default)]
pub struct Tracker {
    /// The last structure.
    structure: Option<Structure>,
    /// Decode targets whose last needed frame allowed going up from temporal layer 0.
    switchable: u32,
}

impl Tracker {
    /// Adds to `info` what the descriptor says. Nothing, when it makes no sense.
    pub(super) fn inspect(&mut self, bytes: &[u8], unit: &mut Unit, info: &mut FrameInfo) {
        let Some((descriptor, fresh)) = parse(bytes, self.structure.as_ref()) else {
            return;
        };
        let renewed = fresh.is_some();
        if renewed {
            self.structure = fresh;
            self.switchable = 0;
        }
        info.start = descriptor.start;
        info.end = descriptor.end;
        info.numbers = Numbers::Dependency {
            frame_number: descriptor.frame_number,
        };
        let Some(frame) = descriptor.frame else {
            return;
        };
        unit.key |= renewed && !frame.predicted;
        info.key |= unit.key;
        info.spatial = frame.spatial;
        info.temporal = frame.temporal;
        info.discardable = frame.dtis.discardable();
        info.temporal_switch = self.may_switch(&descriptor, frame, unit);
        if renewed {
            let largest = self.structure.as_ref().and_then(Structure::dimensions);
            info.dimensions = largest.or(info.dimensions);
        }
    }

    /// A Switch indication allows a target's *later* frames. So a frame of a temporal layer may be
    /// the first of that layer when the last frame its target needs was such one in layer 0.
    fn may_switch(&mut self, descriptor: &Descriptor, frame: Frame, unit: &mut Unit) -> bool {
        if !descriptor.start {
            return frame.temporal == 0 || unit.switch.unwrap_or(false);
        }
        let target = self
            .structure
            .as_ref()
            .and_then(|structure| structure.target(frame));
        let allowed = target.is_some_and(|target| self.switchable >> target & 1 == 1);
        // Decided once per picture: upper spatial layers follow the lowest.
        let allowed = frame.temporal == 0 || *unit.switch.get_or_insert(allowed);
        self.note(frame);
        allowed
    }

    fn note(&mut self, frame: Frame) {
        let targets = self
            .structure
            .as_ref()
            .map_or(0, |structure| structure.targets);
        for target in 0..targets {
            let bit = 1 << target;
            match frame.dtis.of(target) {
                Dti::NotPresent | Dti::Discardable => {}
                Dti::Switch if frame.temporal == 0 => self.switchable |= bit,
                Dti::Switch | Dti::Required => self.switchable &= !bit,
            }
        }
    }
}

#[cfg(test)]
mod tests;
