//! H.264 payloads (RFC 6184): single NAL units, STAP-A and FU-A.

mod sps;

use super::FrameInfo;
use super::bits::Bits;
use super::unit::Unit;
pub use sps::{Sps, parse_sps};

/// NAL unit types, ITU-T H.264, table 7-1, and RFC 6184, table 1.
const DATA_PARTITION_C: u8 = 4;
const IDR: u8 = 5;
const SEI: u8 = 6;
const SPS: u8 = 7;
const PPS: u8 = 8;
const SPS_EXTENSION: u8 = 13;
const SUBSET_SPS: u8 = 15;
const LAST_SINGLE: u8 = 23;
const STAP_A: u8 = 24;
const FU_A: u8 = 28;

/// SEI payload type of a recovery point, ITU-T H.264, annex D.
const RECOVERY_POINT: usize = 6;

/// What is remembered of an H.264 layer.
#[derive(Debug, Default)]
pub struct H264 {
    /// The last sequence parameter set.
    sps: Option<Sps>,
    /// A B slice was seen.
    b_frames: bool,
}

/// A NAL unit or the fragment of one.
#[derive(Clone, Copy)]
struct Nal<'a> {
    /// The NAL unit's first byte; put together from both bytes for a fragment.
    header: u8,
    /// What follows the header.
    body: &'a [u8],
    /// `body` begins the NAL unit.
    begins: bool,
    /// `body` is all of the NAL unit.
    whole: bool,
}

impl H264 {
    /// The value of `profile-level-id` (RFC 6184, section 8.1).
    pub(super) fn profile(&self) -> Option<String> {
        self.sps.as_ref().map(Sps::profile_level_id)
    }

    /// Whether a B slice was seen.
    pub(super) fn saw_b_frames(&self) -> bool {
        self.b_frames
    }

    /// Classifies a payload. STAP-B, MTAP and FU-B (interleaved mode) say nothing.
    pub(super) fn inspect(&mut self, payload: &[u8], unit: &mut Unit, info: &mut FrameInfo) {
        let Some((&header, body)) = payload.split_first() else {
            return;
        };
        match header & 0x1f {
            1..=LAST_SINGLE => {
                let nal = Nal {
                    header,
                    body,
                    begins: true,
                    whole: true,
                };
                info.discardable = nal.is_slice() && !nal.is_reference();
                self.nal(nal, unit, info);
            }
            STAP_A => self.aggregate(body, unit, info),
            FU_A => {
                let Some((&fu, body)) = body.split_first() else {
                    return;
                };
                let header = header & 0xe0 | fu & 0x1f;
                let nal = Nal {
                    header,
                    body,
                    begins: fu & 0x80 != 0,
                    whole: false,
                };
                info.discardable = nal.is_slice() && !nal.is_reference();
                self.nal(nal, unit, info);
            }
            _ => {}
        }
    }

    fn aggregate(&mut self, mut rest: &[u8], unit: &mut Unit, info: &mut FrameInfo) {
        let (mut slices, mut references) = (false, false);
        while let Some((nal, following)) = aggregated(rest) {
            rest = following;
            let Some((&header, body)) = nal.split_first() else {
                continue;
            };
            let nal = Nal {
                header,
                body,
                begins: true,
                whole: true,
            };
            slices |= nal.is_slice();
            references |= nal.is_reference();
            self.nal(nal, unit, info);
        }
        info.discardable = slices && !references;
    }

    fn nal(&mut self, nal: Nal, unit: &mut Unit, info: &mut FrameInfo) {
        let mut opens = nal.begins;
        match nal.kind() {
            1..=IDR => opens &= self.slice(nal, unit),
            SEI if nal.begins => unit.recovery |= has_recovery_point(nal.body),
            SPS | PPS | SPS_EXTENSION | SUBSET_SPS => {
                unit.key = true;
                info.parameter_sets = true;
                if nal.kind() == SPS && nal.whole {
                    self.take_sps(nal.body, info);
                }
            }
            _ => {}
        }
        info.key |= unit.key;
        if opens && !unit.begun {
            unit.begun = true;
            info.start = true;
        }
    }

    /// Notes whether the slice is of a start point; returns whether it is the first of a picture.
    fn slice(&mut self, nal: Nal, unit: &mut Unit) -> bool {
        if nal.kind() == IDR {
            unit.key = true;
        }
        if !nal.begins || (3..=DATA_PARTITION_C).contains(&nal.kind()) {
            return false;
        }
        // first_mb_in_slice is below 2^16, so no emulation prevention byte can stand here.
        let mut bits = Bits::new(nal.body);
        let (Some(first_mb), Some(slice_type)) = (bits.ue(), bits.ue()) else {
            return false;
        };
        self.b_frames |= slice_type % 5 == 1;
        if nal.kind() != IDR {
            let intra = matches!(slice_type % 5, 2 | 4);
            unit.key = unit.recovery || (unit.key && intra);
        }
        first_mb == 0
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
    fn kind(&self) -> u8 {
        self.header & 0x1f
    }

    fn is_slice(&self) -> bool {
        (1..=IDR).contains(&self.kind())
    }

    fn is_reference(&self) -> bool {
        self.header & 0x60 != 0
    }
}

/// The first NAL unit of an aggregate and what follows it (RFC 6184, section 5.7.1).
pub(super) fn aggregated(rest: &[u8]) -> Option<(&[u8], &[u8])> {
    let (size, rest) = rest.split_first_chunk::<2>()?;
    rest.split_at_checked(usize::from(u16::from_be_bytes(*size)))
}

/// Whether a message of this SEI is a recovery point (ITU-T H.264, section 7.3.2.3.1).
fn has_recovery_point(mut body: &[u8]) -> bool {
    while let Some((kind, size, rest)) = sei_message(body) {
        if kind == RECOVERY_POINT {
            return true;
        }
        let Some(following) = rest.get(size..) else {
            return false;
        };
        body = following;
    }
    false
}

fn sei_message(body: &[u8]) -> Option<(usize, usize, &[u8])> {
    let (kind, body) = sei_number(body)?;
    let (size, body) = sei_number(body)?;
    Some((kind, size, body))
}

fn sei_number(body: &[u8]) -> Option<(usize, &[u8])> {
    let full = body.iter().take_while(|&&byte| byte == 0xff).count();
    let last = *body.get(full)?;
    Some((full * 0xff + usize::from(last), body.get(full + 1..)?))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::codec::{Codec, Inspector};

    const SPS_BASELINE: &[u8] = &[0x67, 0x42, 0xc0, 0x1f, 0xd9, 0x00, 0x50, 0x05, 0xbb, 0x01];

    fn inspect_all(packets: &[&[u8]]) -> Vec<FrameInfo> {
        let mut inspector = Inspector::new(Codec::H264);
        packets
            .iter()
            .map(|payload| inspector.inspect(payload, false, 1, None))
            .collect()
    }

    #[test]
    fn separate_parameter_sets_claim_the_frame_from_the_sps_on() {
        // AUD, SPS, PPS, SEI (unregistered), IDR as OBS sends them.
        let infos = inspect_all(&[
            &[0x09, 0x10],
            SPS_BASELINE,
            &[0x68, 0xce, 0x3c, 0x80],
            &[0x06, 0x05, 0x00, 0x80],
            &[0x65, 0x88, 0x84],
        ]);
        let keys: Vec<_> = infos.iter().map(|info| info.key).collect();
        let starts: Vec<_> = infos.iter().map(|info| info.start).collect();
        assert_eq!(keys, [false, true, true, true, true]);
        assert_eq!(starts, [true, false, false, false, false]);
        assert!(infos.iter().all(|info| !info.discardable));
    }

    #[test]
    fn a_predicted_slice_takes_the_claim_back_and_an_intra_slice_keeps_it() {
        // slice_type 5 (P): 1 00110, slice_type 7 (I): 1 0001000.
        let predicted = inspect_all(&[SPS_BASELINE, &[0x61, 0b1001_1000]]);
        let intra = inspect_all(&[SPS_BASELINE, &[0x61, 0b1000_1000, 0x80]]);
        assert!(!predicted[1].key && intra[1].key);
    }

    #[test]
    fn a_recovery_point_makes_a_predicted_frame_a_start() {
        let infos = inspect_all(&[
            &[0x06, 0x05, 0x01, 0xaa, 0x06, 0x01, 0xc4, 0x80],
            &[0x61, 0x98],
        ]);
        assert!(infos[1].key);
    }

    #[test]
    fn fragments_of_an_idr_are_key_and_only_the_first_is_start() {
        let infos = inspect_all(&[
            &[0x7c, 0x85, 0x88, 0x84],
            &[0x7c, 0x05, 1],
            &[0x7c, 0x45, 2],
        ]);
        assert!(infos.iter().all(|info| info.key));
        let starts: Vec<_> = infos.iter().map(|info| info.start).collect();
        assert_eq!(starts, [true, false, false]);
    }

    #[test]
    fn non_reference_slices_are_discardable_in_every_packing() {
        let slice = [0x01, 0x9a, 0x00];
        let infos = inspect_all(&[
            &slice,
            &[0x1c, 0x81, 0x9a],
            &[0x1c, 0x41, 0x9a],
            &[0x18, 0, 3, 0x01, 0x9a, 0x00],
            &[0x78, 0, 2, 0x09, 0x10, 0, 3, 0x61, 0x9a, 0x00],
        ]);
        let discardable: Vec<_> = infos.iter().map(|info| info.discardable).collect();
        assert_eq!(discardable, [true, true, true, true, false]);
    }

    #[test]
    fn b_slices_are_seen() {
        // first_mb 0, slice_type 6 (B): 1 00111.
        let mut inspector = Inspector::new(Codec::H264);
        inspector.inspect(&[0x61, 0b1001_1000], true, 0, None);
        assert!(!inspector.saw_b_frames());
        inspector.inspect(&[0x01, 0b1001_1100], true, 3_000, None);
        assert!(inspector.saw_b_frames());
    }

    #[test]
    fn interleaved_packets_say_nothing() {
        for kind in [25, 26, 27, 29, 30, 31, 0] {
            let info = inspect_all(&[&[0x60 | kind, 0, 0, 0, 2, 0x65, 0x88]])[0];
            assert!(!info.start && !info.key && !info.discardable);
        }
    }
}
