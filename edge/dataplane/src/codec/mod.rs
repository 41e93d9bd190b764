//! What RTP payloads say about the frames they carry, and how frame numbers stay continuous.
//!
//! One `Inspector` per received layer looks at each packet once; one `Continuity` per subscriber
//! and track patches the numbers that a codec's payload or descriptor carries.

mod av1;
mod bits;
pub mod continuity;
pub mod dependency;
pub mod h264;
pub mod h265;
pub mod red;
mod unit;
mod vp8;
mod vp9;

pub use continuity::{Continuity, Offsets, apply_offsets};
use unit::Units;

/// The codecs that are forwarded.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Codec {
    /// RFC 6184.
    H264,
    /// RFC 7798.
    H265,
    /// RFC 7741.
    Vp8,
    /// RFC 9628.
    Vp9,
    /// RTP Payload Format For AV1 (Alliance for Open Media).
    Av1,
    /// RFC 7587.
    Opus,
}

impl Codec {
    /// The codec of an SDP encoding name, in any case.
    pub fn from_name(name: &str) -> Option<Codec> {
        const NAMES: [(&str, Codec); 6] = [
            ("H264", Codec::H264),
            ("H265", Codec::H265),
            ("VP8", Codec::Vp8),
            ("VP9", Codec::Vp9),
            ("AV1", Codec::Av1),
            ("opus", Codec::Opus),
        ];
        let known = NAMES
            .iter()
            .find(|(known, _)| known.eq_ignore_ascii_case(name));
        known.map(|&(_, codec)| codec)
    }

    /// Whether it is a picture.
    pub fn is_video(self) -> bool {
        self != Codec::Opus
    }
}

/// Where a picture id stands: position in the payload, whether it has 15 bits (else 7), value.
pub type PictureId = (u8, bool, u16);

/// Where a one-byte number stands: position in the payload, value.
pub type ByteNumber = (u8, u8);

/// The numbers a packet carries that must be continuous for a player.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Numbers {
    /// None: RTP sequence numbers are all there is.
    #[default]
    None,
    /// RFC 7741, section 4.2.
    Vp8 {
        /// PictureID.
        picture_id: Option<PictureId>,
        /// TL0PICIDX.
        tl0: Option<ByteNumber>,
        /// KEYIDX, the lower five bits of its byte.
        keyidx: Option<ByteNumber>,
    },
    /// RFC 9628, section 4.2.
    Vp9 {
        /// Picture ID.
        picture_id: Option<PictureId>,
        /// TL0PICIDX, in non-flexible mode.
        tl0: Option<ByteNumber>,
    },
    /// The dependency descriptor's frame number (bytes 1 and 2 of the extension).
    Dependency {
        /// frame_number.
        frame_number: u16,
    },
}

/// What one RTP payload says about the frame it belongs to.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct FrameInfo {
    /// First packet of a frame, as far as the payload tells. With VP9 and dependency
    /// descriptors a frame is one spatial layer of a picture.
    pub start: bool,
    /// Belongs to a point where decoding can begin. With H.264 and H.265 parameter sets claim it
    /// in advance; an AUD or SEI before them does not, and a predicted slice after them takes the
    /// claim back, so begin at the first `key` packet of a timestamp.
    pub key: bool,
    /// Carries SPS, PPS or VPS, or an AV1 sequence header.
    pub parameter_sets: bool,
    /// Temporal layer, 0 when unknown.
    pub temporal: u8,
    /// Spatial layer, 0 when unknown.
    pub spatial: u8,
    /// Going up to this temporal layer is allowed at this frame.
    pub temporal_switch: bool,
    /// No other frame refers to this one.
    pub discardable: bool,
    /// Last packet of a frame: the payload says so, or the marker bit where the payload cannot.
    pub end: bool,
    /// Width and height in pixels, when this packet tells them.
    pub dimensions: Option<(u16, u16)>,
    /// Numbers to rewrite for a player, and where they stand.
    pub numbers: Numbers,
}

const _: () = assert!(
    size_of::<FrameInfo>() <= 48,
    "FrameInfo is kept beside every packet"
);

/// What each codec remembers.
#[derive(Debug)]
enum State {
    /// H.264 parameter sets.
    H264(h264::H264),
    /// H.265 parameter sets.
    H265(h265::H265),
    /// Nothing beyond the units.
    Vp8,
    /// The profile.
    Vp9(vp9::Vp9),
    /// The sequence header.
    Av1(av1::Av1),
    /// Each packet stands alone.
    Opus,
}

/// Looks at the packets of one layer, each once, in order of arrival.
#[derive(Debug)]
pub struct Inspector {
    /// Codec and what it remembers.
    state: State,
    /// The access units in flight.
    units: Units,
    /// The dependency descriptor's template structure.
    dependency: dependency::Tracker,
}

impl Inspector {
    /// For one layer of a track.
    pub fn new(codec: Codec) -> Self {
        let state = match codec {
            Codec::H264 => State::H264(h264::H264::default()),
            Codec::H265 => State::H265(h265::H265::default()),
            Codec::Vp8 => State::Vp8,
            Codec::Vp9 => State::Vp9(vp9::Vp9::default()),
            Codec::Av1 => State::Av1(av1::Av1::default()),
            Codec::Opus => State::Opus,
        };
        Self {
            state,
            units: Units::default(),
            dependency: dependency::Tracker::default(),
        }
    }

    /// Classifies a packet. A payload that makes no sense says nothing.
    ///
    /// The dependency descriptor is not read with VP8 and VP9, whose payloads say the same.
    pub fn inspect(
        &mut self,
        payload: &[u8],
        marker: bool,
        timestamp: u32,
        dependency_descriptor: Option<&[u8]>,
    ) -> FrameInfo {
        let unit = self.units.at(timestamp);
        let mut info = FrameInfo {
            end: marker,
            temporal_switch: true,
            ..FrameInfo::default()
        };
        match &mut self.state {
            State::H264(state) => state.inspect(payload, unit, &mut info),
            State::H265(state) => state.inspect(payload, unit, &mut info),
            State::Vp8 => return vp8::inspect(payload, unit, info),
            State::Vp9(state) => return state.inspect(payload, unit, info),
            State::Av1(state) => state.inspect(payload, unit, &mut info),
            State::Opus => {
                return FrameInfo {
                    start: true,
                    key: true,
                    end: true,
                    ..info
                };
            }
        }
        if let Some(descriptor) = dependency_descriptor {
            self.dependency.inspect(descriptor, unit, &mut info);
        }
        info
    }

    /// The profile read from the media itself, as SDP writes it: for H.264 the value of
    /// `profile-level-id`, else a list of format parameters (`profile-id=0`).
    pub fn profile(&self) -> Option<String> {
        match &self.state {
            State::H264(state) => state.profile(),
            State::H265(state) => state.profile(),
            State::Vp9(state) => state.profile(),
            State::Av1(state) => state.profile(),
            State::Vp8 | State::Opus => None,
        }
    }

    /// Whether pictures are sent out of display order, which WebRTC players show with jumps.
    pub fn saw_b_frames(&self) -> bool {
        match &self.state {
            State::H264(state) => state.saw_b_frames(),
            State::H265(state) => state.saw_b_frames(),
            State::Vp8 | State::Vp9(_) | State::Av1(_) | State::Opus => false,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_those_of_sdp_in_any_case() {
        for (name, codec) in [
            ("h264", Codec::H264),
            ("H265", Codec::H265),
            ("vp8", Codec::Vp8),
            ("VP9", Codec::Vp9),
            ("av1", Codec::Av1),
            ("OPUS", Codec::Opus),
        ] {
            assert_eq!(Codec::from_name(name), Some(codec));
            assert_eq!(codec.is_video(), codec != Codec::Opus);
        }
        assert_eq!(Codec::from_name("rtx"), None);
    }

    #[test]
    fn an_empty_payload_says_nothing() {
        for codec in [Codec::H264, Codec::H265, Codec::Vp8, Codec::Vp9, Codec::Av1] {
            let info = Inspector::new(codec).inspect(&[], false, 0, Some(&[]));
            assert_eq!(
                info,
                FrameInfo {
                    temporal_switch: true,
                    ..FrameInfo::default()
                }
            );
        }
    }

    #[test]
    fn every_opus_packet_is_a_frame_of_its_own() {
        let info = Inspector::new(Codec::Opus).inspect(&[0xfc], false, 0, None);
        assert!(info.start && info.key && info.end);
    }
}
