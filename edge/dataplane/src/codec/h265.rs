//! H.265 payloads (RFC 7798): single NAL units, AP and FU, without DONL.

mod sps;

use super::FrameInfo;
use super::h264::aggregated;
use super::unit::Unit;
pub use sps::{Sps, parse_sps};

/// NAL unit types, ITU-T H.265, table 7-1, and RFC 7798, section 4.4.
const STSA_R: u8 = 5;
const TSA_N: u8 = 2;
const FIRST_IRAP: u8 = 16;
const LAST_IRAP: u8 = 23;
const LAST_SLICE: u8 = 31;
const VPS: u8 = 32;
const SPS: u8 = 33;
const PPS: u8 = 34;
const AP: u8 = 48;
const FU: u8 = 49;

/// Types up to here alternate between not referred to (even) and referred to (odd).
const LAST_SUB_LAYER: u8 = 15;

/// What is remembered of an H.265 layer.
#[derive(Debug, Default)]
pub struct H265 {
    /// The last sequence parameter set.
    sps: Option<Sps>,
    /// The highest temporal layer seen: only there does "not referred to by its own sub-layer"
    /// mean "not referred to".
    highest_temporal: u8,
}

/// A NAL unit or the fragment of one.
#[derive(Clone, Copy)]
struct Nal<'a> {
    /// nal_unit_type.
    kind: u8,
    /// TemporalId, one below nuh_temporal_id_plus1.
    temporal: u8,
    /// What follows the two header bytes.
    body: &'a [u8],
    /// `body` begins the NAL unit.
    begins: bool,
    /// `body` is all of the NAL unit.
    whole: bool,
}

impl H265 {
    /// Format parameters of RFC 7798, section 7.1.
    pub(super) fn profile(&self) -> Option<String> {
        self.sps.as_ref().map(Sps::format_parameters)
    }

    /// Whether the parameter set announces reordering. Slice types do not tell: low-delay
    /// encoders send B slices in display order.
    pub(super) fn saw_b_frames(&self) -> bool {
        self.sps.is_some_and(|sps| sps.reorder_pictures > 0)
    }

    /// Classifies a payload. PACI packets say nothing.
    pub(super) fn inspect(&mut self, payload: &[u8], unit: &mut Unit, info: &mut FrameInfo) {
        let Some((&[first, second], body)) = payload.split_first_chunk::<2>() else {
            return;
        };
        let temporal = (second & 7).saturating_sub(1);
        match first >> 1 & 0x3f {
            kind @ 0..AP => {
                let nal = Nal {
                    kind,
                    temporal,
                    body,
                    begins: true,
                    whole: true,
                };
                self.nal(nal, unit, info);
                info.discardable = nal.is_slice() && self.is_discardable(nal);
            }
            AP => self.aggregate(body, unit, info),
            FU => {
                let Some((&fu, body)) = body.split_first() else {
                    return;
                };
                let begins = fu & 0x80 != 0;
                let nal = Nal {
                    kind: fu & 0x3f,
                    temporal,
                    body,
                    begins,
                    whole: false,
                };
                self.nal(nal, unit, info);
                info.discardable = nal.is_slice() && self.is_discardable(nal);
            }
            _ => {}
        }
    }

    fn aggregate(&mut self, mut rest: &[u8], unit: &mut Unit, info: &mut FrameInfo) {
        let (mut slices, mut needed) = (false, false);
        while let Some((nal, following)) = aggregated(rest) {
            rest = following;
            let Some((&[first, second], body)) = nal.split_first_chunk::<2>() else {
                continue;
            };
            let kind = first >> 1 & 0x3f;
            let temporal = (second & 7).saturating_sub(1);
            let nal = Nal {
                kind,
                temporal,
                body,
                begins: true,
                whole: true,
            };
            self.nal(nal, unit, info);
            slices |= nal.is_slice();
            needed |= nal.is_parameter_set() || (nal.is_slice() && !self.is_discardable(nal));
        }
        info.discardable = slices && !needed;
    }

    fn nal(&mut self, nal: Nal, unit: &mut Unit, info: &mut FrameInfo) {
        let mut opens = nal.begins;
        if nal.is_slice() {
            self.highest_temporal = self.highest_temporal.max(nal.temporal);
            unit.key = (FIRST_IRAP..=LAST_IRAP).contains(&nal.kind);
            // first_slice_segment_in_pic_flag
            opens &= nal.body.first().is_some_and(|byte| byte & 0x80 != 0);
            info.temporal = nal.temporal;
            info.temporal_switch = self.may_switch(nal);
        } else if nal.is_parameter_set() {
            unit.key = true;
            info.parameter_sets = true;
            if nal.kind == SPS && nal.whole {
                self.take_sps(nal.body, info);
            }
        }
        info.key |= unit.key;
        if opens && !unit.begun {
            unit.begun = true;
            info.start = true;
        }
    }

    fn may_switch(&self, nal: Nal) -> bool {
        nal.temporal == 0
            || (TSA_N..=STSA_R).contains(&nal.kind)
            || self.sps.is_some_and(|sps| sps.temporal_nesting)
    }

    fn is_discardable(&self, nal: Nal) -> bool {
        nal.kind < LAST_SUB_LAYER && nal.kind & 1 == 0 && nal.temporal >= self.highest_temporal
    }

    fn take_sps(&mut self, body: &[u8], info: &mut FrameInfo) {
        let Some(sps) = sps::parse_body(body) else {
            return;
        };
        info.dimensions = Some((sps.width, sps.height));
        self.sps = Some(sps);
    }
}

impl Nal<'_> {
    fn is_slice(&self) -> bool {
        self.kind <= LAST_SLICE
    }

    fn is_parameter_set(&self) -> bool {
        matches!(self.kind, VPS | SPS | PPS)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::codec::{Codec, Inspector};

    fn inspect_all(packets: &[&[u8]]) -> Vec<FrameInfo> {
        let mut inspector = Inspector::new(Codec::H265);
        packets
            .iter()
            .map(|payload| inspector.inspect(payload, false, 1, None))
            .collect()
    }

    #[test]
    fn table_of_slice_types() {
        // (type, temporal id plus 1, key, discardable, temporal_switch)
        for (kind, tid, key, discardable, switch) in [
            (0u8, 1u8, false, true, true),
            (1, 1, false, false, true),
            (0, 2, false, true, false),
            (1, 2, false, false, false),
            (2, 2, false, true, true),
            (3, 3, false, false, true),
            (4, 2, false, true, true),
            (9, 1, false, false, true),
            (19, 1, true, false, true),
            (20, 1, true, false, true),
            (21, 1, true, false, true),
        ] {
            let info = inspect_all(&[&[kind << 1, tid, 0x80]])[0];
            assert!(info.start, "type {kind}");
            assert_eq!(info.key, key, "type {kind}");
            assert_eq!(info.discardable, discardable, "type {kind}");
            assert_eq!(info.temporal_switch, switch, "type {kind}");
            assert_eq!(info.temporal, tid - 1, "type {kind}");
        }
    }

    #[test]
    fn a_lower_sub_layer_is_not_discardable_while_higher_ones_refer_to_it() {
        let infos = inspect_all(&[&[0x02, 2, 0x80], &[0x00, 1, 0x80], &[0x00, 2, 0x80]]);
        assert!(!infos[1].discardable && infos[2].discardable);
    }

    #[test]
    fn fragments_carry_the_type_of_their_unit() {
        let infos = inspect_all(&[
            &[0x62, 1, 0x80 | 19, 0x80],
            &[0x62, 1, 19, 0xff],
            &[0x62, 1, 0x40 | 19, 0xff],
        ]);
        assert!(infos.iter().all(|info| info.key));
        assert!(infos[0].start && !infos[1].start && !infos[2].start);
    }

    #[test]
    fn an_aggregate_of_parameter_sets_claims_the_frame() {
        let infos = inspect_all(&[&[0x60, 1, 0, 3, 0x40, 1, 0x0c, 0, 3, 0x44, 1, 0xc1]]);
        assert!(infos[0].start && infos[0].key && infos[0].parameter_sets);
    }

    #[test]
    fn a_second_slice_of_a_picture_is_no_start() {
        let infos = inspect_all(&[&[0x02, 1, 0x80], &[0x02, 1, 0x40]]);
        assert!(infos[0].start && !infos[1].start);
    }
}
