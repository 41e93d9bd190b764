//! A studio: real SRTP, layers, retransmissions, sender reports, an ear for feedback.

use crate::media::{Frame, payloads};
use crate::net::MS;
use crate::rig::{PROFILE, Peer, Rig, STREAM};
use dataplane::codec::Codec;
use dataplane::engine::Command;
use dataplane::rtcp::{self, Packet, ReportBlock, SenderInfo};
use dataplane::rtp::{ExtensionForm, HeaderFields, HeaderWriter};
use dataplane::spec::{Extensions, PublisherSpec, PublisherTrack};
use dataplane::srtp::{Inbound, Outbound};
use dataplane::types::{Kind, Ssrc};
use std::collections::BTreeMap;

pub const VIDEO_PT: u8 = 96;
pub const VIDEO_RTX_PT: u8 = 97;
pub const AUDIO_PT: u8 = 111;
pub const RED_PT: u8 = 63;
pub const IDS: Extensions = Extensions {
    mid: 1,
    rid: 2,
    repaired_rid: 3,
    transport_cc: 4,
    abs_send_time: 5,
    abs_capture_time: 6,
    audio_level: 7,
    video_orientation: 8,
    playout_delay: 9,
    dependency_descriptor: 10,
};

/// How a studio's SSRCs are told apart.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Names {
    /// SDP announces SSRCs and FID groups.
    Announced,
    /// By RID and repaired RID.
    Rid,
    /// By payload type alone (OBS).
    PayloadType,
}

/// What a studio sends.
pub struct Script {
    pub codec: Codec,
    /// Width, height and packets per delta frame of each layer, in the order of its RIDs.
    pub layers: Vec<(u16, u16, usize)>,
    pub names: Names,
    pub rtx: bool,
    pub nack: bool,
    pub pli: bool,
    pub fir: bool,
    pub transport_cc: bool,
    /// Frames between key frames of its own accord; 0 for one at the start only.
    pub key_every: u32,
    /// Whether PLI and FIR are answered.
    pub listens: bool,
    pub reports: bool,
    /// Temporal layers, 1 or 2.
    pub temporal: u8,
    /// Every other frame is referred to by nothing.
    pub discardable: bool,
    pub capture_time: bool,
    /// Packets of a key frame; by default twelve times those of another.
    pub key_packets: Option<usize>,
    /// Start of sequence numbers and timestamps.
    pub base: u32,
    pub audio: bool,
    pub red: bool,
}

impl Default for Script {
    fn default() -> Self {
        Script {
            codec: Codec::H264,
            layers: vec![(1280, 720, 3)],
            names: Names::Announced,
            rtx: true,
            nack: true,
            pli: true,
            fir: false,
            transport_cc: true,
            key_every: 0,
            listens: true,
            reports: true,
            temporal: 1,
            discardable: false,
            capture_time: false,
            key_packets: None,
            base: 1_000,
            audio: true,
            red: false,
        }
    }
}

pub struct Layer {
    pub ssrc: u32,
    pub rtx_ssrc: u32,
    pub rid: String,
    pub sequence: u64,
    rtx_sequence: u64,
    packets: u32,
    octets: u32,
    wants_key: bool,
    /// Nothing is sent of it.
    pub muted: bool,
    frame: u32,
    number: u16,
    pub key_frames: u32,
    /// Plaintext of what was sent, by sequence number, for retransmission.
    sent: BTreeMap<u64, (HeaderFields, Vec<u8>, Vec<u8>)>,
}

pub struct Studio {
    pub peer: Peer,
    pub script: Script,
    pub video: Vec<Layer>,
    pub audio: Layer,
    pub outbound: Outbound,
    inbound: Inbound,
    transport_number: u16,
    started: u64,
    frames: u64,
    audio_frames: u64,
    /// Sequence numbers of video layer 0 (plus the base) that are not sent at first.
    pub lose: Vec<u64>,
    /// Whether NACKs are answered.
    pub repairs: bool,
    pub sending: bool,
    /// Feedback heard: `(time, media ssrc, numbers)`.
    pub nacks: Vec<(u64, u32, Vec<u16>)>,
    pub plis: Vec<(u64, u32)>,
    pub firs: Vec<(u64, u32, u8)>,
    pub reports: Vec<(u64, ReportBlock)>,
    pub feedback: Vec<Vec<u8>>,
    pub raw: Vec<Vec<u8>>,
    /// Milliseconds between audio packets from the given frame number on: silence (DTX).
    pub silence: Option<std::ops::Range<u64>>,
    /// Time offset of sender reports' NTP clock.
    pub ntp_offset_s: u64,
}

impl Layer {
    /// Count pictures from elsewhere.
    pub fn skip(&mut self, pictures: u16) {
        self.number += pictures;
    }
}

impl Studio {
    pub fn spec(script: &Script) -> PublisherSpec {
        let (ids, rids, ssrcs, rtx_ssrcs) = match script.names {
            Names::Announced => {
                let layers = 0..script.layers.len() as u32;
                let ssrcs: Vec<u32> = layers.map(|at| script.base + 100 + at).collect();
                let rtx = ssrcs.iter().map(|ssrc| (*ssrc, ssrc + 50)).collect();
                (IDS, Vec::new(), ssrcs, rtx)
            }
            Names::Rid => {
                let rids = (0..script.layers.len()).map(|at| format!("r{at}"));
                (IDS, rids.collect(), Vec::new(), Vec::new())
            }
            Names::PayloadType => (Extensions::default(), Vec::new(), Vec::new(), Vec::new()),
        };
        let name = |codec| match codec {
            Codec::H264 => "H264",
            Codec::Vp8 => "VP8",
            Codec::Vp9 => "VP9",
            _ => "AV1",
        };
        let video = PublisherTrack {
            kind: Kind::Video,
            mid: "1".into(),
            codec: name(script.codec).into(),
            payload_type: VIDEO_PT,
            clock_rate: 90_000,
            rtx_payload_type: script.rtx.then_some(VIDEO_RTX_PT),
            red_payload_type: None,
            ssrcs,
            rtx_ssrcs,
            rids,
            extensions: ids,
            nack: script.nack,
            pli: script.pli,
            fir: script.fir,
            transport_cc: script.transport_cc && ids.transport_cc != 0,
            remb: false,
        };
        let mut audio = PublisherTrack {
            kind: Kind::Audio,
            codec: "opus".into(),
            payload_type: AUDIO_PT,
            clock_rate: 48_000,
            rtx_payload_type: None,
            red_payload_type: script.red.then_some(RED_PT),
            ssrcs: vec![script.base + 99],
            rtx_ssrcs: Vec::new(),
            rids: Vec::new(),
            ..video.clone()
        };
        if script.names == Names::PayloadType {
            audio.ssrcs.clear();
        }
        let tracks = if script.audio {
            vec![audio, video]
        } else {
            vec![video]
        };
        PublisherSpec { tracks }
    }

    /// Connect and publish.
    pub fn join(rig: &mut Rig, worker: usize, epoch: u32, script: Script) -> usize {
        let peer = rig.connect(worker);
        let spec = Studio::spec(&script);
        let handle = peer.handle;
        rig.command(
            worker,
            Command::AddPublisher {
                handle,
                stream: STREAM,
                epoch,
                spec,
            },
        );
        let layer = |at: u32, rid: String| Layer {
            ssrc: script.base + at,
            rtx_ssrc: script.base + at + 50,
            rid,
            sequence: u64::from(script.base as u16),
            rtx_sequence: 60_000,
            packets: 0,
            octets: 0,
            wants_key: true,
            muted: false,
            frame: 0,
            number: script.base as u16,
            key_frames: 0,
            sent: BTreeMap::new(),
        };
        let video = (0..script.layers.len()).map(|at| layer(100 + at as u32, format!("r{at}")));
        let studio = Studio {
            video: video.collect(),
            audio: layer(99, String::new()),
            outbound: Outbound::new(PROFILE, &peer.keying(true)).unwrap(),
            inbound: Inbound::new(PROFILE, &peer.keying(false)).unwrap(),
            transport_number: 65_500,
            started: rig.now,
            frames: 0,
            audio_frames: 0,
            lose: Vec::new(),
            repairs: true,
            sending: true,
            nacks: Vec::new(),
            plis: Vec::new(),
            firs: Vec::new(),
            reports: Vec::new(),
            feedback: Vec::new(),
            raw: Vec::new(),
            silence: None,
            ntp_offset_s: 3_000_000_000,
            peer,
            script,
        };
        rig.studios.push(studio);
        rig.studios.len() - 1
    }

    /// 30 frames and 50 sounds a second, a report every half second.
    pub fn step(&mut self, now: u64) {
        let elapsed = now - self.started;
        if !self.sending {
            return;
        }
        while self.frames * 33_333 < elapsed {
            for layer in 0..self.video.len() {
                self.frame(layer, now);
            }
            self.frames += 1;
        }
        while self.script.audio && self.audio_frames * 20 * MS < elapsed {
            self.sound(now);
            self.audio_frames += 1;
        }
        if self.script.reports && elapsed % (500 * MS) < MS {
            self.report(now);
        }
    }

    fn video_time(&self) -> u32 {
        (self.script.base << 8).wrapping_add(self.frames as u32 * 3_000)
    }

    fn sound_time(&self) -> u32 {
        (self.script.base << 9).wrapping_add(self.audio_frames as u32 * 960)
    }

    fn frame(&mut self, at: usize, now: u64) {
        let (width, height, packets) = self.script.layers[at];
        let layer = &mut self.video[at];
        if layer.muted {
            return;
        }
        let every = self.script.key_every;
        let periodic = every > 0 && layer.frame.is_multiple_of(every);
        let key = layer.wants_key || periodic || layer.key_frames == 0;
        layer.wants_key = false;
        let odd = !key && layer.frame % 2 == 1;
        let frame = Frame {
            key,
            packets: if key {
                self.script.key_packets.unwrap_or(packets * 4)
            } else {
                packets
            },
            temporal: if odd && self.script.temporal > 1 {
                1
            } else {
                0
            },
            discardable: odd && self.script.discardable,
            number: layer.number,
            width,
            height,
        };
        layer.frame += 1;
        layer.number = (layer.number + 1) & 0x7fff;
        layer.key_frames += u32::from(key);
        let all = payloads(self.script.codec, &frame);
        let count = all.len();
        for (position, (payload, descriptor)) in all.into_iter().enumerate() {
            let fields = HeaderFields {
                marker: position + 1 == count,
                payload_type: VIDEO_PT,
                sequence: 0,
                timestamp: self.video_time(),
                ssrc: Ssrc(self.video[at].ssrc),
                padding: false,
            };
            let capture = self.script.capture_time && position == 0;
            let elements = self.elements(at, descriptor, capture.then_some(now));
            self.send(Some(at), fields, &elements, payload, now);
        }
    }

    fn elements(
        &self,
        at: usize,
        descriptor: Option<Vec<u8>>,
        capture: Option<u64>,
    ) -> Vec<(u8, Vec<u8>)> {
        let mut elements = Vec::new();
        if self.script.names == Names::Rid {
            elements.push((IDS.rid, self.video[at].rid.clone().into_bytes()));
        }
        if let Some(descriptor) = descriptor {
            elements.push((IDS.dependency_descriptor, descriptor));
        }
        if let Some(now) = capture {
            let ntp = self.ntp(now).to_be_bytes();
            elements.push((IDS.abs_capture_time, ntp.to_vec()));
        }
        elements
    }

    fn sound(&mut self, now: u64) {
        if self
            .silence
            .as_ref()
            .is_some_and(|range| range.contains(&self.audio_frames))
        {
            return;
        }
        let number = self.audio_frames as u8;
        let (payload_type, payload) = match self.script.red {
            // One redundant block of two bytes, then the primary.
            true => (
                RED_PT,
                vec![0x80 | AUDIO_PT, 0x0f, 0, 2, AUDIO_PT, 1, 2, 0xfc, number],
            ),
            false => (AUDIO_PT, vec![0xfc, number]),
        };
        let fields = HeaderFields {
            marker: false,
            payload_type,
            sequence: 0,
            timestamp: self.sound_time(),
            ssrc: Ssrc(self.audio.ssrc),
            padding: false,
        };
        self.send(None, fields, &[(IDS.audio_level, vec![0x85])], payload, now);
    }

    fn send(
        &mut self,
        at: Option<usize>,
        mut fields: HeaderFields,
        elements: &[(u8, Vec<u8>)],
        payload: Vec<u8>,
        now: u64,
    ) {
        let layer = match at {
            Some(at) => &mut self.video[at],
            None => &mut self.audio,
        };
        let sequence = layer.sequence;
        layer.sequence += 1;
        layer.packets += 1;
        layer.octets += payload.len() as u32;
        fields.sequence = sequence as u16;
        let mut extra = Vec::new();
        for (id, data) in elements {
            extra.push((*id, data.clone()));
        }
        let flat: Vec<u8> = extra
            .iter()
            .flat_map(|(id, data)| [vec![*id, data.len() as u8], data.clone()].concat())
            .collect();
        layer.sent.insert(sequence, (fields, flat, payload.clone()));
        let lost = at == Some(0) && self.lose.contains(&sequence);
        if lost {
            self.transport_number = self.transport_number.wrapping_add(1);
            return;
        }
        self.protect(&fields, sequence, &extra, &payload, now);
    }

    /// Encrypt a packet and give it to the network.
    pub fn protect(
        &mut self,
        fields: &HeaderFields,
        index: u64,
        elements: &[(u8, Vec<u8>)],
        payload: &[u8],
        now: u64,
    ) {
        let long = elements.iter().any(|(_, data)| data.len() > 16);
        let form = if long {
            ExtensionForm::TwoByte
        } else {
            ExtensionForm::OneByte
        };
        let mut packet = vec![0; 1_600];
        let mut writer = HeaderWriter::new(&mut packet, fields, form);
        if self.script.names != Names::PayloadType {
            if self.script.transport_cc {
                writer.extension(IDS.transport_cc, &self.transport_number.to_be_bytes());
                self.transport_number = self.transport_number.wrapping_add(1);
            }
            for (id, data) in elements {
                writer.extension(*id, data);
            }
        }
        let header = writer.finish().unwrap();
        packet.truncate(header);
        packet.extend(payload);
        packet.resize(packet.len() + self.outbound.overhead(), 0);
        self.outbound
            .protect_rtp(&mut packet, header, fields.ssrc, index);
        self.peer.up.send(packet, now);
    }

    /// Send a packet of video layer 0 again, by RTX where negotiated.
    pub fn repair(&mut self, at: usize, sequence: u16, now: u64) {
        let rtx = self.script.rtx && self.script.names != Names::PayloadType;
        let rid = self.script.names == Names::Rid;
        let layer = &mut self.video[at];
        let found = layer
            .sent
            .iter()
            .find(|(index, _)| **index as u16 == sequence);
        let Some((index, (mut fields, flat, mut payload))) = found.map(|(i, p)| (*i, p.clone()))
        else {
            return;
        };
        let mut elements = unflatten(&flat);
        let mut out_index = index;
        if rtx {
            out_index = layer.rtx_sequence;
            layer.rtx_sequence += 1;
            fields.ssrc = Ssrc(layer.rtx_ssrc);
            fields.payload_type = VIDEO_RTX_PT;
            fields.sequence = out_index as u16;
            payload.splice(0..0, sequence.to_be_bytes());
            if rid {
                elements.retain(|(id, _)| *id != IDS.rid);
                elements.push((IDS.repaired_rid, layer.rid.clone().into_bytes()));
            }
        }
        self.protect(&fields, out_index, &elements, &payload, now);
    }

    fn ntp(&self, now: u64) -> u64 {
        ((now / 1_000_000 + self.ntp_offset_s) << 32) + ((now % 1_000_000) << 32) / 1_000_000
    }

    fn report(&mut self, now: u64) {
        // What is captured now carries the timestamp of now.
        let elapsed = (now - self.started) as u32;
        let video = (self.script.base << 8).wrapping_add((u64::from(elapsed) * 9 / 100) as u32);
        let audio = (self.script.base << 9).wrapping_add((u64::from(elapsed) * 48 / 1000) as u32);
        let ntp = self.ntp(now);
        let mut layers: Vec<(u32, u32, u32, u32)> = Vec::new();
        for layer in &self.video {
            layers.push((layer.ssrc, video, layer.packets, layer.octets));
        }
        if self.script.audio {
            layers.push((
                self.audio.ssrc,
                audio,
                self.audio.packets,
                self.audio.octets,
            ));
        }
        let mut compound = Vec::new();
        for (ssrc, rtp, packets, octets) in layers {
            let info = SenderInfo {
                ntp,
                rtp,
                packets,
                octets,
            };
            rtcp::write_sender_report(&mut compound, Ssrc(ssrc), &info, &[]);
        }
        self.outbound.protect_rtcp(&mut compound);
        self.peer.up.send(compound, now);
    }

    /// A restarted encoder: new SSRCs, numbers and times.
    pub fn restart_encoder(&mut self, base: u32) {
        self.script.base = base;
        for (at, layer) in self.video.iter_mut().enumerate() {
            layer.ssrc = base + 100 + at as u32;
            layer.rtx_ssrc = layer.ssrc + 50;
            layer.sequence = u64::from(base as u16);
            layer.sent.clear();
            layer.wants_key = true;
        }
    }

    pub fn receive(&mut self, mut datagram: Vec<u8>, now: u64) {
        self.raw.push(datagram.clone());
        if datagram[0] < 128 {
            return; // STUN
        }
        let end = self
            .inbound
            .unprotect_rtcp(&mut datagram)
            .expect("authentic");
        let mut repairs = Vec::new();
        for packet in rtcp::packets(&datagram[..end]) {
            match packet.expect("well formed") {
                Packet::Nack { media, lost, .. } => {
                    let lost: Vec<u16> = lost.collect();
                    repairs.extend(lost.iter().map(|number| (media.0, *number)));
                    self.nacks.push((now, media.0, lost));
                }
                Packet::Pli { media, .. } => {
                    self.plis.push((now, media.0));
                    self.wish(media.0);
                }
                Packet::Fir { entries, .. } => {
                    for (media, number) in entries {
                        self.firs.push((now, media.0, number));
                        self.wish(media.0);
                    }
                }
                Packet::ReceiverReport { reports, .. } => {
                    self.reports.extend(reports.map(|report| (now, report)));
                }
                Packet::TransportFeedback { fci, .. } => self.feedback.push(fci.to_vec()),
                _ => {}
            }
        }
        if !self.repairs {
            return;
        }
        for (media, number) in repairs {
            let at = self.video.iter().position(|layer| layer.ssrc == media);
            if let Some(at) = at {
                self.repair(at, number, now);
            }
        }
    }

    fn wish(&mut self, media: u32) {
        let listens = self.script.listens;
        for layer in self.video.iter_mut().filter(|layer| layer.ssrc == media) {
            layer.wants_key |= listens;
        }
    }
}

fn unflatten(mut flat: &[u8]) -> Vec<(u8, Vec<u8>)> {
    let mut elements = Vec::new();
    while let [id, length, rest @ ..] = flat {
        let (data, after) = rest.split_at(usize::from(*length));
        elements.push((*id, data.to_vec()));
        flat = after;
    }
    elements
}
