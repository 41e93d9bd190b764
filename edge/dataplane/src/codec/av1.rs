//! AV1 payloads (RTP Payload Format For AV1, section 4).

mod sequence;

use super::FrameInfo;
use super::unit::Unit;
use sequence::Sequence;

/// OBU types, AV1 section 6.2.2.
const SEQUENCE_HEADER: u8 = 1;
const FRAME_HEADER: u8 = 3;
const TILE_GROUP: u8 = 4;
const FRAME: u8 = 6;

/// What is remembered of an AV1 layer.
#[derive(Debug, Default)]
pub struct Av1 {
    /// The last sequence header.
    sequence: Option<Sequence>,
}

/// An OBU without its size field.
struct Obu<'a> {
    /// obu_type.
    kind: u8,
    /// temporal_id and spatial_id, where an extension tells.
    layer: Option<(u8, u8)>,
    /// What follows the header.
    body: &'a [u8],
}

impl Av1 {
    /// Format parameters of the payload format, section 7.1.
    pub(super) fn profile(&self) -> Option<String> {
        self.sequence.as_ref().map(Sequence::format_parameters)
    }

    /// Classifies a payload. A dependency descriptor, where there is one, is asked afterwards.
    pub(super) fn inspect(&mut self, payload: &[u8], unit: &mut Unit, info: &mut FrameInfo) {
        let Some((&header, rest)) = payload.split_first() else {
            return;
        };
        let continues = header & 0x80 != 0;
        // N: first packet of a coded video sequence.
        unit.key |= header & 0x08 != 0;
        for (index, element) in Elements::new(header, rest).enumerate() {
            if index == 0 && continues {
                continue;
            }
            if let Some(obu) = obu(element) {
                self.obu(&obu, unit, info);
            }
        }
        info.start = !continues && !unit.begun;
        unit.begun |= info.start;
        info.key = unit.key;
        info.temporal = unit.temporal;
        info.spatial = unit.spatial;
        info.temporal_switch = unit.temporal == 0;
    }

    fn obu(&mut self, obu: &Obu, unit: &mut Unit, info: &mut FrameInfo) {
        match obu.kind {
            SEQUENCE_HEADER => {
                info.parameter_sets = true;
                if let Some(sequence) = sequence::parse(obu.body) {
                    info.dimensions = Some((sequence.width, sequence.height));
                    self.sequence = Some(sequence);
                }
            }
            FRAME_HEADER | FRAME | TILE_GROUP => {
                let (temporal, spatial) = obu.layer.unwrap_or_default();
                if spatial != unit.spatial {
                    unit.begun = false;
                }
                (unit.temporal, unit.spatial) = (temporal, spatial);
                unit.key |= obu.kind != TILE_GROUP && spatial == 0 && is_shown_key(obu.body);
            }
            _ => {}
        }
    }
}

/// Whether a frame header is of a shown key frame: show_existing_frame 0, frame_type 0,
/// show_frame 1 (AV1, section 5.9.2). A hidden key frame resets nothing until it is shown.
fn is_shown_key(body: &[u8]) -> bool {
    body.first().is_some_and(|byte| byte & 0xf0 == 0x10)
}

fn obu(element: &[u8]) -> Option<Obu<'_>> {
    let (&header, mut body) = element.split_first()?;
    let mut layer = None;
    if header & 0x04 != 0 {
        let (&extension, rest) = body.split_first()?;
        layer = Some((extension >> 5, extension >> 3 & 3));
        body = rest;
    }
    if header & 0x02 != 0 {
        let (size, rest) = leb128(body)?;
        body = rest.get(..size).unwrap_or(rest);
    }
    Some(Obu {
        kind: header >> 3 & 0xf,
        layer,
        body,
    })
}

/// The OBU elements of a packet.
struct Elements<'a> {
    /// What was not read yet.
    rest: &'a [u8],
    /// How many elements are left, when W tells: the last has no length.
    left: Option<u8>,
}

impl<'a> Elements<'a> {
    fn new(header: u8, rest: &'a [u8]) -> Self {
        let count = header >> 4 & 3;
        Self {
            rest,
            left: (count > 0).then_some(count),
        }
    }
}

impl<'a> Iterator for Elements<'a> {
    type Item = &'a [u8];

    fn next(&mut self) -> Option<&'a [u8]> {
        if self.rest.is_empty() {
            return None;
        }
        match &mut self.left {
            Some(0) => return None,
            Some(1) => return Some(std::mem::take(&mut self.rest)),
            Some(left) => *left -= 1,
            None => {}
        }
        let (size, rest) = leb128(self.rest)?;
        let (element, rest) = rest.split_at_checked(size)?;
        self.rest = rest;
        Some(element)
    }
}

/// A number in groups of seven bits, at most 32 bits (AV1, section 4.10.5).
fn leb128(bytes: &[u8]) -> Option<(usize, &[u8])> {
    let mut value = 0u64;
    for (index, &byte) in bytes.iter().enumerate().take(8) {
        value |= u64::from(byte & 0x7f) << (7 * index);
        if byte & 0x80 == 0 {
            let value = u32::try_from(value).ok()?;
            return Some((usize::try_from(value).ok()?, bytes.get(index + 1..)?));
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    fn run(packets: &[&[u8]]) -> Vec<FrameInfo> {
        let (mut av1, mut unit) = (Av1::default(), Unit::default());
        let mut one = |payload: &&[u8]| {
            let mut info = FrameInfo::default();
            av1.inspect(payload, &mut unit, &mut info);
            info
        };
        packets.iter().map(&mut one).collect()
    }

    #[test]
    fn a_new_sequence_marks_all_packets_of_its_unit() {
        // W 1: a frame OBU begins (Y), goes on (Z, Y) and ends (Z).
        let infos = run(&[&[0x58, 0x30, 0x10], &[0xd0, 1], &[0x90, 1]]);
        assert!(infos.iter().all(|info| info.key));
        assert!(infos[0].start && !infos[1].start && !infos[2].start);
    }

    #[test]
    fn a_shown_key_frame_without_the_n_bit_is_key() {
        assert!(run(&[&[0x10, 0x30, 0x10]])[0].key);
        assert!(!run(&[&[0x10, 0x30, 0x30]])[0].key);
        assert!(!run(&[&[0x10, 0x30, 0x00]])[0].key);
    }

    #[test]
    fn layers_come_from_the_obu_extension() {
        let infos = run(&[&[0x10, 0x34, 0x20, 0x30], &[0x10, 0x34, 0x28, 0x30]]);
        let layers: Vec<_> = infos
            .iter()
            .map(|info| (info.temporal, info.spatial))
            .collect();
        assert_eq!(layers, [(1, 0), (1, 1)]);
        assert!(infos[0].start && infos[1].start && !infos[0].temporal_switch);
    }

    #[test]
    fn elements_with_and_without_lengths() {
        let all = |payload: &'static [u8]| -> Vec<&[u8]> {
            Elements::new(payload[0], &payload[1..]).collect()
        };
        assert_eq!(all(&[0x00, 1, 7, 2, 8, 9]), [&[7][..], &[8, 9]]);
        assert_eq!(all(&[0x20, 1, 7, 8, 9]), [&[7][..], &[8, 9]]);
        assert_eq!(all(&[0x00, 200, 1, 7]), Vec::<&[u8]>::new());
        assert_eq!(leb128(&[0xe5, 0x8e, 0x26]), Some((624_485, &[][..])));
        assert_eq!(leb128(&[0xff; 9]), None);
    }
}
