//! Invariant: classifies or says nothing, never panics, never allocates by a length field.
//!
//! Bounded under `cargo test`; `cargo bolero test NAME` runs on.

use bolero::{TypeGenerator, check};
use dataplane::codec::{
    Codec, Continuity, FrameInfo, Inspector, Numbers, apply_offsets, dependency, h264, h265, red,
};

const CODECS: [Codec; 6] = [
    Codec::H264,
    Codec::H265,
    Codec::Vp8,
    Codec::Vp9,
    Codec::Av1,
    Codec::Opus,
];

/// One received packet.
#[derive(Debug, TypeGenerator)]
struct Packet {
    /// The RTP payload.
    payload: Vec<u8>,
    /// The dependency descriptor.
    descriptor: Option<Vec<u8>>,
    /// The marker bit.
    marker: bool,
    /// A small step of the RTP timestamp.
    timestamp: u8,
}

fn inspect_all(codec: Codec, packets: &[Packet]) {
    let mut inspector = Inspector::new(codec);
    let mut continuity = Continuity::new();
    for packet in packets {
        let descriptor = packet.descriptor.as_deref();
        let timestamp = u32::from(packet.timestamp);
        let info = inspector.inspect(&packet.payload, packet.marker, timestamp, descriptor);
        patches_only_what_it_names(&mut continuity, &info, packet);
    }
    let profile = inspector.profile();
    assert!(profile.is_none_or(|profile| profile.len() < 64));
    inspector.saw_b_frames();
}

/// Lengths stay, and patching again changes nothing.
fn patches_only_what_it_names(continuity: &mut Continuity, info: &FrameInfo, packet: &Packet) {
    let mut payload = packet.payload.clone();
    let mut descriptor = packet.descriptor.clone();
    continuity.apply(info, &mut payload, descriptor.as_deref_mut());
    let once = (payload.clone(), descriptor.clone());
    apply_offsets(
        continuity.offsets(),
        info,
        &mut payload,
        descriptor.as_deref_mut(),
    );
    assert_eq!((payload, descriptor), once);
    if packet.marker {
        continuity.on_switch();
    }
    continuity.on_dropped(info);
}

#[test]
fn inspect() {
    check!().with_type::<Vec<Packet>>().for_each(|packets| {
        CODECS.iter().for_each(|&codec| inspect_all(codec, packets));
    });
}

/// Random bytes seldom reach deep: here each begins as the real thing does.
#[test]
fn inspect_behind_a_plausible_head() {
    const HEADS: [(Codec, &[u8]); 12] = [
        (Codec::H264, &[0x67, 0x42, 0xc0, 0x1f]),
        (Codec::H264, &[0x67, 0x64, 0x00, 0x28]),
        (Codec::H264, &[0x78, 0x00, 0x09, 0x67, 0x64]),
        (Codec::H264, &[0x7c, 0x81]),
        (Codec::H264, &[0x06]),
        (Codec::H265, &[0x42, 0x01, 0x01]),
        (Codec::H265, &[0x60, 0x01, 0x00, 0x10, 0x42, 0x01]),
        (Codec::Vp8, &[0x90, 0xf0]),
        (Codec::Vp9, &[0xbf]),
        (Codec::Vp9, &[0x0a]),
        (Codec::Vp9, &[0x08, 0x82, 0x49, 0x83, 0x42]),
        (Codec::Av1, &[0x18, 0x08]),
    ];
    check!().with_type::<Vec<u8>>().for_each(|tail| {
        for (codec, head) in HEADS {
            let payload = [head, tail].concat();
            Inspector::new(codec).inspect(&payload, false, 0, None);
        }
    });
}

#[test]
fn parameter_sets() {
    check!().with_type::<Vec<u8>>().for_each(|body| {
        for profile in [66, 100, 244] {
            h264::parse_sps(&[&[0x67, profile], body.as_slice()].concat());
        }
        h265::parse_sps(&[&[0x42, 0x01], body.as_slice()].concat());
    });
}

#[test]
fn dependency_descriptor() {
    check!()
        .with_type::<(Vec<u8>, Vec<u8>)>()
        .for_each(|(first, second)| {
            // 0x80 in the fourth byte: a structure follows.
            let first = [&[0xc0, 0, 1, 0x80], first.as_slice()].concat();
            let structure = dependency::parse(&first, None).and_then(|(_, structure)| structure);
            assert!(
                structure
                    .as_ref()
                    .is_none_or(|known| known.templates().len() <= 64)
            );
            dependency::parse(second, structure.as_ref());
        });
}

#[test]
fn redundant_audio() {
    check!()
        .with_type::<(Vec<u8>, u8)>()
        .for_each(|(payload, payload_type)| {
            let mut retagged = payload.clone();
            red::retag(&mut retagged, *payload_type);
            assert_eq!(retagged.len(), payload.len());
            if let Some((_, range)) = red::primary(payload) {
                assert_eq!(red::primary(&retagged), Some((payload_type & 0x7f, range)));
            }
        });
}

/// Any order of sending, leaving out and switching: VP8 ids grow by 1 per frame sent.
#[test]
fn picture_ids_are_continuous() {
    check!()
        .with_type::<(u16, Vec<(u8, u16)>)>()
        .for_each(|(first, steps)| {
            let (mut continuity, mut id, mut last) = (Continuity::new(), *first, None);
            for &(step, jump) in steps {
                id = id.wrapping_add(1) & 0x7fff;
                if step % 8 == 0 {
                    continuity.on_switch();
                    id = jump & 0x7fff;
                }
                let numbers = Numbers::Vp8 {
                    picture_id: Some((0, true, id)),
                    tl0: None,
                    keyidx: None,
                };
                let info = FrameInfo {
                    numbers,
                    ..FrameInfo::default()
                };
                if step % 3 == 0 {
                    continuity.on_dropped(&info);
                    continue;
                }
                let mut payload = [0; 2];
                continuity.apply(&info, &mut payload, None);
                let sent = u16::from_be_bytes(payload) & 0x7fff;
                assert!(last.is_none_or(|last: u16| sent == (last + 1) & 0x7fff));
                last = Some(sent);
            }
        });
}
