//! What real encoders send: through FFmpeg's RTP muxer (`vectors/codec_payloads.py`), and Chromium
//! with a scalability mode, dependency descriptor as third column, payloads cut to 40 bytes.

use dataplane::codec::{Codec, Continuity, FrameInfo, Inspector, Numbers};

/// A line of a vector file.
struct Packet {
    /// RTP timestamp.
    timestamp: u32,
    /// Marker bit.
    marker: bool,
    /// Dependency descriptor.
    descriptor: Option<Vec<u8>>,
    /// RTP payload.
    payload: Vec<u8>,
}

fn packets(text: &str) -> Vec<Packet> {
    let byte = |pair: &[u8]| u8::from_str_radix(str::from_utf8(pair).unwrap(), 16).unwrap();
    let packet = |line: &str| {
        let fields: Vec<_> = line.split(' ').collect();
        let bytes = |field: &str| field.as_bytes().chunks(2).map(byte).collect();
        let payload = bytes(fields.last().unwrap());
        let descriptor = (fields.len() == 4).then(|| bytes(fields[2]));
        Packet {
            timestamp: fields[0].parse().unwrap(),
            marker: fields[1] == "1",
            descriptor,
            payload,
        }
    };
    text.lines().map(packet).collect()
}

/// What an inspector made of a file.
struct Seen {
    /// The inspector afterwards.
    inspector: Inspector,
    /// Each packet's timestamp and classification.
    infos: Vec<(u32, FrameInfo)>,
}

impl Seen {
    fn new(codec: Codec, text: &str) -> Self {
        let mut inspector = Inspector::new(codec);
        let inspect = |packet: Packet| {
            let Packet {
                timestamp,
                marker,
                descriptor,
                payload,
            } = packet;
            (
                timestamp,
                inspector.inspect(&payload, marker, timestamp, descriptor.as_deref()),
            )
        };
        let infos = packets(text).into_iter().map(inspect).collect();
        Self { inspector, infos }
    }

    /// Frame numbers (timestamps in units of 1/30 s) of the packets that a rule holds for.
    fn frames(&self, rule: impl Fn(&FrameInfo) -> bool) -> Vec<u32> {
        let held = self.infos.iter().filter(|(_, info)| rule(info));
        let mut frames: Vec<_> = held.map(|(timestamp, _)| timestamp / 3_000).collect();
        frames.dedup();
        frames
    }

    /// Every frame has one start, and the first packet is it.
    fn assert_one_start_per_frame(&self) {
        let starts = self.infos.iter().filter(|(_, info)| info.start).count();
        assert_eq!(starts, self.frames(|_| true).len());
        let mut last = None;
        for &(timestamp, info) in &self.infos {
            assert_eq!(info.start, last != Some(timestamp), "at {timestamp}");
            last = Some(timestamp);
        }
    }

    fn dimensions(&self) -> Vec<(u16, u16)> {
        let mut all: Vec<_> = self
            .infos
            .iter()
            .filter_map(|(_, info)| info.dimensions)
            .collect();
        all.dedup();
        all
    }
}

/// What is expected of a file.
struct Expected {
    /// Frames at which decoding can begin.
    keys: &'static [u32],
    /// Frames that none refers to, in order of decoding.
    discardable: &'static [u32],
    /// The profile.
    profile: Option<&'static str>,
    /// Pictures are reordered.
    b_frames: bool,
}

fn check(codec: Codec, text: &str, expected: &Expected) {
    let seen = Seen::new(codec, text);
    seen.assert_one_start_per_frame();
    assert_eq!(seen.frames(|info| info.key), expected.keys);
    // Each packet of a key frame is key, but for what stands before the parameter sets.
    let in_key = |timestamp: &u32| expected.keys.contains(&(timestamp / 3_000));
    assert!(
        seen.infos
            .iter()
            .all(|(timestamp, info)| info.key == in_key(timestamp))
    );
    assert_eq!(seen.frames(|info| info.discardable), expected.discardable);
    assert_eq!(seen.inspector.profile().as_deref(), expected.profile);
    assert_eq!(seen.inspector.saw_b_frames(), expected.b_frames);
    assert_eq!(seen.dimensions(), [(96, 66)]);
}

#[test]
fn h264_x264_baseline() {
    let profile = Some("42c01f");
    let expected = Expected {
        keys: &[0, 6],
        discardable: &[],
        profile,
        b_frames: false,
    };
    check(
        Codec::H264,
        include_str!("vectors/codec_h264_x264_baseline.txt"),
        &expected,
    );
}

#[test]
fn h264_x264_b_frames() {
    let profile = Some("64000a");
    let expected = Expected {
        keys: &[0],
        discardable: &[1, 2, 4, 5, 7, 8, 10],
        profile,
        b_frames: true,
    };
    check(
        Codec::H264,
        include_str!("vectors/codec_h264_x264_b_frames.txt"),
        &expected,
    );
}

#[test]
fn h264_x264_intra_refresh() {
    let profile = Some("64000a");
    let expected = Expected {
        keys: &[0, 6],
        discardable: &[],
        profile,
        b_frames: false,
    };
    check(
        Codec::H264,
        include_str!("vectors/codec_h264_x264_intra_refresh.txt"),
        &expected,
    );
}

#[test]
fn h265_x265_zerolatency() {
    let profile = Some("profile-id=1;tier-flag=0;level-id=30");
    let expected = Expected {
        keys: &[0, 6],
        discardable: &[],
        profile,
        b_frames: false,
    };
    check(
        Codec::H265,
        include_str!("vectors/codec_h265_x265_zerolatency.txt"),
        &expected,
    );
}

#[test]
fn h265_x265_b_frames() {
    let profile = Some("profile-id=1;tier-flag=0;level-id=30");
    // Frame 9 is TSA_N too, but of the middle layer: the top one may refer to it.
    let expected = Expected {
        keys: &[0],
        discardable: &[1, 3, 5, 7],
        profile,
        b_frames: true,
    };
    check(
        Codec::H265,
        include_str!("vectors/codec_h265_x265_b_frames.txt"),
        &expected,
    );
}

#[test]
fn vp8_libvpx() {
    let expected = Expected {
        keys: &[0, 6],
        discardable: &[],
        profile: None,
        b_frames: false,
    };
    check(
        Codec::Vp8,
        include_str!("vectors/codec_vp8_libvpx.txt"),
        &expected,
    );
}

#[test]
fn vp9_libvpx() {
    let profile = Some("profile-id=0");
    let expected = Expected {
        keys: &[0, 6],
        discardable: &[],
        profile,
        b_frames: false,
    };
    check(
        Codec::Vp9,
        include_str!("vectors/codec_vp9_libvpx.txt"),
        &expected,
    );
}

#[test]
fn av1_svt() {
    let profile = Some("profile=0;level-idx=0;tier=0");
    let expected = Expected {
        keys: &[0, 6],
        discardable: &[],
        profile,
        b_frames: false,
    };
    check(
        Codec::Av1,
        include_str!("vectors/codec_av1_svt.txt"),
        &expected,
    );
}

#[test]
fn vp8_libvpx_every_second_frame_left_out() {
    let mut inspector = Inspector::new(Codec::Vp8);
    let mut continuity = Continuity::new();
    let mut ids = Vec::new();
    for Packet {
        timestamp,
        marker,
        mut payload,
        ..
    } in packets(include_str!("vectors/codec_vp8_libvpx_layers.txt"))
    {
        let info = inspector.inspect(&payload, marker, timestamp, None);
        if timestamp / 3_000 % 2 == 1 {
            continuity.on_dropped(&info);
            continue;
        }
        continuity.apply(&info, &mut payload, None);
        let again = Inspector::new(Codec::Vp8).inspect(&payload, marker, timestamp, None);
        let Numbers::Vp8 {
            picture_id: Some((_, _, id)),
            ..
        } = again.numbers
        else {
            panic!("no picture id")
        };
        ids.push(id);
    }
    ids.dedup();
    let expected: Vec<u16> = (ids[0]..ids[0] + 6).collect();
    assert_eq!(ids, expected);
}

/// Chromium's three temporal layers: 0 2 1 2, where the second 2 refers to 1.
fn check_l1t3(codec: Codec, text: &str) -> Vec<FrameInfo> {
    let infos: Vec<_> = Seen::new(codec, text)
        .infos
        .into_iter()
        .map(|(_, info)| info)
        .collect();
    for (index, info) in infos.iter().enumerate() {
        let temporal = [0, 2, 1, 2][index % 4];
        assert!(info.start && info.end, "packet {index}");
        assert_eq!(info.key, index == 0, "packet {index}");
        assert_eq!(info.temporal, temporal, "packet {index}");
        assert_eq!(info.discardable, temporal == 2, "packet {index}");
    }
    assert_eq!(infos[0].dimensions, Some((480, 272)));
    infos
}

#[test]
fn av1_chromium_l1t3() {
    let infos = check_l1t3(
        Codec::Av1,
        include_str!("vectors/codec_av1_chromium_l1t3.txt"),
    );
    for (index, info) in infos.iter().enumerate() {
        assert_eq!(info.temporal_switch, index % 4 != 3, "packet {index}");
        let frame_number = first_number(&infos) + index as u16;
        assert_eq!(info.numbers, Numbers::Dependency { frame_number });
    }
}

fn first_number(infos: &[FrameInfo]) -> u16 {
    match infos[0].numbers {
        Numbers::Dependency { frame_number } => frame_number,
        other => panic!("no frame number in {other:?}"),
    }
}

#[test]
fn vp9_chromium_l1t3() {
    check_l1t3(
        Codec::Vp9,
        include_str!("vectors/codec_vp9_chromium_l1t3.txt"),
    );
}

#[test]
fn vp9_chromium_l2t2() {
    let seen = Seen::new(
        Codec::Vp9,
        include_str!("vectors/codec_vp9_chromium_l2t2.txt"),
    );
    for (index, (_, info)) in seen.infos.iter().enumerate() {
        assert_eq!(info.key, index < 2, "packet {index}");
        assert_eq!(usize::from(info.spatial), index % 2, "packet {index}");
        assert_eq!(usize::from(info.temporal), index / 2 % 2, "packet {index}");
        assert!(info.start && info.end);
    }
    assert_eq!(seen.infos[0].1.dimensions, Some((480, 272)));
}

#[test]
fn h264_chromium_l1t2() {
    let seen = Seen::new(
        Codec::H264,
        include_str!("vectors/codec_h264_chromium_l1t2.txt"),
    );
    assert!(seen.infos[0].1.key && seen.infos[0].1.parameter_sets);
    let opened: Vec<_> = seen.infos.iter().filter(|(_, info)| info.start).collect();
    for (index, (_, info)) in opened.iter().enumerate() {
        assert_eq!(usize::from(info.temporal), index % 2, "frame {index}");
        assert_eq!(info.discardable, index % 2 == 1, "frame {index}");
    }
}
