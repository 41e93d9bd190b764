//! A studio: synthetic video (and sound) by WHIP, or as plain RTP to a port.

use std::collections::VecDeque;
use std::net::UdpSocket;

use serde_json::{Value, json};

use crate::cli::Arguments;
use crate::dtls::Identity;
use crate::http::{self, Url};
use crate::rtcp::{self, Feedback};
use crate::sdp::{self, Local};
use crate::srtp::{Profile, Srtp};
use crate::stats::Histogram;
use crate::transport::{Incoming, Transport};
use crate::{frames, sys};

const VIDEO_SSRC: u32 = 0x5EED_0001;
const AUDIO_SSRC: u32 = 0x5EED_0002;
pub const VIDEO_PT: u8 = 102;
pub const AUDIO_PT: u8 = 111;
/// Largest payload of a packet.
const PAYLOAD_BYTES: f64 = 1200.0;
/// Packets kept for NACK.
const RING: usize = 2048;
const SECOND_NS: u64 = 1_000_000_000;
const SOUND_NS: u64 = 20_000_000;

/// How the frames are made.
struct Shape {
    fps: f64,
    bitrate_bps: f64,
    /// All packets of a frame at once, or evenly over its time.
    whole_frames: bool,
    key_interval_s: f64,
    /// Size of a key frame relative to others.
    key_scale: f64,
    audio: bool,
}

impl Shape {
    /// Packets of a frame, and the payload bytes of each.
    fn cut(&self, key: bool) -> (usize, usize) {
        let scale = if key { self.key_scale } else { 1.0 };
        let bytes = self.bitrate_bps / 8.0 / self.fps * scale;
        let count = (bytes / PAYLOAD_BYTES).ceil().max(1.0);
        (count as usize, (bytes / count).round() as usize)
    }
}

/// One RTP stream's numbers.
struct Track {
    ssrc: u32,
    payload_type: u8,
    /// Extended sequence number of the next packet.
    next: u64,
    packets: u32,
    octets: u32,
}

/// Where packets go.
enum Path {
    Webrtc {
        transport: Box<Transport>,
        identity: Box<Identity>,
        sender: Box<Srtp>,
        receiver: Box<Srtp>,
    },
    Plain(UdpSocket),
}

impl Path {
    fn socket(&self) -> &UdpSocket {
        match self {
            Self::Webrtc { transport, .. } => &transport.socket,
            Self::Plain(socket) => socket,
        }
    }
}

/// A publisher under way.
struct Publisher {
    path: Path,
    video: Track,
    audio: Track,
    /// Id of the transport-wide-cc extension and its next number.
    transport_cc: Option<u8>,
    transport_seq: u16,
    /// Sent video packets, by sequence number.
    ring: VecDeque<(u16, Vec<u8>)>,
    feedback: Feedback,
    retransmitted: u64,
    key_wanted: bool,
    /// Requests counted when the last key frame was sent.
    requests_served: u64,
    failed: Option<String>,
    sent: u64,
    bytes: u64,
    batch: sys::Batch,
}

impl Publisher {
    fn packet(
        &mut self,
        video: bool,
        marker: bool,
        rtp_time: u32,
        payload: &[u8],
    ) -> Option<Vec<u8>> {
        let track = if video {
            &mut self.video
        } else {
            &mut self.audio
        };
        let index = track.next;
        track.next += 1;
        track.packets += 1;
        track.octets = track.octets.wrapping_add(payload.len() as u32);
        let first = if self.transport_cc.is_some() {
            0x90
        } else {
            0x80
        };
        let mut packet = vec![first, u8::from(marker) << 7 | track.payload_type];
        packet.extend_from_slice(&(index as u16).to_be_bytes());
        packet.extend_from_slice(&rtp_time.to_be_bytes());
        packet.extend_from_slice(&track.ssrc.to_be_bytes());
        if let Some(id) = self.transport_cc {
            packet.extend_from_slice(&[0xBE, 0xDE, 0, 1, id << 4 | 1]);
            packet.extend_from_slice(&self.transport_seq.to_be_bytes());
            packet.push(0);
            self.transport_seq = self.transport_seq.wrapping_add(1);
        }
        packet.extend_from_slice(payload);
        let packet = match &self.path {
            Path::Webrtc { sender, .. } => sender.protect(&packet, index)?,
            Path::Plain(_) => packet,
        };
        if video {
            if self.ring.len() == RING {
                self.ring.pop_front();
            }
            self.ring.push_back((index as u16, packet.clone()));
        }
        Some(packet)
    }

    fn send(&mut self, packets: &[Vec<u8>]) {
        self.sent += sys::send_batch(self.path.socket(), packets) as u64;
        self.bytes += packets
            .iter()
            .map(|packet| packet.len() as u64)
            .sum::<u64>();
    }

    /// Deal with everything that arrived, until `deadline`.
    fn serve_until(&mut self, deadline: u64) {
        loop {
            self.drain();
            if let Path::Webrtc {
                transport,
                identity,
                ..
            } = &mut self.path
            {
                let now = sys::now_ns();
                if now >= transport.deadline()
                    && let Err(error) = transport.tick(identity, now)
                {
                    self.failed = Some(error);
                }
            }
            if sys::now_ns() >= deadline || self.failed.is_some() {
                return;
            }
            sys::wait_readable_until(self.path.socket(), deadline);
        }
    }

    fn drain(&mut self) {
        while self.batch.receive(self.path.socket()) > 0 {
            let mut again = Vec::new();
            let mut index = 0;
            while let Some(datagram) = self.batch.try_datagram(index) {
                index += 1;
                let Path::Webrtc {
                    transport,
                    identity,
                    receiver,
                    ..
                } = &mut self.path
                else {
                    break;
                };
                match transport.receive(datagram, identity, sys::now_ns()) {
                    Incoming::Media => {
                        if let Some(clear) = receiver.unprotect_rtcp(datagram) {
                            rtcp::parse(&clear, &mut self.feedback);
                        }
                    }
                    Incoming::Failed(error) => self.failed = Some(error),
                    _ => {}
                }
            }
            for wanted in std::mem::take(&mut self.feedback.nacked) {
                again.extend(
                    self.ring
                        .iter()
                        .find(|(seq, _)| *seq == wanted)
                        .map(|(_, packet)| packet.clone()),
                );
            }
            self.retransmitted += again.len() as u64;
            if !again.is_empty() {
                sys::send_batch(self.path.socket(), &again);
            }
            if self.feedback.keyframe_requests > self.requests_served {
                self.key_wanted = true;
            }
        }
    }

    fn report(&mut self, wall: u64, video_time: u32, audio_time: u32, audio: bool) {
        for (track, time) in [(&self.video, video_time), (&self.audio, audio_time)] {
            if track.ssrc == AUDIO_SSRC && !audio {
                continue;
            }
            let report = rtcp::sender_report(track.ssrc, wall, time, track.packets, track.octets);
            if let Path::Webrtc {
                sender, transport, ..
            } = &mut self.path
                && let Some(report) = sender.protect_rtcp(&report)
            {
                let _ = transport.socket.send(&report);
            }
        }
    }
}

/// Connect by WHIP: offer, answer, ICE, DTLS.
fn connect(
    url: &Url,
    arguments: &Arguments,
    profile: Profile,
) -> Result<(Path, Option<u8>, String), String> {
    let identity = Identity::new(profile).map_err(|error| error.to_string())?;
    let mut transport = Transport::new(0).map_err(|error| error.to_string())?;
    let address = transport
        .socket
        .local_addr()
        .map_err(|error| error.to_string())?;
    let mut sections = vec![("video", "0".to_owned(), VIDEO_PT)];
    if arguments.flag("audio") {
        sections.push(("audio", "1".to_owned(), AUDIO_PT));
    }
    let offer = Local {
        ufrag: &transport.ufrag,
        pwd: &transport.pwd,
        fingerprint: &identity.fingerprint,
        address,
        setup: "actpass",
        direction: "sendonly",
        sections,
        ssrcs: Some((VIDEO_SSRC, AUDIO_SSRC)),
    };
    let response = http::once(
        url,
        arguments.text("token"),
        "POST",
        "application/sdp",
        &offer.text(),
    )?;
    if response.status != 201 && response.status != 200 {
        return Err(format!(
            "WHIP: status {}: {}",
            response.status, response.body
        ));
    }
    let remote = sdp::parse(&response.body);
    let transport_cc = remote.transport_cc;
    transport.start(remote, true, &identity, sys::now_ns())?;
    let mut batch = sys::Batch::new();
    let deadline = sys::now_ns() + 10 * SECOND_NS;
    let mut keys = None;
    while keys.is_none() {
        if sys::now_ns() > deadline {
            return Err("no DTLS connection within 10 s".to_owned());
        }
        sys::wait_readable_until(&transport.socket, sys::now_ns() + 20_000_000);
        for index in 0..batch.receive(&transport.socket) {
            match transport.receive(batch.datagram(index), &identity, sys::now_ns()) {
                Incoming::Connected(new) => keys = Some(new),
                Incoming::Failed(error) => return Err(error),
                _ => {}
            }
        }
        if keys.is_none() {
            keys = transport.tick(&identity, sys::now_ns())?;
        }
    }
    let keys = keys.ok_or("no keys")?;
    let srtp = |master: &[u8]| {
        Srtp::new(profile, master)
            .map(Box::new)
            .map_err(|error| error.to_string())
    };
    let (sender, receiver) = (srtp(&keys.local)?, srtp(&keys.remote)?);
    let location = response.location.unwrap_or_default();
    Ok((
        Path::Webrtc {
            transport: Box::new(transport),
            identity: Box::new(identity),
            sender,
            receiver,
        },
        transport_cc,
        location,
    ))
}

fn plain(target: &str) -> Result<Path, String> {
    let socket = UdpSocket::bind("127.0.0.1:0").map_err(|error| error.to_string())?;
    socket.connect(target).map_err(|error| error.to_string())?;
    socket
        .set_nonblocking(true)
        .map_err(|error| error.to_string())?;
    Ok(Path::Plain(socket))
}

/// Publish for the time asked for; the report as JSON.
pub fn run(arguments: &Arguments, profile: Profile) -> Result<Value, String> {
    let target = arguments.words.first().ok_or("a URL is needed")?;
    let shape = Shape {
        fps: arguments.number("fps", 30.0)?,
        bitrate_bps: arguments.number("bitrate", 2_500_000.0)?,
        whole_frames: arguments.text("burst").unwrap_or("frame") == "frame",
        key_interval_s: arguments.number("key-interval", 2.0)?,
        key_scale: arguments.number("key-scale", 1.0)?,
        audio: arguments.flag("audio"),
    };
    let plain_rtp = arguments.flag("plain-rtp");
    let (path, transport_cc, location) = if plain_rtp {
        (plain(target)?, None, String::new())
    } else {
        connect(&Url::parse(target)?, arguments, profile)?
    };
    if arguments.flag("fifo") && !sys::real_time() {
        eprintln!("publish: no real-time priority");
    }
    eprintln!("publishing");
    let track = |ssrc, payload_type| Track {
        ssrc,
        payload_type,
        next: 1000,
        packets: 0,
        octets: 0,
    };
    let mut publisher = Publisher {
        path,
        video: track(VIDEO_SSRC, VIDEO_PT),
        audio: track(AUDIO_SSRC, AUDIO_PT),
        transport_cc,
        transport_seq: 0,
        ring: VecDeque::new(),
        feedback: Feedback::default(),
        retransmitted: 0,
        key_wanted: false,
        requests_served: 0,
        failed: None,
        sent: 0,
        bytes: 0,
        batch: sys::Batch::new(),
    };
    let seconds = arguments.number("seconds", 10.0)?;
    let report = stream(&mut publisher, &shape, seconds);
    if !location.is_empty() {
        let mut url = Url::parse(target)?;
        url.path = Url::path_of(&location);
        http::once(
            &url,
            arguments.text("token"),
            "DELETE",
            "application/sdp",
            "",
        )?;
    }
    publisher.failed.map_or(Ok(report), Err)
}

fn stream(publisher: &mut Publisher, shape: &Shape, seconds: f64) -> Value {
    let start = sys::now_ns();
    let end = start + (seconds * 1e9) as u64;
    let frame_ns = (1e9 / shape.fps) as u64;
    let (mut frame, mut next_frame, mut next_sound, mut next_report) = (0u64, start, start, start);
    let (mut last_key, mut sounds) = (0u64, 0u64);
    let mut lateness = Histogram::new();
    while next_frame < end && publisher.failed.is_none() && !sys::stopped() {
        publisher.serve_until(if shape.audio {
            next_frame.min(next_sound)
        } else {
            next_frame
        });
        let now = sys::now_ns();
        if shape.audio && now >= next_sound {
            let payload = frames::sound(now, sounds);
            let packet = publisher.packet(false, false, (sounds * 960) as u32, &payload);
            publisher.send(packet.as_slice());
            sounds += 1;
            next_sound += SOUND_NS;
        }
        if now < next_frame {
            continue;
        }
        lateness.add(now - next_frame);
        let asked = publisher.key_wanted && now - last_key > SECOND_NS / 2;
        let key = frame == 0 || asked || now - last_key >= (shape.key_interval_s * 1e9) as u64;
        if key {
            (last_key, publisher.key_wanted) = (now, false);
            publisher.requests_served = publisher.feedback.keyframe_requests;
        }
        let rtp_time = (frame as f64 * 90_000.0 / shape.fps) as u32;
        if now >= next_report {
            publisher.report(sys::wall_ns(), rtp_time, (sounds * 960) as u32, shape.audio);
            next_report = now + SECOND_NS;
        }
        send_frame(publisher, shape, next_frame, frame_ns, key, rtp_time, frame);
        frame += 1;
        next_frame += frame_ns;
    }
    let elapsed = (sys::now_ns() - start) as f64 / 1e9;
    json!({
        "mode": "publish", "seconds": elapsed, "frames": frame, "packets": publisher.sent, "bytes": publisher.bytes,
        "packets_per_second": publisher.sent as f64 / elapsed, "bits_per_second": publisher.bytes as f64 * 8.0 / elapsed,
        "fragments_per_frame": shape.cut(false).0, "payload_bytes": shape.cut(false).1, "retransmitted": publisher.retransmitted,
        "receiver_reports": publisher.feedback.receiver_reports, "transport_cc_feedback": publisher.feedback.transport_cc,
        "keyframe_requests": publisher.feedback.keyframe_requests, "transport_cc": publisher.transport_cc.is_some(), "frame_lateness_ms": lateness.report_ms(),
    })
}

fn send_frame(
    publisher: &mut Publisher,
    shape: &Shape,
    start: u64,
    frame_ns: u64,
    key: bool,
    rtp_time: u32,
    frame: u64,
) {
    let (count, bytes) = shape.cut(key);
    let mut burst = Vec::with_capacity(count + 1);
    if key {
        burst.extend(publisher.packet(true, false, rtp_time, &frames::parameter_sets()));
    }
    for index in 0..count {
        if !shape.whole_frames {
            publisher.serve_until(start + frame_ns * index as u64 / count as u64);
        }
        let payload = frames::fragment(index, count, bytes, key, sys::now_ns(), frame);
        burst.extend(publisher.packet(true, index + 1 == count, rtp_time, &payload));
        if !shape.whole_frames {
            publisher.send(&std::mem::take(&mut burst));
        }
    }
    publisher.send(&burst);
}
