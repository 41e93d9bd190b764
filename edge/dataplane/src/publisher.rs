//! A studio's media: which packet belongs to which layer, and what the studio is told back.

use crate::codec::{Codec, Inspector};
use crate::congestion::Recorder;
use crate::error::Drop;
use crate::receive::Receiver;
use crate::ring::{Carried, Packet};
use crate::rtcp::{self, SenderInfo};
use crate::rtp::Header;
use crate::spec::{PublisherSpec, PublisherTrack};
use crate::stream::{MAX_LAYERS, Place, TrackShape};
use crate::types::{Kind, Micros, Ssrc};
use std::collections::{HashMap, VecDeque};
use std::sync::Arc;

/// SSRCs that one studio may use: four layers with RTX, audio with RTX, and restarts.
const MAX_SSRCS: usize = 32;
/// Interval of receiver reports (RFC 3550 recommends at least this often at video rates).
const REPORT_US: Micros = 1_000_000;
/// Round trip assumed for NACK pacing until something better is known.
const DEFAULT_RTT_US: u64 = 60_000;
/// Longest pause between key-frame requests to a studio that ignores them (OBS does).
const MAX_KEYFRAME_PAUSE_US: Micros = 8_000_000;
/// Requests without an answer after which a studio counts as deaf.
const DEAF_AFTER: u32 = 3;
/// A key frame this soon after a request answers it.
const ANSWER_US: Micros = 500_000;
/// Answers in a row that show that a studio is not deaf after all; one may be chance.
const HEARD_AFTER: u32 = 2;
/// Sources that were replaced, and whose stragglers must not take their layer back.
const MAX_RETIRED: usize = 8;
/// RTCP put into one datagram, without encryption: it must fit any path.
const MAX_COMPOUND: usize = 1_240;

/// What an SSRC was found to be.
#[derive(Clone, Copy, Debug)]
struct Binding {
    /// Index into `tracks`.
    track: u8,
    /// Layer in the track.
    layer: u8,
    /// Whether it carries retransmissions (RFC 4588).
    repair: bool,
}

/// Reception of one layer.
#[derive(Debug)]
struct IngestLayer {
    /// RID, or empty.
    rid: String,
    /// Numbers and losses; none before the first packet.
    receiver: Option<Receiver>,
    /// Reads payloads.
    inspector: Inspector,
    /// When a key frame was last asked for.
    asked: Option<Micros>,
    /// Requests since the last answer, or the last key frame of a studio that is not deaf.
    unanswered: u32,
    /// Answers in a row.
    answers: u32,
    /// Timestamp of the newest key frame.
    key_frame: Option<u32>,
    /// Requests have no effect.
    deaf: bool,
    /// FIR command number.
    fir: u8,
}

/// One audio or video source.
#[derive(Debug)]
struct IngestTrack {
    /// As negotiated.
    spec: PublisherTrack,
    /// Codec of the payload.
    codec: Codec,
    /// At least one.
    layers: Vec<IngestLayer>,
}

/// The publisher's side of a session.
#[derive(Debug)]
pub struct Ingest {
    /// Stream number.
    pub stream: u32,
    /// Publication.
    pub epoch: u32,
    /// Arrival of the last media packet; `None` before the first and while idle.
    pub last_media: Option<Micros>,
    /// Whether "publishing" was told.
    pub announced: bool,
    /// Audio and video.
    tracks: Vec<IngestTrack>,
    /// Known sources.
    bindings: HashMap<u32, Binding>,
    /// Replaced sources, oldest first.
    retired: VecDeque<u32>,
    /// Transport-wide feedback, where negotiated.
    recorder: Option<Recorder>,
    /// Identifier of the transport-wide sequence number extension.
    transport_cc: u8,
    /// Our SSRC in reports.
    sender: Ssrc,
    /// Smallest difference between our time and the studio's NTP time, in microseconds.
    ntp_offset: Option<i64>,
    /// When the next receiver report is due.
    next_report: Micros,
}

/// What became of the wish for a key frame.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Asked {
    /// The studio is being asked.
    Now,
    /// It was asked lately.
    Later,
    /// It cannot be asked.
    Never,
}

/// A sender report's mapping in our time, for all workers.
#[derive(Clone, Copy, Debug)]
pub struct ClockReport {
    /// The layer it is about.
    pub place: Place,
    /// RTP timestamp.
    pub timestamp: u32,
    /// Our time of the same moment, in microseconds.
    pub at: i64,
}

impl Ingest {
    /// Refuses specifications with unknown codecs.
    pub fn new(stream: u32, epoch: u32, spec: PublisherSpec, sender: Ssrc) -> Option<Self> {
        let mut tracks = Vec::new();
        let mut bindings = HashMap::new();
        let mut transport_cc = 0;
        for spec in spec.tracks.into_iter().take(2) {
            let codec = Codec::from_name(&spec.codec)?;
            let rids = layer_names(&spec);
            if spec.transport_cc && spec.extensions.transport_cc != 0 {
                transport_cc = spec.extensions.transport_cc;
            }
            let track = tracks.len() as u8;
            bind_announced(&spec, track, &mut bindings);
            tracks.push(IngestTrack {
                codec,
                layers: rids
                    .into_iter()
                    .map(|rid| IngestLayer {
                        rid,
                        receiver: None,
                        inspector: Inspector::new(codec),
                        asked: None,
                        unanswered: 0,
                        answers: 0,
                        key_frame: None,
                        deaf: false,
                        fir: 0,
                    })
                    .collect(),
                spec,
            });
        }
        Some(Ingest {
            stream,
            epoch,
            last_media: None,
            announced: false,
            tracks,
            bindings,
            retired: VecDeque::new(),
            recorder: (transport_cc != 0).then(Recorder::new),
            transport_cc,
            sender,
            ntp_offset: None,
            next_report: 0,
        })
    }

    /// What the stream will look like.
    pub fn shapes(&self) -> Vec<TrackShape> {
        self.tracks
            .iter()
            .map(|track| TrackShape {
                kind: track.spec.kind,
                codec: track.codec,
                clock_rate: track.spec.clock_rate,
                rids: track.layers.iter().map(|layer| layer.rid.clone()).collect(),
            })
            .collect()
    }

    /// Codec parameters read from the stream itself, by video layer.
    pub fn profile(&self, layer: usize) -> Option<String> {
        let track = self.tracks.iter().find(|track| track.codec.is_video())?;
        track.layers.get(layer)?.inspector.profile()
    }

    /// Whether B-frames were seen, by video layer.
    pub fn has_b_frames(&self, layer: usize) -> bool {
        self.tracks
            .iter()
            .find(|track| track.codec.is_video())
            .and_then(|track| track.layers.get(layer))
            .is_some_and(|layer| layer.inspector.saw_b_frames())
    }

    /// Packets asked for and packets given up since the last call, over all layers.
    pub fn take_losses(&mut self) -> (u64, u64) {
        let layers = self.tracks.iter_mut().flat_map(|track| &mut track.layers);
        layers.filter_map(|layer| layer.receiver.as_mut()).fold(
            (0, 0),
            |(asked, lost), receiver| {
                let (a, l) = receiver.take_losses();
                (asked + a, lost + l)
            },
        )
    }

    /// Take a decrypted packet in: `datagram[..end]` is header and plaintext.
    pub fn on_rtp(
        &mut self,
        header: &Header,
        datagram: &[u8],
        end: usize,
        now: Micros,
    ) -> Result<Option<(Place, Arc<Packet>)>, Drop> {
        let plaintext = datagram.get(..end).ok_or(Drop::Malformed)?;
        let range = header.payload(plaintext)?;
        let mut payload = plaintext.get(range).ok_or(Drop::Malformed)?;
        self.record_arrival(header, datagram, now);
        let binding = self.bind(header, datagram)?;
        self.last_media = Some(now);
        let track = self
            .tracks
            .get_mut(usize::from(binding.track))
            .ok_or(Drop::UnknownTrack)?;
        let (kind, clock_rate) = (track.spec.kind, track.spec.clock_rate);
        let extensions = track.spec.extensions;
        let red = track.spec.red_payload_type == Some(header.payload_type);
        let layer = track
            .layers
            .get_mut(usize::from(binding.layer))
            .ok_or(Drop::UnknownTrack)?;
        let index = if binding.repair {
            let Some((original, rest)) = payload.split_first_chunk::<2>() else {
                return Ok(None); // padding-only probe on the RTX stream
            };
            payload = rest;
            let Some(receiver) = layer.receiver.as_mut() else {
                return Ok(None);
            };
            let Some(index) = receiver.on_repair(u16::from_be_bytes(*original)) else {
                return Ok(None);
            };
            index
        } else {
            layer.number(header, clock_rate, now)
        };
        // A padding-only packet goes into the ring empty: players get no number for it, and
        // nobody takes it for lost.
        let carried = carried(&extensions, header, datagram);
        let info = layer.inspector.inspect(
            payload,
            header.marker,
            header.timestamp,
            carried.dependency_descriptor.as_deref(),
        );
        if info.key && kind == Kind::Video {
            layer.on_key_frame(header.timestamp, now);
        }
        let place = Place {
            stream: self.stream,
            epoch: self.epoch,
            kind,
            layer: binding.layer,
        };
        let packet = Packet {
            index,
            timestamp: header.timestamp,
            marker: header.marker,
            red,
            arrived: now,
            info,
            carried,
            payload: payload.into(),
        };
        Ok(Some((place, Arc::new(packet))))
    }

    /// Take a compound RTCP packet in.
    pub fn on_rtcp(
        &mut self,
        compound: &[u8],
        now: Micros,
        clocks: &mut Vec<ClockReport>,
    ) -> Result<bool, Drop> {
        let mut bye = false;
        for packet in rtcp::packets(compound) {
            match packet? {
                rtcp::Packet::SenderReport { ssrc, info, .. } => {
                    clocks.extend(self.on_sender_report(ssrc, &info, now));
                }
                rtcp::Packet::Bye { .. } => bye = true,
                _ => {}
            }
        }
        Ok(bye)
    }

    /// When `feedback` is due.
    pub fn deadline(&self) -> Option<Micros> {
        let recorder = self.recorder.as_ref().and_then(Recorder::deadline);
        let losses = self.receivers().filter_map(Receiver::deadline).min();
        [recorder, losses, Some(self.next_report)]
            .into_iter()
            .flatten()
            .min()
    }

    /// RTCP for the studio, compound by compound: NACK, transport feedback, receiver reports.
    pub fn feedback(&mut self, now: Micros) -> Vec<Vec<u8>> {
        let mut body = Vec::new();
        self.write_nacks(now, &mut body);
        if let Some(recorder) = &mut self.recorder
            && recorder.deadline().is_some_and(|due| due <= now)
        {
            let media = Ssrc(self.bindings.keys().next().copied().unwrap_or(0));
            recorder.write(&mut body, self.sender, media, now);
        }
        let due = now >= self.next_report;
        if body.is_empty() && !due {
            return Vec::new();
        }
        let mut reports = Vec::new();
        if due {
            self.next_report = now + REPORT_US;
            for layer in self.tracks.iter_mut().flat_map(|track| &mut track.layers) {
                reports.extend(layer.receiver.as_mut().and_then(|r| r.report(now)));
            }
        }
        compounds(self.sender, &reports, &body)
    }

    /// Whether requests for a key frame of some video layer have no effect.
    pub fn is_deaf(&mut self, now: Micros) -> bool {
        let video = self.tracks.iter_mut().find(|track| track.codec.is_video());
        video.is_some_and(|track| {
            for layer in &mut track.layers {
                let silent = layer.asked.is_some_and(|asked| now >= asked + ANSWER_US);
                layer.deaf |= silent && layer.unanswered >= DEAF_AFTER;
            }
            let mute = !track.spec.pli && !track.spec.fir;
            mute || track.layers.iter().any(|layer| layer.deaf)
        })
    }

    /// Give up old losses. True when a picture is broken for good, by video layer.
    pub fn expire(&mut self, now: Micros) -> [bool; MAX_LAYERS] {
        let mut broken = [false; MAX_LAYERS];
        for track in &mut self.tracks {
            let video = track.codec.is_video();
            for (layer, flag) in track.layers.iter_mut().zip(&mut broken) {
                let expired = layer.receiver.as_mut().is_some_and(|r| r.expire(now));
                *flag |= video && expired;
            }
        }
        broken
    }

    /// Ask for a key frame unless it was asked for lately; a deaf studio is asked ever less often.
    pub fn request_keyframe(
        &mut self,
        layer: u8,
        pause: Micros,
        now: Micros,
        out: &mut Vec<u8>,
    ) -> Asked {
        let sender = self.sender;
        let Some(track) = self.tracks.iter_mut().find(|track| track.codec.is_video()) else {
            return Asked::Never;
        };
        let (pli, fir) = (track.spec.pli, track.spec.fir);
        let Some(layer) = track.layers.get_mut(usize::from(layer)) else {
            return Asked::Never;
        };
        let Some(media) = layer.receiver.as_ref().map(|receiver| receiver.ssrc) else {
            return Asked::Never;
        };
        if !(pli || fir) {
            return Asked::Never;
        }
        let doublings = layer.unanswered.saturating_sub(DEAF_AFTER).min(5);
        let pause = (pause << doublings).min(MAX_KEYFRAME_PAUSE_US);
        if layer.asked.is_some_and(|asked| now < asked + pause) {
            return Asked::Later;
        }
        layer.asked = Some(now);
        layer.unanswered = layer.unanswered.saturating_add(1);
        rtcp::write_receiver_report(out, sender, &[]);
        rtcp::write_sdes_cname(out, sender, "edge");
        if pli {
            rtcp::write_pli(out, sender, media);
        } else {
            layer.fir = layer.fir.wrapping_add(1);
            rtcp::write_fir(out, sender, media, layer.fir);
        }
        Asked::Now
    }

    fn receivers(&self) -> impl Iterator<Item = &Receiver> {
        self.tracks
            .iter()
            .flat_map(|track| &track.layers)
            .filter_map(|layer| layer.receiver.as_ref())
    }

    fn write_nacks(&mut self, now: Micros, out: &mut Vec<u8>) {
        let sender = self.sender;
        for track in &mut self.tracks {
            if !track.spec.nack {
                continue;
            }
            for receiver in track.layers.iter_mut().filter_map(|l| l.receiver.as_mut()) {
                let mut lost = Vec::new();
                receiver.nacks(DEFAULT_RTT_US, now, &mut lost);
                if !lost.is_empty() {
                    rtcp::write_nack(out, sender, receiver.ssrc, &lost);
                }
            }
        }
    }

    fn on_sender_report(
        &mut self,
        ssrc: Ssrc,
        info: &SenderInfo,
        now: Micros,
    ) -> Option<ClockReport> {
        let binding = self.bindings.get(&ssrc.0).copied().filter(|b| !b.repair)?;
        let track = self.tracks.get_mut(usize::from(binding.track))?;
        let layer = track.layers.get_mut(usize::from(binding.layer))?;
        layer.receiver.as_mut()?.on_sender_report(info.ntp, now);
        let studio = ntp_micros(info.ntp);
        let offset = now as i64 - studio;
        // The least delayed report is nearest to the truth; the leak follows drifting clocks.
        let best = match self.ntp_offset {
            Some(best) if (offset - best).abs() < 5_000_000 => offset.min(best + 50),
            _ => offset,
        };
        self.ntp_offset = Some(best);
        Some(ClockReport {
            place: Place {
                stream: self.stream,
                epoch: self.epoch,
                kind: track.spec.kind,
                layer: binding.layer,
            },
            timestamp: info.rtp,
            at: studio + best,
        })
    }

    fn record_arrival(&mut self, header: &Header, datagram: &[u8], now: Micros) {
        let Some(recorder) = &mut self.recorder else {
            return;
        };
        let number = header
            .extensions(datagram)
            .find(self.transport_cc)
            .and_then(<[u8]>::first_chunk::<2>);
        if let Some(number) = number {
            recorder.on_packet(u16::from_be_bytes(*number), now);
        }
    }

    /// Find the layer of an SSRC: as announced, by RID, or as the only one of its payload type.
    fn bind(&mut self, header: &Header, datagram: &[u8]) -> Result<Binding, Drop> {
        if let Some(binding) = self.bindings.get(&header.ssrc.0) {
            return Ok(*binding);
        }
        let (track, repair) = self
            .tracks
            .iter()
            .enumerate()
            .find_map(|(index, track)| {
                let spec = &track.spec;
                let media = spec.payload_type == header.payload_type
                    || spec.red_payload_type == Some(header.payload_type);
                let repair = spec.rtx_payload_type == Some(header.payload_type);
                (media || repair).then_some((index, repair))
            })
            .ok_or(Drop::UnknownTrack)?;
        let layer = self.find_layer(track, repair, header, datagram)?;
        if self.bindings.len() >= MAX_SSRCS || self.retired.contains(&header.ssrc.0) {
            return Err(Drop::UnknownTrack);
        }
        let binding = Binding {
            track: track as u8,
            layer,
            repair,
        };
        self.unbind(binding);
        self.bindings.insert(header.ssrc.0, binding);
        Ok(binding)
    }

    /// An encoder that restarts takes a new SSRC for the same layer; the old one is gone.
    fn unbind(&mut self, new: Binding) {
        let retired = &mut self.retired;
        self.bindings.retain(|ssrc, old| {
            let replaced = (old.track, old.layer, old.repair) == (new.track, new.layer, new.repair);
            if replaced && !old.repair {
                retired.push_back(*ssrc);
            }
            !replaced
        });
        let excess = self.retired.len().saturating_sub(MAX_RETIRED);
        self.retired.drain(..excess);
    }

    fn find_layer(
        &self,
        track: usize,
        repair: bool,
        header: &Header,
        datagram: &[u8],
    ) -> Result<u8, Drop> {
        let track = self.tracks.get(track).ok_or(Drop::UnknownTrack)?;
        if track.layers.len() == 1 {
            return Ok(0);
        }
        let ids = &track.spec.extensions;
        let wanted = if repair { ids.repaired_rid } else { ids.rid };
        header
            .extensions(datagram)
            .find(wanted)
            .and_then(|rid| {
                track
                    .layers
                    .iter()
                    .position(|layer| layer.rid.as_bytes() == rid)
            })
            .map(|position| position as u8)
            .ok_or(Drop::UnknownTrack)
    }
}

impl IngestLayer {
    /// Tells answers from the key frames that a deaf studio sends by its own clock.
    fn on_key_frame(&mut self, timestamp: u32, now: Micros) {
        if self.key_frame.replace(timestamp) == Some(timestamp) {
            return;
        }
        let answer = self.asked.is_some_and(|asked| now < asked + ANSWER_US);
        self.answers = if answer {
            self.answers.saturating_add(1)
        } else {
            0
        };
        self.deaf &= self.answers < HEARD_AFTER;
        self.unanswered = if self.deaf { DEAF_AFTER } else { 0 };
    }

    fn number(&mut self, header: &Header, clock_rate: u32, now: Micros) -> u64 {
        let stale = self
            .receiver
            .as_ref()
            .is_some_and(|receiver| receiver.ssrc != header.ssrc);
        if stale {
            let base = self.receiver.as_ref().map_or(0, Receiver::highest) + (1 << 17);
            self.receiver = Some(Receiver::new(header.ssrc, clock_rate, base));
        }
        self.receiver
            .get_or_insert_with(|| Receiver::new(header.ssrc, clock_rate, 0))
            .on_packet(header.sequence, header.timestamp, now)
            .index
    }
}

/// Receiver report and body, cut between RTCP packets so that each compound fits a datagram.
fn compounds(sender: Ssrc, reports: &[rtcp::ReportBlock], body: &[u8]) -> Vec<Vec<u8>> {
    let mut done = Vec::new();
    let mut open = opening(sender, reports);
    let mut rest = body;
    while let Some([_, _, high, low]) = rest.first_chunk::<4>() {
        let size = 4 * (usize::from(u16::from_be_bytes([*high, *low])) + 1);
        let (packet, after) = rest.split_at(size.min(rest.len()));
        if open.len() + packet.len() > MAX_COMPOUND {
            done.push(std::mem::replace(&mut open, opening(sender, &[])));
        }
        open.extend_from_slice(packet);
        rest = after;
    }
    done.push(open);
    done
}

/// What every compound begins with (RFC 3550, section 6.1).
fn opening(sender: Ssrc, reports: &[rtcp::ReportBlock]) -> Vec<u8> {
    let mut out = Vec::with_capacity(128);
    rtcp::write_receiver_report(&mut out, sender, reports);
    rtcp::write_sdes_cname(&mut out, sender, "edge");
    out
}

fn layer_names(spec: &PublisherTrack) -> Vec<String> {
    if !spec.rids.is_empty() {
        return spec.rids.iter().take(MAX_LAYERS).cloned().collect();
    }
    match spec.kind {
        // Legacy simulcast (ssrc-group:SIM): one layer per announced SSRC.
        Kind::Video if spec.ssrcs.len() > 1 => (0..spec.ssrcs.len().min(MAX_LAYERS))
            .map(|index| index.to_string())
            .collect(),
        _ => vec![String::new()],
    }
}

fn bind_announced(spec: &PublisherTrack, track: u8, bindings: &mut HashMap<u32, Binding>) {
    if !spec.rids.is_empty() {
        return; // RIDs name the layers; SSRCs are learnt
    }
    for (layer, ssrc) in spec.ssrcs.iter().take(MAX_LAYERS).enumerate() {
        let layer = if spec.kind == Kind::Audio {
            0
        } else {
            layer as u8
        };
        let media = Binding {
            track,
            layer,
            repair: false,
        };
        bindings.insert(*ssrc, media);
        for (_, repair) in spec.rtx_ssrcs.iter().filter(|(primary, _)| primary == ssrc) {
            bindings.insert(
                *repair,
                Binding {
                    repair: true,
                    ..media
                },
            );
        }
    }
}

fn carried(ids: &crate::spec::Extensions, header: &Header, datagram: &[u8]) -> Carried {
    let mut carried = Carried::default();
    for (id, data) in header.extensions(datagram) {
        if id == ids.abs_capture_time {
            carried.abs_capture_time = data.first_chunk::<8>().map(|time| {
                let offset = data.get(8..16).and_then(|rest| rest.first_chunk::<8>());
                (
                    u64::from_be_bytes(*time),
                    offset.map(|bytes| i64::from_be_bytes(*bytes)),
                )
            });
        } else if id == ids.audio_level {
            carried.audio_level = data.first().copied();
        } else if id == ids.video_orientation {
            carried.video_orientation = data.first().copied();
        } else if id == ids.dependency_descriptor {
            carried.dependency_descriptor = Some(data.into());
        }
    }
    carried
}

/// An NTP timestamp (RFC 3550, section 4) in microseconds since 1900.
pub fn ntp_micros(ntp: u64) -> i64 {
    let seconds = (ntp >> 32) as i64;
    let fraction = ((ntp & 0xffff_ffff) * 1_000_000) >> 32;
    seconds * 1_000_000 + fraction as i64
}
