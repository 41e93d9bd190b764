//! A stream as one worker sees it: tracks, layers, their rings and what was measured of them.

use crate::codec::Codec;
use crate::rewriter::Source;
use crate::ring::{Inserted, Packet, Ring};
use crate::types::{Kind, Micros};
use serde::Serialize;
use std::sync::Arc;

/// The most layers a studio may send.
pub const MAX_LAYERS: usize = 4;
/// Window of the bit-rate and frame-rate meters.
const METER_US: Micros = 1_000_000;
/// A jump of numbers that only a restarted encoder makes (`Receiver` leaves this much).
const JUMP: u64 = 1 << 16;
/// A sender report that is this far from arrivals, in microseconds, is wrong (some encoders').
const PLAUSIBLE_US: u64 = 10_000_000;
/// A layer without packets for this long cannot be chosen.
const LAYER_IDLE_US: Micros = 1_500_000;

/// Maps RTP timestamps of a layer to our clock.
#[derive(Clone, Copy, Debug, Default)]
pub struct MediaClock {
    /// A timestamp and the moment (our microseconds, may be before our start) it was captured.
    anchor: Option<(u32, i64)>,
    /// Whether the anchor came from sender reports rather than from arrivals.
    from_report: bool,
}

impl MediaClock {
    /// When the frame of this timestamp was captured, in our microseconds.
    pub fn captured(&self, timestamp: u32, clock_rate: u32) -> Option<i64> {
        let (rtp, at) = self.anchor?;
        let ticks = i64::from(timestamp.wrapping_sub(rtp) as i32);
        Some(at + ticks * 1_000_000 / i64::from(clock_rate.max(1)))
    }

    /// The timestamp that a frame captured at `at` would carry.
    pub fn timestamp(&self, at: i64, clock_rate: u32) -> Option<u32> {
        let (rtp, anchor) = self.anchor?;
        let ticks = (at - anchor) * i64::from(clock_rate) / 1_000_000;
        Some(rtp.wrapping_add(ticks as u32))
    }

    /// Whether sender reports have been seen.
    pub fn from_report(&self) -> bool {
        self.from_report
    }

    /// Take a sender report's mapping, already in our time.
    pub fn on_report(&mut self, timestamp: u32, at: i64) {
        self.anchor = Some((timestamp, at));
        self.from_report = true;
    }

    /// Without reports the earliest arrival stands for capture; a slow leak follows clock drift.
    fn on_arrival(&mut self, timestamp: u32, clock_rate: u32, now: Micros) {
        if self.from_report {
            return;
        }
        let now = now as i64;
        let late = match self.captured(timestamp, clock_rate) {
            None => 0,
            Some(expected) if now < expected => 0,
            Some(expected) => (now - expected) * 999 / 1000,
        };
        self.anchor = Some((timestamp, now - late));
    }
}

/// Bytes and frames of the last full second.
#[derive(Clone, Copy, Debug, Default)]
pub struct Meter {
    /// Start of the running window.
    since: Micros,
    /// Bytes in it.
    bytes: u64,
    /// Frames in it.
    frames: u32,
    /// Payload bit rate of the last full window.
    pub bitrate_bps: u64,
    /// Frame rate of the last full window.
    pub fps: f32,
}

impl Meter {
    fn count(&mut self, bytes: usize, frame: bool, now: Micros) {
        if self.since == 0 {
            self.since = now;
        }
        self.bytes += bytes as u64;
        self.frames += u32::from(frame);
        self.roll(now);
    }

    fn roll(&mut self, now: Micros) {
        let elapsed = now.saturating_sub(self.since);
        if self.since == 0 || elapsed < METER_US {
            return;
        }
        self.bitrate_bps = self.bytes * 8_000_000 / elapsed;
        self.fps = (f64::from(self.frames) * 1e6 / elapsed as f64) as f32;
        self.since = now;
        self.bytes = 0;
        self.frames = 0;
    }

    /// The best present guess: the last full window, or the running one while there is none.
    pub fn estimate_bps(&self, now: Micros) -> u64 {
        let elapsed = now.saturating_sub(self.since);
        if self.bitrate_bps == 0 && elapsed > 100_000 {
            return self.bytes * 8_000_000 / elapsed;
        }
        self.bitrate_bps
    }
}

/// One encoding of a track.
#[derive(Debug)]
pub struct Layer {
    /// RID, or empty.
    pub rid: String,
    /// Its last packets.
    pub ring: Ring,
    /// RTP time to our time.
    pub clock: MediaClock,
    /// Measured rates.
    pub meter: Meter,
    /// Picture size, when the payload told it.
    pub dimensions: Option<(u16, u16)>,
    /// Order of quality, 0 the lowest.
    pub rank: u8,
    /// Highest temporal layer seen.
    pub max_temporal: u8,
    /// Whether frames occur that nothing refers to.
    pub has_discardable: bool,
    /// Arrival of the newest packet.
    pub last_packet: Micros,
    /// Usual time between two packets of one frame: near 0 when frames come whole.
    pub frame_gap: Micros,
    /// Timestamp of the newest frame.
    last_timestamp: Option<u32>,
    /// Whether the studio sends abs-capture-time.
    pub tells_capture_time: bool,
}

impl Layer {
    fn new(rid: String, ring_packets: usize) -> Self {
        Layer {
            rid,
            ring: Ring::new(ring_packets),
            clock: MediaClock::default(),
            meter: Meter::default(),
            dimensions: None,
            rank: 0,
            max_temporal: 0,
            has_discardable: false,
            last_packet: 0,
            frame_gap: 0,
            last_timestamp: None,
            tells_capture_time: false,
        }
    }

    /// Take a sender report, unless it puts the newest packet far from when that came.
    pub fn on_report(&mut self, timestamp: u32, at: i64, clock_rate: u32) {
        let mut clock = self.clock;
        clock.on_report(timestamp, at);
        let captured = self
            .last_timestamp
            .and_then(|newest| clock.captured(newest, clock_rate));
        let plausible =
            captured.is_none_or(|at| at.abs_diff(self.last_packet as i64) < PLAUSIBLE_US);
        if plausible {
            self.clock = clock;
        }
    }

    /// Whether packets of it have come lately.
    pub fn is_active(&self, now: Micros) -> bool {
        self.last_packet != 0 && now.saturating_sub(self.last_packet) < LAYER_IDLE_US
    }
}

/// One source of audio or video.
#[derive(Debug)]
pub struct Track {
    /// Audio or video.
    pub kind: Kind,
    /// What the studio encodes with.
    pub codec: Codec,
    /// RTP clock in Hz.
    pub clock_rate: u32,
    /// At least one.
    pub layers: Vec<Layer>,
}

impl Track {
    /// Indices of layers from the lowest quality up, without idle ones.
    pub fn by_rank(&self, now: Micros) -> Vec<u8> {
        let mut order: Vec<u8> = (0..self.layers.len() as u8)
            .filter(|index| self.layers[usize::from(*index)].is_active(now))
            .collect();
        order.sort_by_key(|index| self.layers[usize::from(*index)].rank);
        order
    }

    /// Order layers by height, then by measured rate: the order in which a studio lists its RIDs
    /// says nothing (OBS).
    fn rank(&mut self, now: Micros) {
        let mut order: Vec<usize> = (0..self.layers.len()).collect();
        order.sort_by_key(|index| {
            let layer = &self.layers[*index];
            (
                layer.dimensions.map_or(0, |(_, height)| height),
                layer.meter.estimate_bps(now),
            )
        });
        for (rank, index) in order.into_iter().enumerate() {
            self.layers[index].rank = rank as u8;
        }
    }
}

/// Shape of a track as a publisher announces it to all workers.
#[derive(Clone, Debug)]
pub struct TrackShape {
    /// Audio or video.
    pub kind: Kind,
    /// Codec.
    pub codec: Codec,
    /// RTP clock in Hz.
    pub clock_rate: u32,
    /// RIDs, or one empty string.
    pub rids: Vec<String>,
}

/// What a packet was to a stream.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Taken {
    /// Nothing new.
    Nothing,
    /// Something for the readers.
    Packet,
    /// Something that readers may have passed.
    Late,
    /// The first packet of a key frame.
    KeyFrame,
}

/// Where in a stream a packet belongs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Place {
    /// Stream number.
    pub stream: u32,
    /// Publication.
    pub epoch: u32,
    /// Track.
    pub kind: Kind,
    /// Layer in the track.
    pub layer: u8,
}

/// Frames left out, by stage.
#[derive(Clone, Copy, Debug, Default, Serialize)]
pub struct FrameDrops {
    /// Lost between studio and edge.
    pub ingest: u64,
    /// Left out because the player's path is too slow.
    pub congestion: u64,
    /// Left out by the tier or by the player's own wish.
    pub tier: u64,
    /// Refused by the socket.
    pub socket: u64,
}

/// A live programme and its readers on this worker.
#[derive(Debug)]
pub struct Stream {
    /// Number given by Python.
    pub number: u32,
    /// Publication; 0 before the first.
    pub epoch: u32,
    /// Sound.
    pub audio: Option<Track>,
    /// Picture.
    pub video: Option<Track>,
    /// Sessions that read it, on this worker.
    pub subscribers: Vec<u32>,
    /// Degradation tier, 0 to 4.
    pub tier: u8,
    /// Who comes first at the next fan-out: turns, so that nobody is always last.
    pub rotation: usize,
    /// Publisher's session, when it is on this worker.
    pub home: Option<u32>,
    /// Whether a key frame is wanted, per video layer.
    pub wanted: [bool; MAX_LAYERS],
    /// The studio does not answer key-frame requests.
    pub deaf: bool,
    /// Frames handed to players.
    pub frames_sent: u64,
    /// Frames left out.
    pub dropped: FrameDrops,
}

impl Stream {
    /// An empty stream, waiting for its publisher.
    pub fn new(number: u32, tier: u8) -> Self {
        Stream {
            number,
            epoch: 0,
            audio: None,
            video: None,
            subscribers: Vec::new(),
            tier,
            rotation: 0,
            home: None,
            wanted: [false; MAX_LAYERS],
            deaf: false,
            frames_sent: 0,
            dropped: FrameDrops::default(),
        }
    }

    /// A new publication replaces the last: rings start empty, readers wait for a key frame.
    pub fn open(&mut self, epoch: u32, shapes: &[TrackShape], ring_packets: usize) {
        self.epoch = epoch;
        self.wanted = [false; MAX_LAYERS];
        self.deaf = false;
        self.audio = None;
        self.video = None;
        for shape in shapes {
            let layers = shape
                .rids
                .iter()
                .take(MAX_LAYERS)
                .map(|rid| {
                    // Audio needs no key-frame cache; a second of it is 50 packets.
                    let slots = match shape.kind {
                        Kind::Audio => 256,
                        Kind::Video => ring_packets,
                    };
                    Layer::new(rid.clone(), slots)
                })
                .collect();
            let track = Track {
                kind: shape.kind,
                codec: shape.codec,
                clock_rate: shape.clock_rate,
                layers,
            };
            match shape.kind {
                Kind::Audio => self.audio = Some(track),
                Kind::Video => self.video = Some(track),
            }
        }
    }

    /// The track of a kind.
    pub fn track(&self, kind: Kind) -> Option<&Track> {
        match kind {
            Kind::Audio => self.audio.as_ref(),
            Kind::Video => self.video.as_ref(),
        }
    }

    /// The layer of a place, if the publication is still the same.
    pub fn layer_mut(&mut self, place: Place) -> Option<&mut Layer> {
        if place.epoch != self.epoch {
            return None;
        }
        let track = match place.kind {
            Kind::Audio => self.audio.as_mut(),
            Kind::Video => self.video.as_mut(),
        };
        track?.layers.get_mut(usize::from(place.layer))
    }

    /// Key of a layer of the present publication.
    pub fn source(&self, layer: u8) -> Source {
        Source {
            layer,
            epoch: self.epoch,
        }
    }

    /// Take a packet into its ring.
    pub fn take(&mut self, place: Place, packet: Arc<Packet>) -> Taken {
        let clock_rate = match self.track(place.kind) {
            Some(track) => track.clock_rate,
            None => return Taken::Nothing,
        };
        let Some(layer) = self.layer_mut(place) else {
            return Taken::Nothing;
        };
        let (index, arrived, info) = (packet.index, packet.arrived, packet.info);
        let (bytes, timestamp) = (packet.payload.len(), packet.timestamp);
        let jumped = index > layer.ring.head() + JUMP;
        layer.tells_capture_time |= packet.carried.abs_capture_time.is_some();
        match layer.ring.insert(packet) {
            Inserted::Fresh => {}
            Inserted::Late => {
                layer.meter.count(bytes, false, arrived);
                return Taken::Late;
            }
            Inserted::Duplicate | Inserted::TooOld => return Taken::Nothing,
        }
        if jumped {
            layer.clock = MediaClock::default(); // a restarted encoder counts time anew
        }
        let new_frame = layer.last_timestamp != Some(timestamp);
        layer.last_timestamp = Some(timestamp);
        if !new_frame {
            let gap = arrived.saturating_sub(layer.last_packet);
            layer.frame_gap = (layer.frame_gap * 7 + gap) / 8;
        }
        layer.last_packet = arrived;
        layer.meter.count(bytes, new_frame, arrived);
        layer.clock.on_arrival(timestamp, clock_rate, arrived);
        layer.max_temporal = layer.max_temporal.max(info.temporal);
        layer.has_discardable |= info.discardable;
        let resized = info.dimensions.is_some() && info.dimensions != layer.dimensions;
        if resized {
            layer.dimensions = info.dimensions;
        }
        let key = info.key && new_frame && place.kind == Kind::Video;
        if (key || resized)
            && let Some(video) = self.video.as_mut()
        {
            video.rank(arrived);
        }
        if !key {
            return Taken::Packet;
        }
        if let Some(wanted) = self.wanted.get_mut(usize::from(place.layer)) {
            *wanted = false;
        }
        Taken::KeyFrame
    }

    /// Once a second: roll meters of silent layers and order the layers anew.
    pub fn tick(&mut self, now: Micros) {
        for track in [self.audio.as_mut(), self.video.as_mut()]
            .into_iter()
            .flatten()
        {
            for layer in &mut track.layers {
                layer.meter.roll(now);
            }
            track.rank(now);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn media_clock_maps_both_ways_and_follows_the_earliest_arrival() {
        let mut clock = MediaClock::default();
        clock.on_arrival(1_000, 90_000, 50_000);
        clock.on_arrival(1_000 + 9_000, 90_000, 145_000);
        let captured = clock.captured(1_000, 90_000).expect("anchored");
        assert!((44_000..=46_000).contains(&captured), "{captured}");
        clock.on_report(0, -5);
        assert_eq!(clock.captured(90_000, 90_000), Some(999_995));
        assert_eq!(clock.timestamp(999_995, 90_000), Some(90_000));
    }

    fn frame_gap(between: Micros) -> Micros {
        let mut stream = Stream::new(1, 0);
        let shape = TrackShape {
            kind: Kind::Video,
            codec: Codec::H264,
            clock_rate: 90_000,
            rids: vec![String::new()],
        };
        stream.open(1, &[shape], 256);
        let place = Place {
            stream: 1,
            epoch: 1,
            kind: Kind::Video,
            layer: 0,
        };
        for index in 0..90 {
            let frame = index / 9;
            let packet = Packet {
                index: 65_536 + index,
                timestamp: 3_000 * frame as u32,
                marker: index % 9 == 8,
                red: false,
                arrived: 1 + 33_333 * frame + between * (index % 9),
                info: crate::codec::FrameInfo::default(),
                carried: crate::ring::Carried::default(),
                payload: vec![0; 100].into(),
            };
            stream.take(place, Arc::new(packet));
        }
        stream.layer_mut(place).expect("opened").frame_gap
    }

    #[test]
    fn whole_frames_are_told_from_spaced_packets() {
        assert!(frame_gap(20) < 100);
        assert!(frame_gap(3_000) > 2_000);
    }
}
