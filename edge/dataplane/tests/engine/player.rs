//! A player: real SRTP, feedback of each kind, and a record of all it got.

use crate::net::MS;
use crate::rig::{PROFILE, Peer, Rig, STREAM};
use dataplane::codec::Codec;
use dataplane::congestion::Recorder;
use dataplane::engine::Command;
use dataplane::rtcp::{self, Packet, ReportBlock, SenderInfo};
use dataplane::rtp::Header;
use dataplane::spec::{Extensions, SubscriberSpec, SubscriberTrack};
use dataplane::srtp::{Inbound, Outbound};
use dataplane::types::{Kind, Ssrc, Unwrapper};
use std::collections::{BTreeMap, BTreeSet};

pub const VIDEO_PT: u8 = 102;
pub const RTX_PT: u8 = 103;
pub const AUDIO_PT: u8 = 109;
pub const RED_PT: u8 = 62;
pub const IDS: Extensions = Extensions {
    mid: 11,
    rid: 0,
    repaired_rid: 0,
    transport_cc: 3,
    abs_send_time: 2,
    abs_capture_time: 1,
    audio_level: 4,
    video_orientation: 5,
    playout_delay: 6,
    dependency_descriptor: 8,
};

/// What a player negotiated and does.
#[derive(Clone)]
pub struct Taste {
    pub codec: Codec,
    pub rtx: bool,
    pub transport_cc: bool,
    /// Send transport-wide feedback.
    pub feedback: bool,
    /// Ask for what is missing, and ask again.
    pub nack: bool,
    /// Send receiver reports once a second.
    pub reports: bool,
    pub red: bool,
    pub audio: bool,
}

impl Default for Taste {
    fn default() -> Self {
        Taste {
            codec: Codec::H264,
            rtx: true,
            transport_cc: true,
            feedback: true,
            nack: false,
            reports: true,
            red: false,
            audio: true,
        }
    }
}

/// One packet as it came.
#[derive(Clone, Debug)]
pub struct Got {
    pub at: u64,
    /// Extended number on its own stream; of the original for a retransmission.
    pub number: u64,
    pub timestamp: u32,
    pub marker: bool,
    pub payload_type: u8,
    pub elements: Vec<(u8, Vec<u8>)>,
    pub payload: Vec<u8>,
}

pub struct Player {
    pub peer: Peer,
    pub taste: Taste,
    pub video: Vec<Got>,
    pub audio: Vec<Got>,
    pub repairs: Vec<Got>,
    /// `(time, ssrc, info)`.
    pub sender_reports: Vec<(u64, Ssrc, SenderInfo)>,
    /// Datagrams that were no RTP or RTCP.
    pub others: Vec<Vec<u8>>,
    /// Loss told in receiver reports.
    pub told_loss: u8,
    /// Keep encrypted media in `kept`.
    pub keeps: bool,
    pub kept: Vec<Vec<u8>>,
    /// Whether it says anything at all.
    pub speaks: bool,
    inbound: Inbound,
    pub outbound: Outbound,
    recorder: Recorder,
    numbers: Unwrapper<16>,
    highest: Option<u64>,
    missing: BTreeMap<u64, u64>,
    seen: BTreeSet<u64>,
    /// Video numbers asked for by NACK.
    pub asked: u64,
}

impl Player {
    pub fn video_ssrc(&self) -> u32 {
        0x1000_0000 + self.peer.handle as u32
    }

    pub fn audio_ssrc(&self) -> u32 {
        0x2000_0000 + self.peer.handle as u32
    }

    pub fn rtx_ssrc(&self) -> u32 {
        0x3000_0000 + self.peer.handle as u32
    }

    pub fn spec(handle: u64, taste: &Taste) -> SubscriberSpec {
        let handle = handle as u32;
        let name = match taste.codec {
            Codec::H264 => "H264",
            Codec::Vp8 => "VP8",
            Codec::Vp9 => "VP9",
            _ => "AV1",
        };
        let mut ids = IDS;
        if !taste.transport_cc {
            ids.transport_cc = 0;
        }
        if taste.codec != Codec::Av1 {
            ids.dependency_descriptor = 0;
        }
        let video = SubscriberTrack {
            kind: Kind::Video,
            mid: "v".into(),
            codec: name.into(),
            payload_type: VIDEO_PT,
            clock_rate: 90_000,
            ssrc: 0x1000_0000 + handle,
            rtx_payload_type: taste.rtx.then_some(RTX_PT),
            rtx_ssrc: taste.rtx.then_some(0x3000_0000 + handle),
            red_payload_type: None,
            extensions: ids,
            nack: true,
            pli: true,
            fir: true,
            transport_cc: taste.transport_cc,
            remb: true,
        };
        let audio = SubscriberTrack {
            kind: Kind::Audio,
            mid: "a".into(),
            codec: "opus".into(),
            payload_type: AUDIO_PT,
            clock_rate: 48_000,
            ssrc: 0x2000_0000 + handle,
            rtx_payload_type: None,
            rtx_ssrc: None,
            red_payload_type: taste.red.then_some(RED_PT),
            nack: false,
            ..video.clone()
        };
        let tracks = if taste.audio {
            vec![audio, video]
        } else {
            vec![video]
        };
        SubscriberSpec {
            tracks,
            cname: "player".into(),
            playout_delay_ms: Some((100, 400)),
        }
    }

    /// Connect and watch.
    pub fn join(rig: &mut Rig, worker: usize, taste: Taste) -> usize {
        let peer = rig.connect(worker);
        Player::watch(rig, peer, taste)
    }

    /// Watch on a session that is open.
    pub fn watch(rig: &mut Rig, peer: Peer, taste: Taste) -> usize {
        let handle = peer.handle;
        let spec = Player::spec(handle, &taste);
        let worker = peer.worker;
        rig.command(
            worker,
            Command::AddSubscriber {
                handle,
                stream: STREAM,
                spec,
            },
        );
        rig.players.push(Player {
            taste,
            video: Vec::new(),
            audio: Vec::new(),
            repairs: Vec::new(),
            sender_reports: Vec::new(),
            others: Vec::new(),
            told_loss: 0,
            keeps: false,
            kept: Vec::new(),
            speaks: true,
            inbound: Inbound::new(PROFILE, &peer.keying(false)).unwrap(),
            outbound: Outbound::new(PROFILE, &peer.keying(true)).unwrap(),
            recorder: Recorder::new(),
            numbers: Unwrapper::default(),
            highest: None,
            missing: BTreeMap::new(),
            seen: BTreeSet::new(),
            asked: 0,
            peer,
        });
        rig.players.len() - 1
    }

    pub fn receive(&mut self, mut datagram: Vec<u8>, now: u64) {
        if !(128..192).contains(&datagram[0]) {
            self.others.push(datagram);
            return;
        }
        if (192..=223).contains(&datagram[1]) {
            let end = self
                .inbound
                .unprotect_rtcp(&mut datagram)
                .expect("authentic RTCP");
            self.receive_rtcp(&datagram[..end], now);
            return;
        }
        if self.keeps {
            self.kept.push(datagram.clone());
        }
        let header = Header::parse(&datagram).expect("RTP");
        let ssrc = header.ssrc;
        let (end, _) =
            match self
                .inbound
                .unprotect_rtp(&mut datagram, header.len, ssrc, header.sequence)
            {
                Ok(plain) => plain,
                Err(dataplane::error::Drop::Replayed) if !self.taste.rtx => return, // repaired twice
                Err(error) => panic!("{error:?}: {header:?} at {now}"),
            };
        let plain = &datagram[..end];
        let range = header.payload(plain).expect("payload");
        let mut payload = plain[range].to_vec();
        let elements: Vec<_> = header
            .extensions(plain)
            .map(|(id, data)| (id, data.to_vec()))
            .collect();
        let transport = elements.iter().find(|(id, _)| *id == IDS.transport_cc);
        if let Some((_, number)) = transport.filter(|_| self.taste.transport_cc) {
            self.recorder
                .on_packet(u16::from_be_bytes([number[0], number[1]]), now);
        }
        let repaired = ssrc.0 == self.rtx_ssrc();
        let mut sequence = header.sequence;
        if repaired {
            sequence = u16::from_be_bytes([payload[0], payload[1]]);
            payload.drain(..2);
        }
        let is_video = repaired || ssrc.0 == self.video_ssrc();
        let number = match is_video {
            true => self.numbers.extend(u64::from(sequence)),
            false => u64::from(sequence),
        };
        let got = Got {
            at: now,
            number,
            timestamp: header.timestamp,
            marker: header.marker,
            payload_type: header.payload_type,
            elements,
            payload,
        };
        if !is_video {
            self.audio.push(got);
            return;
        }
        self.note(number, now);
        if repaired {
            self.repairs.push(got.clone());
        }
        if self.seen.insert(number) {
            self.video.push(got);
        }
    }

    fn note(&mut self, number: u64, now: u64) {
        self.missing.remove(&number);
        let highest = *self.highest.get_or_insert(number);
        for lost in highest + 1..number {
            self.missing.insert(lost, now + 5 * MS);
        }
        self.highest = Some(highest.max(number));
    }

    fn receive_rtcp(&mut self, compound: &[u8], now: u64) {
        for packet in rtcp::packets(compound) {
            if let Packet::SenderReport { ssrc, info, .. } = packet.expect("well formed") {
                self.sender_reports.push((now, ssrc, info));
            }
        }
    }

    pub fn step(&mut self, now: u64) {
        if !self.speaks {
            return;
        }
        let mut out = Vec::new();
        if self.taste.feedback && self.recorder.deadline().is_some_and(|due| due <= now) {
            let media = Ssrc(self.video_ssrc());
            self.recorder.write(&mut out, Ssrc(1), media, now);
        }
        if self.taste.nack {
            let media = Ssrc(self.video_ssrc());
            let rtt = self.peer.up.delay_us + self.peer.down.delay_us;
            let due: Vec<_> = self
                .missing
                .iter()
                .filter(|(_, at)| **at <= now)
                .map(|(n, _)| *n)
                .collect();
            for number in &due {
                self.missing.insert(*number, now + rtt + 10 * MS);
            }
            self.asked += due.len() as u64;
            let lost: Vec<u16> = due.into_iter().map(|number| number as u16).collect();
            rtcp::write_nack(&mut out, Ssrc(1), media, &lost);
        }
        if self.taste.reports && now % 1_000_000 < MS {
            self.report(now);
        }
        self.say(out, now);
    }

    /// A receiver report on video, with the last sender report's time.
    pub fn report(&mut self, now: u64) {
        let media = Ssrc(self.video_ssrc());
        let last = self
            .sender_reports
            .iter()
            .rev()
            .find(|(_, ssrc, _)| *ssrc == media);
        let (last_sr, delay) = last.map_or((0, 0), |(at, _, info)| {
            (
                rtcp::ntp_middle(info.ntp),
                ((now - at) * 65_536 / 1_000_000) as u32,
            )
        });
        let block = ReportBlock {
            ssrc: media,
            fraction_lost: self.told_loss,
            lost: 0,
            highest: 0,
            jitter: 0,
            last_sr,
            delay_since_sr: delay,
        };
        let mut out = Vec::new();
        rtcp::write_receiver_report(&mut out, Ssrc(1), &[block]);
        self.say(out, now);
    }

    pub fn nack(&mut self, numbers: &[u16], now: u64) {
        let mut out = Vec::new();
        rtcp::write_nack(&mut out, Ssrc(1), Ssrc(self.video_ssrc()), numbers);
        self.say(out, now);
    }

    pub fn pli(&mut self, now: u64) {
        let mut out = Vec::new();
        rtcp::write_pli(&mut out, Ssrc(1), Ssrc(self.video_ssrc()));
        self.say(out, now);
    }

    /// Encrypt and send a compound.
    pub fn say(&mut self, mut compound: Vec<u8>, now: u64) {
        if compound.is_empty() {
            return;
        }
        self.outbound.protect_rtcp(&mut compound);
        self.peer.up.send(compound, now);
    }

    /// Video in order of numbers.
    pub fn sorted(&self) -> Vec<Got> {
        let mut video = self.video.clone();
        video.sort_by_key(|got| got.number);
        video
    }

    /// Frames as `(timestamp, first number, packets)`, after checking what every player may rely
    /// on: no number twice, none missing, one timestamp per frame, a marker at its end, and time
    /// that only goes on.
    pub fn frames(&self) -> Vec<(u32, u64, Vec<Got>)> {
        let mut frames: Vec<(u32, u64, Vec<Got>)> = Vec::new();
        let mut last: Option<Got> = None;
        for got in self.sorted() {
            if let Some(last) = &last {
                assert_eq!(got.number, last.number + 1, "numbers go on at {}", got.at);
                let ahead = got.timestamp.wrapping_sub(last.timestamp) as i32;
                assert!(ahead >= 0, "time goes back by {ahead} at {}", got.at);
                assert_eq!(
                    ahead > 0,
                    last.marker,
                    "marker at {} ({})",
                    got.at,
                    got.number
                );
            }
            match frames.last_mut() {
                Some(frame) if frame.0 == got.timestamp => frame.2.push(got.clone()),
                _ => frames.push((got.timestamp, got.number, vec![got.clone()])),
            }
            last = Some(got);
        }
        frames
    }

    /// Heights of the H.264 key frames received, in order.
    pub fn heights(&self) -> Vec<u16> {
        let mut inspector = dataplane::codec::Inspector::new(self.taste.codec);
        let mut heights = Vec::new();
        for got in self.sorted() {
            let info = inspector.inspect(&got.payload, got.marker, got.timestamp, None);
            heights.extend(info.dimensions.map(|(_, height)| height));
        }
        heights
    }

    pub fn element(got: &Got, id: u8) -> Option<&[u8]> {
        got.elements
            .iter()
            .find(|(at, _)| *at == id)
            .map(|(_, data)| data.as_slice())
    }
}
