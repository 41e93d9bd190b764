//! VP9 payloads (RFC 9628, section 4.2) and the head of a VP9 frame.

mod descriptor;
mod frame;

use super::unit::Unit;
use super::{FrameInfo, Numbers};

/// What is remembered of a VP9 layer.
#[derive(Debug, Default)]
pub struct Vp9 {
    /// The profile of the last key frame.
    profile: Option<u8>,
}

impl Vp9 {
    /// Format parameters of RFC 9628, section 6.
    pub(super) fn profile(&self) -> Option<String> {
        self.profile.map(|profile| format!("profile-id={profile}"))
    }

    /// Classifies a payload.
    ///
    /// A picture is key when its lowest spatial layer is a key frame; the layers above it are
    /// then predicted from that one only. A layer frame is discardable when it refreshes no
    /// reference buffer, which is exact where the layout of temporal layers is a guess.
    pub(super) fn inspect(
        &mut self,
        payload: &[u8],
        unit: &mut Unit,
        mut info: FrameInfo,
    ) -> FrameInfo {
        let Some(descriptor) = descriptor::parse(payload) else {
            return info;
        };
        if descriptor.start {
            unit.spatial = descriptor.spatial;
            unit.discardable = false;
            let bytes = payload
                .get(usize::from(descriptor.length)..)
                .unwrap_or_default();
            self.open(frame::parse(bytes), &descriptor, unit, &mut info);
        }
        info.start = descriptor.start;
        info.end = descriptor.end;
        info.key = !descriptor.predicted && unit.key;
        info.temporal = descriptor.temporal;
        info.spatial = descriptor.spatial;
        info.temporal_switch = descriptor.temporal == 0 || descriptor.switch || info.key;
        info.discardable = unit.discardable && unit.spatial == descriptor.spatial;
        info.dimensions = descriptor.dimensions.or(info.dimensions);
        info.numbers = Numbers::Vp9 {
            picture_id: descriptor.picture_id,
            tl0: descriptor.tl0,
        };
        info
    }

    fn open(
        &mut self,
        head: Option<frame::Head>,
        descriptor: &descriptor::Descriptor,
        unit: &mut Unit,
        info: &mut FrameInfo,
    ) {
        let lowest = descriptor.spatial == 0;
        match head {
            Some(frame::Head::Key {
                profile,
                dimensions,
            }) => {
                self.profile = Some(profile);
                info.dimensions = lowest.then_some(dimensions).flatten();
                unit.key |= lowest && !descriptor.predicted;
            }
            Some(frame::Head::Other { refreshes }) => unit.discardable = !refreshes,
            None => unit.key |= lowest && !descriptor.predicted,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A key frame's head: profile 0, sync code, 4:2:0, 640x360.
    const KEY: [u8; 9] = [0x82, 0x49, 0x83, 0x42, 0x00, 0x27, 0xf0, 0x16, 0x70];

    fn run(packets: &[(&[u8], &[u8])]) -> Vec<FrameInfo> {
        let (mut vp9, mut unit) = (Vp9::default(), Unit::default());
        let join = |(descriptor, frame): &(&[u8], &[u8])| [*descriptor, *frame].concat();
        let mut one = |packet| vp9.inspect(&join(packet), &mut unit, FrameInfo::default());
        packets.iter().map(&mut one).collect()
    }

    #[test]
    fn a_key_frame_tells_its_size_and_marks_its_later_packets() {
        let infos = run(&[
            (&[0x88, 0x05], &KEY),
            (&[0x80, 0x05], &[1]),
            (&[0x84, 0x05], &[1]),
        ]);
        assert!(infos.iter().all(|info| info.key));
        assert_eq!(infos[0].dimensions, Some((640, 360)));
        assert!(infos[0].start && infos[2].end && !infos[1].start && !infos[1].end);
    }

    #[test]
    fn an_upper_spatial_layer_that_joins_late_is_no_start_point() {
        // Non-flexible, L: SID 0 predicted; then SID 1, D, not predicted.
        let infos = run(&[
            (&[0xe8, 5, 0x00, 1], &[0x86, 0, 1]),
            (&[0xa8, 5, 0x03, 1], &[0x86, 0, 1]),
        ]);
        assert!(!infos[0].key && !infos[1].key);
        assert_eq!(infos[1].spatial, 1);
    }

    #[test]
    fn an_intra_only_frame_is_no_start_point() {
        // Profile 0, not key, hidden, intra_only, sync code, refresh_frame_flags 1.
        let infos = run(&[(&[0x88, 5], &[0x84, 0x89, 0x30, 0x68, 0x40, 0x20])]);
        assert!(!infos[0].key && !infos[0].discardable);
    }

    #[test]
    fn frames_that_refresh_nothing_are_discardable_in_all_their_packets() {
        // Shown inter frame: reset_frame_context 0, refresh_frame_flags 0, then one refresh bit.
        let infos = run(&[(&[0xc8, 5], &[0x86, 0x00, 0x00]), (&[0xc4, 5], &[1])]);
        assert!(infos[0].discardable && infos[1].discardable);
        let infos = run(&[(&[0xc8, 5], &[0x86, 0x01, 0x00]), (&[0xc4, 5], &[1])]);
        assert!(!infos[0].discardable && !infos[1].discardable);
    }
}
