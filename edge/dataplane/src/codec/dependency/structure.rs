//! The template structure of the dependency descriptor (appendix A.8.2), bounded in all parts.

use super::Frame;
use crate::codec::bits::Bits;

/// Template ids have six bits.
const MAX_TEMPLATES: usize = 64;

/// Spatial ids have two bits.
const MAX_SPATIAL: usize = 4;

/// What a frame is to a decode target (appendix A.8.2.3).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Dti {
    /// No part of it.
    NotPresent,
    /// No later frame of the target needs it.
    Discardable,
    /// Later frames of the target need nothing before it that lower targets lack.
    Switch,
    /// Later frames of the target need it.
    Required,
}

/// The indications of one frame, two bits per decode target, the first target lowest.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Dtis(u64);

impl Dtis {
    /// Reads one indication per target (at most 32).
    pub(super) fn parse(bits: &mut Bits, targets: u32) -> Option<Self> {
        let mut all = 0;
        for target in 0..targets.min(32) {
            all |= u64::from(bits.read(2)?) << (2 * target);
        }
        Some(Self(all))
    }

    /// The indication for one target.
    pub fn of(self, target: u32) -> Dti {
        match self.0.checked_shr(2 * target).unwrap_or(0) & 3 {
            0 => Dti::NotPresent,
            1 => Dti::Discardable,
            2 => Dti::Switch,
            _ => Dti::Required,
        }
    }

    /// No target needs the frame for a later one.
    pub fn discardable(self) -> bool {
        const UPPER: u64 = 0xaaaa_aaaa_aaaa_aaaa;
        self.0 != 0 && self.0 & UPPER == 0
    }
}

/// One template.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Template {
    /// Spatial layer.
    pub spatial: u8,
    /// Temporal layer.
    pub temporal: u8,
    /// What frames of it are to each decode target.
    pub dtis: Dtis,
    /// Frames of it refer to other frames.
    pub predicted: bool,
}

/// What all frames until the next structure are described with.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Structure {
    /// template_id_offset.
    offset: u8,
    /// Number of decode targets, 1 to 32.
    pub targets: u32,
    /// Number of chains.
    pub chains: u32,
    /// At most 64.
    templates: Vec<Template>,
    /// Spatial and temporal layer of each decode target.
    layers: [(u8, u8); 32],
    /// Width and height of each spatial layer.
    dimensions: [Option<(u16, u16)>; MAX_SPATIAL],
}

impl Structure {
    /// What the template of this id says, or None when there is no such template.
    pub(super) fn frame(&self, template_id: u8) -> Option<Frame> {
        let index = (template_id + 64 - self.offset) % 64;
        let template = self.templates.get(usize::from(index))?;
        Some(Frame {
            spatial: template.spatial,
            temporal: template.temporal,
            dtis: template.dtis,
            predicted: template.predicted,
            dimensions: self
                .dimensions
                .get(usize::from(template.spatial))
                .copied()
                .flatten(),
        })
    }

    /// The decode target that ends at the frame's layers.
    pub(super) fn target(&self, frame: Frame) -> Option<u32> {
        let wanted = (frame.spatial, frame.temporal);
        let position = self.layers.iter().position(|&layers| layers == wanted)?;
        u32::try_from(position)
            .ok()
            .filter(|&target| target < self.targets)
    }

    /// A mask with every decode target set.
    pub(super) fn all_targets(&self) -> u32 {
        u32::MAX >> (32 - self.targets.clamp(1, 32))
    }

    /// The size of the highest spatial layer, where told.
    pub fn dimensions(&self) -> Option<(u16, u16)> {
        self.dimensions.iter().rev().copied().flatten().next()
    }

    /// The templates, in the order of their ids.
    pub fn templates(&self) -> &[Template] {
        &self.templates
    }

    fn derive_layers(&mut self) {
        for (target, layers) in (0..self.targets).zip(self.layers.iter_mut()) {
            let part = |template: &&Template| template.dtis.of(target) != Dti::NotPresent;
            let of_target = || self.templates.iter().filter(part);
            layers.0 = of_target()
                .map(|template| template.spatial)
                .max()
                .unwrap_or(0);
            layers.1 = of_target()
                .map(|template| template.temporal)
                .max()
                .unwrap_or(0);
        }
    }
}

/// Parses template_dependency_structure().
pub(super) fn parse(bits: &mut Bits) -> Option<Structure> {
    let offset = u8::try_from(bits.read(6)?).ok()?;
    let targets = bits.read(5)? + 1;
    let mut templates = template_layers(bits)?;
    for template in &mut templates {
        template.dtis = Dtis::parse(bits, targets)?;
    }
    for template in &mut templates {
        while bits.bit()? {
            bits.skip(4)?; // fdiff_minus_one
            template.predicted = true;
        }
    }
    let chains = skip_chains(bits, targets, &templates)?;
    let dimensions = resolutions(bits, &templates)?;
    let layers = [(0, 0); 32];
    let mut structure = Structure {
        offset,
        targets,
        chains,
        templates,
        layers,
        dimensions,
    };
    structure.derive_layers();
    Some(structure)
}

fn template_layers(bits: &mut Bits) -> Option<Vec<Template>> {
    let mut templates = Vec::with_capacity(MAX_TEMPLATES / 4);
    let mut next = Template::default();
    loop {
        if templates.len() == MAX_TEMPLATES {
            return None;
        }
        templates.push(next);
        match bits.read(2)? {
            0 => {}
            1 => next.temporal = Some(next.temporal + 1).filter(|&temporal| temporal < 8)?,
            2 => {
                next.spatial = Some(next.spatial + 1).filter(|&spatial| spatial < 4)?;
                next.temporal = 0;
            }
            _ => return Some(templates),
        }
    }
}

fn skip_chains(bits: &mut Bits, targets: u32, templates: &[Template]) -> Option<u32> {
    let chains = bits.below(targets + 1)?;
    if chains > 0 {
        for _ in 0..targets {
            bits.below(chains)?; // decode_target_protected_by
        }
        for _ in templates {
            bits.skip(4 * chains)?; // template_chain_fdiff
        }
    }
    Some(chains)
}

fn resolutions(
    bits: &mut Bits,
    templates: &[Template],
) -> Option<[Option<(u16, u16)>; MAX_SPATIAL]> {
    let mut dimensions = [None; MAX_SPATIAL];
    if bits.bit()? {
        let highest = templates.last().map_or(0, |template| template.spatial);
        for slot in dimensions.iter_mut().take(usize::from(highest) + 1) {
            let (width, height) = (bits.read(16)? + 1, bits.read(16)? + 1);
            *slot = Some((u16::try_from(width).ok()?, u16::try_from(height).ok()?));
        }
    }
    Some(dimensions)
}
