//! One player: which layer it gets, when, and under which numbers.
//!
//! A player is a cursor into the rings of its stream. Everything it may be behind by is in the
//! ring already, so pacing, catching up after a join and waiting for a batch to be sent are all
//! the same thing: a cursor that has not moved yet.

use crate::choice::choose_layer;
use crate::congestion::{Estimator, Pacer, ProbePlan};
use crate::packet::{Outgoing, Shape, Stamp};
use crate::rewriter::Source;
use crate::ring::Packet;
use crate::rtcp;
use crate::spec::{Selection, SubscriberSpec, SubscriberTrack};
use crate::srtp::Outbound;
use crate::stream::{Layer, Place, Stream, Track};
use crate::track_out::{Limit, TrackOut};
use crate::transmit::{Batch, Path, Tos};
use crate::types::{Kind, Micros, Ssrc, micros_to_ntp};
use std::collections::VecDeque;

/// Interval of sender reports.
pub const REPORT_US: Micros = 1_000_000;
/// Interval of layer choice.
pub const CHOICE_US: Micros = 200_000;
/// A frame of up to this many bytes leaves at once; larger ones are paced.
const BURST_BYTES: usize = 24_000;
/// Paced output may use this share of the estimate, in percent (libwebrtc's pacing factor).
const PACING_PERCENT: u64 = 250;
/// Pacing is never slower than this, in bit/s.
const MIN_PACING_BPS: u64 = 1_500_000;
/// Rhythm of paced output (libwebrtc's pacer has the same).
const PACE_US: Micros = 5_000;
/// Loss above which a path is not given more than its estimate.
const PACING_LOSS: f32 = 0.1;
/// Pacing of the first key frame, in bit/s: somebody looks at a black picture.
const JOIN_PACING_BPS: u64 = 20_000_000;
/// Padding added to make the packets of a frame equal; more would waste the player's bandwidth.
const MAX_PADDING: usize = 48;
/// A live player that is this far behind waits for a key frame instead.
const MAX_LAG_US: Micros = 600_000;
/// Repairs waiting at most; a player that lost more needs a key frame.
const MAX_REPAIRS: usize = 256;
/// Share of the estimate that repairs may take, in percent.
const REPAIR_PERCENT: u64 = 25;
/// Repairs may always take this much.
const MIN_REPAIR_BPS: u64 = 100_000;
/// What a repair counts as, before its size is known.
const REPAIR_BYTES: usize = 1_200;
/// Repairs that may go at once.
const REPAIR_BURST_BYTES: usize = 60_000;
/// Pause before a player that fell behind may have the studio asked for a key frame: most send
/// one by themselves, and everybody pays for one that is asked for.
const FALL_PAUSE_US: Micros = 2_000_000;
/// Least time between two restarts of a player from the cached key frame.
const RESTART_US: Micros = 1_000_000;
/// How far back a probe takes packets from.
const PROBE_DEPTH: u64 = 64;
/// For tracks that are never thinned.
const EVERYTHING: Limit = Limit {
    temporal: u8::MAX,
    thin: false,
};

/// How far a pump got.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Pump {
    /// Everything there is was sent.
    Done,
    /// The batch is full: send it and come back.
    Full,
    /// The pacer wants a pause until then.
    Paced(Micros),
}

/// What sending needs from outside. No `Debug`: it holds keys.
pub struct Sending<'a> {
    /// Where datagrams go.
    pub batch: &'a mut Batch,
    /// Encryption.
    pub outbound: &'a mut Outbound,
    /// The player.
    pub path: Path,
    /// Now.
    pub now: Micros,
    /// NTP time of our microsecond 0.
    pub ntp_epoch: u64,
}

impl Sending<'_> {
    /// A packet goes out live: the delay of its batch counts from its arrival.
    #[inline]
    fn note_arrival(&mut self, packet: &Packet) {
        let oldest = self.batch.oldest.get_or_insert(packet.arrived);
        *oldest = (*oldest).min(packet.arrived);
    }
}

/// Counts since they were last taken.
#[derive(Clone, Copy, Debug, Default)]
pub struct Counts {
    /// RTP packets.
    pub packets: u64,
    /// Bytes of RTP packets.
    pub bytes: u64,
    /// Retransmissions among them.
    pub retransmitted: u64,
    /// Whole video frames.
    pub frames: u64,
    /// Frames left out by tier or wish.
    pub dropped_tier: u64,
    /// Frames left out because the path is slow.
    pub dropped_congestion: u64,
}

/// The player's side of a session.
#[derive(Debug)]
pub struct Egress {
    /// Stream number.
    pub stream: u32,
    /// Since when the stream was wanted.
    pub joined: Micros,
    /// Whether the first whole key frame has gone out.
    pub started: bool,
    /// Counts not yet taken.
    pub counts: Counts,
    /// Round trip by RTCP, in microseconds.
    pub rtt_us: Option<u64>,
    /// Name of the layer last told to Python.
    pub told_layer: Option<Source>,
    /// Due time of the pacer, while waiting for it.
    pub paced: Option<Micros>,
    /// When to choose a layer again.
    pub next_choice: Micros,
    /// When sender reports are due.
    pub next_report: Micros,
    /// Sound.
    audio: Option<TrackOut>,
    /// Picture.
    video: Option<TrackOut>,
    /// CNAME.
    cname: String,
    /// Player's wish.
    selection: Selection,
    /// Bandwidth estimate.
    estimator: Estimator,
    /// Byte bucket.
    pacer: Pacer,
    /// Estimate of a player of which nothing is known yet.
    start_bps: u64,
    /// Whether transport-wide numbers are written.
    transport_cc: bool,
    /// Packets asked for by NACK and not yet sent again.
    repairs: VecDeque<(Kind, u16)>,
    /// What repairs may take of the path.
    repair_budget: Pacer,
    /// Packets that came late to a layer whose cursor had passed them.
    late: VecDeque<(Kind, Source, u64)>,
    /// Padding being sent to test for more bandwidth.
    probe: Option<Probe>,
    /// Bytes sent, and time and bytes when their rate was last measured.
    sent: (u64, Micros, u64),
    /// No key frame is asked of the studio before this, on behalf of this player.
    ask_after: Micros,
    /// When the player was last restarted from the cached key frame.
    restarted: Option<Micros>,
}

impl Egress {
    /// Refuses specifications with unknown codecs.
    pub fn new(
        stream: u32,
        spec: SubscriberSpec,
        bitrates: (u64, u64, u64),
        now: Micros,
    ) -> Option<Self> {
        let (start, min, max) = bitrates;
        let mut egress = Egress {
            stream,
            joined: now,
            started: false,
            counts: Counts::default(),
            rtt_us: None,
            told_layer: None,
            paced: None,
            next_choice: now,
            next_report: now,
            audio: None,
            video: None,
            cname: spec.cname,
            selection: Selection::default(),
            estimator: Estimator::new(start, min, max),
            pacer: Pacer::new(JOIN_PACING_BPS, BURST_BYTES),
            start_bps: start,
            transport_cc: false,
            repairs: VecDeque::new(),
            repair_budget: Pacer::new(MIN_REPAIR_BPS, REPAIR_BURST_BYTES),
            late: VecDeque::new(),
            probe: None,
            sent: (0, now, 0),
            ask_after: 0,
            restarted: None,
        };
        // Feedback on sound alone would say nothing about the path.
        let repeats = |track: &SubscriberTrack| track.kind == Kind::Video && Shape::repeats(track);
        let numbered = !spec.tracks.iter().any(repeats);
        for track in spec.tracks {
            let kind = track.kind;
            let has_number = track.transport_cc && track.extensions.transport_cc != 0;
            egress.transport_cc |= numbered && has_number && !Shape::repeats(&track);
            let out = TrackOut::new(track, spec.playout_delay_ms)?;
            match kind {
                Kind::Audio => egress.audio = Some(out),
                Kind::Video => egress.video = Some(out),
            }
        }
        Some(egress)
    }

    /// The player's own wish, from now on.
    pub fn select(&mut self, selection: Selection) {
        self.selection = selection;
        self.next_choice = 0;
    }

    /// A new publication has begun: what was wanted of the last one means nothing.
    pub fn on_opened(&mut self) {
        self.next_choice = 0;
        self.ask_after = 0;
        if let Some(video) = self.video.as_mut() {
            video.want_none();
        }
    }

    /// Whether a key frame that has just come may be what the player waits for.
    pub fn is_waiting(&self) -> bool {
        let video = self.video.as_ref();
        video.is_some_and(|video| video.source.is_none() || video.target.is_some())
    }

    /// Whether a key frame went out so lately that the player cannot have meant it.
    pub fn has_key_frame_coming(&self, stream: &Stream, now: Micros) -> bool {
        let source = self.layer().filter(|source| source.epoch == stream.epoch);
        let arrived = source.and_then(|source| {
            let layers = &stream.video.as_ref()?.layers;
            let ring = &layers.get(usize::from(source.layer))?.ring;
            Some(ring.at(ring.key_start()?)?.arrived)
        });
        let trip = self.rtt_us.unwrap_or(0).clamp(50_000, 300_000);
        arrived.is_some_and(|arrived| now.saturating_sub(arrived) < trip)
    }

    /// Begin again with the cached key frame: the studio does not answer when asked for one, and
    /// the player cannot go on. True when there is one, whole to the end, and the last restart is
    /// a while ago.
    pub fn restart(&mut self, stream: &Stream, now: Micros) -> bool {
        let lately = self
            .restarted
            .is_some_and(|at| now.saturating_sub(at) < RESTART_US);
        let source = self.layer().filter(|source| source.epoch == stream.epoch);
        let layer = source.and_then(|source| {
            let layers = &stream.video.as_ref()?.layers;
            layers.get(usize::from(source.layer))
        });
        let (Some(source), Some(layer), false) = (source, layer, lately) else {
            return false;
        };
        let ring = &layer.ring;
        if !ring
            .key_start()
            .is_some_and(|key| ring.is_whole(key, ring.head()))
        {
            return false; // the cached pictures are as broken as the player's
        }
        self.restarted = Some(now);
        if let Some(video) = self.video.as_mut() {
            video.stop();
            video.want(source.layer, 0);
        }
        true
    }

    /// Layer being sent.
    pub fn layer(&self) -> Option<Source> {
        self.video.as_ref().and_then(|video| video.source)
    }

    /// Estimated bandwidth and reported loss.
    pub fn quality(&self) -> (u64, f32) {
        let lost = self.video.as_ref().map_or(0, |video| video.fraction_lost);
        (self.estimator.target_bps(), f32::from(lost) / 256.0)
    }

    /// Whether video is wanted of a layer that is not being sent: its key frame is needed.
    pub fn wanted_layer(&self) -> Option<u8> {
        self.video.as_ref().and_then(|video| video.target)
    }

    /// Whether the studio may be asked for that key frame.
    pub fn may_ask(&self, now: Micros) -> bool {
        now >= self.ask_after
    }

    /// Whether the key frame of the wanted layer is in the ring already.
    pub fn can_switch(&self, stream: &Stream) -> bool {
        let Some(out) = self.video.as_ref() else {
            return false;
        };
        let layers = stream.video.as_ref().map(|track| &track.layers);
        out.target
            .and_then(|target| layers?.get(usize::from(target))?.ring.key_start())
            .is_some_and(|key| key >= out.switch_after)
    }

    /// Choose the layer that estimate, tier and wish allow. Cheap, called a few times a second.
    pub fn choose(&mut self, stream: &Stream, now: Micros) {
        self.next_choice = now + CHOICE_US;
        if self.estimator.deadline().is_some_and(|due| due <= now) {
            self.estimator.on_deadline(now);
        }
        self.measure_sending(now);
        let estimate = self.estimate_bps();
        self.pacer.set_rate(self.pacing_bps(stream, estimate, now));
        let (Some(out), Some(track)) = (self.video.as_mut(), stream.video.as_ref()) else {
            return;
        };
        if self.selection.paused || out.codec != track.codec {
            out.want_none();
            return;
        }
        let current = out.source.filter(|source| source.epoch == stream.epoch);
        let chosen = choose_layer(&self.selection, track, stream.tier, current, estimate, now);
        let Some(choice) = chosen else {
            return;
        };
        if current.map(|source| source.layer) == Some(choice.layer) {
            out.want_none();
        } else if out.target != Some(choice.layer) {
            let switch_after = switch_after(track, current, choice.layer, stream.deaf);
            out.want(choice.layer, switch_after);
        }
        if let Some(wanted_bps) = choice.wanted_bps
            && self.probe.is_none()
            && out.shape.has_rtx()
        {
            self.probe = self
                .estimator
                .want_probe(wanted_bps, now)
                .map(|plan| Probe {
                    plan,
                    since: now,
                    sent: 0,
                });
            if self.probe.is_some() {
                self.paced = Some(now);
            }
        }
    }

    /// Send what the rings hold for this player.
    pub fn pump(&mut self, stream: &Stream, sending: &mut Sending<'_>) -> Pump {
        self.paced = None;
        sending.batch.close_message();
        if self.pump_late(stream, sending) == Pump::Full {
            return Pump::Full;
        }
        let repairs = self.pump_repairs(stream, sending);
        if repairs == Pump::Full || self.pump_audio(stream, sending) == Pump::Full {
            return Pump::Full;
        }
        sending.batch.close_message();
        let mut pump = match repairs {
            Pump::Paced(_) => repairs,
            _ => self.pump_video(stream, sending),
        };
        if pump == Pump::Done && self.probe.is_some() {
            pump = self.pump_probe(stream, sending);
        }
        if let Pump::Paced(due) = pump {
            // All who wait wake at the same moments: one wake-up serves them all, and what has
            // gathered for each goes as one message.
            self.paced = Some(due.div_ceil(PACE_US) * PACE_US);
        }
        pump
    }

    /// Remember a packet that came late, if it was passed already; `pump` sends it.
    pub fn queue_late(&mut self, place: Place, index: u64) {
        let wanted = Source {
            layer: place.layer,
            epoch: place.epoch,
        };
        let passed = self
            .track_mut(place.kind)
            .is_some_and(|out| out.source == Some(wanted) && index < out.cursor);
        if passed && self.late.len() < MAX_REPAIRS {
            self.late.push_back((place.kind, wanted, index));
        }
    }

    /// Remember what a NACK asks for; `pump` answers it. Returns how many packets it named.
    pub fn on_nack(&mut self, media: Ssrc, lost: impl Iterator<Item = u16>, now: Micros) -> u64 {
        // The next request for a packet comes a round trip later at the earliest.
        let trip = self.rtt_us.unwrap_or(40_000).max(self.estimator.rtt_us());
        let pause = trip.clamp(5_000, 1_000_000) * 3 / 4;
        let share = self.estimator.target_bps() * REPAIR_PERCENT / 100;
        self.repair_budget.set_rate(share.max(MIN_REPAIR_BPS));
        let tracks = [self.audio.as_mut(), self.video.as_mut()];
        let Some(out) = tracks
            .into_iter()
            .flatten()
            .find(|out| out.spec.ssrc == media.0 && (out.spec.nack || out.shape.has_rtx()))
        else {
            return 0;
        };
        let mut count = 0;
        for sequence in lost {
            count += 1;
            // A newer layer began with a key frame: what came before is not worth its way.
            let found = out.rewriter.find(sequence);
            if found.is_some_and(|(_, _, piece)| Some(piece.source) != out.source) {
                continue;
            }
            if self.repairs.len() < MAX_REPAIRS
                && self.repair_budget.ready(now)
                && out.may_repair(sequence, pause, now)
            {
                self.repair_budget.on_sent(REPAIR_BYTES, now);
                self.repairs.push_back((out.spec.kind, sequence));
            }
        }
        count
    }

    /// Take a receiver report about one of our media streams. Returns the round trip it tells.
    pub fn on_report(
        &mut self,
        report: &rtcp::ReportBlock,
        now: Micros,
        ntp_epoch: u64,
    ) -> Option<u64> {
        let tracks = [self.audio.as_mut(), self.video.as_mut()];
        let out = tracks
            .into_iter()
            .flatten()
            .find(|out| out.spec.ssrc == report.ssrc.0)?;
        out.fraction_lost = report.fraction_lost;
        let kind = out.spec.kind;
        let rtt_us = round_trip(report, now, ntp_epoch);
        self.rtt_us = rtt_us.or(self.rtt_us);
        if kind == Kind::Video || self.video.is_none() {
            self.estimator
                .on_receiver_report(report.fraction_lost, self.rtt_us, now);
        }
        rtt_us
    }

    /// Transport-wide feedback.
    pub fn on_transport_feedback(
        &mut self,
        fci: &[u8],
        now: Micros,
    ) -> Result<(), crate::error::Drop> {
        self.estimator.on_transport_feedback(fci, now)?;
        self.next_choice = self.next_choice.min(now + 20_000);
        Ok(())
    }

    /// REMB, for players without transport-wide feedback.
    pub fn on_remb(&mut self, bitrate_bps: u64, now: Micros) {
        if !self.transport_cc {
            self.estimator.on_remb(bitrate_bps, now);
        }
    }

    /// The player lost its picture: the key frame of its layer is wanted anew.
    pub fn on_picture_lost(&mut self, media: Ssrc) -> Option<u8> {
        (self.kind_of(media) == Some(Kind::Video))
            .then(|| self.layer().map(|source| source.layer))
            .flatten()
    }

    /// Sender reports and source descriptions of both tracks, one compound each (RFC 3550, 6.1).
    pub fn reports(&mut self, stream: &Stream, now: Micros, ntp_epoch: u64) -> Vec<Vec<u8>> {
        self.next_report = now + REPORT_US;
        let cname = self.cname.as_str();
        let ntp = ntp_epoch.wrapping_add_signed(micros_to_ntp(now as i64));
        [self.audio.as_ref(), self.video.as_ref()]
            .into_iter()
            .flatten()
            .filter_map(|out| {
                let track = stream.track(out.spec.kind)?;
                let info = out.sender_info(track, now, ntp)?;
                let mut compound = Vec::with_capacity(64);
                rtcp::write_sender_report(&mut compound, Ssrc(out.spec.ssrc), &info, &[]);
                rtcp::write_sdes_cname(&mut compound, Ssrc(out.spec.ssrc), cname);
                Some(compound)
            })
            .collect()
    }

    /// The estimator learns with the first packet whether transport feedback is to be expected;
    /// the first choice is made before.
    fn estimate_bps(&self) -> u64 {
        match self.transport_cc && self.sent.0 == 0 {
            true => self.start_bps,
            false => self.estimator.target_bps(),
        }
    }

    /// A stream of one layer may need more than the estimate knows of yet: nothing is held back
    /// until loss shows that it does not get through.
    fn pacing_bps(&self, stream: &Stream, estimate: u64, now: Micros) -> u64 {
        if !self.started {
            return JOIN_PACING_BPS;
        }
        let layer = self.layer().and_then(|source| {
            let layers = &stream.video.as_ref()?.layers;
            layers.get(usize::from(source.layer))
        });
        let needed = match layer {
            Some(layer) if self.estimator.loss_ratio() < PACING_LOSS => {
                layer.meter.estimate_bps(now)
            }
            _ => 0,
        };
        (estimate.max(needed) * PACING_PERCENT / 100).max(MIN_PACING_BPS)
    }

    /// Without transport feedback, loss acts on the rate that is really sent.
    fn measure_sending(&mut self, now: Micros) {
        let (bytes, since, then) = self.sent;
        let elapsed = now.saturating_sub(since);
        if elapsed >= CHOICE_US {
            self.estimator
                .on_sending((bytes - then) * 8_000_000 / elapsed);
            self.sent = (bytes, now, bytes);
        }
    }

    fn track_mut(&mut self, kind: Kind) -> Option<&mut TrackOut> {
        match kind {
            Kind::Audio => self.audio.as_mut(),
            Kind::Video => self.video.as_mut(),
        }
    }

    fn kind_of(&self, media: Ssrc) -> Option<Kind> {
        [self.audio.as_ref(), self.video.as_ref()]
            .into_iter()
            .flatten()
            .find(|out| out.spec.ssrc == media.0 || out.spec.rtx_ssrc == Some(media.0))
            .map(|out| out.spec.kind)
    }

    /// Send what came late under the numbers kept for it.
    fn pump_late(&mut self, stream: &Stream, sending: &mut Sending<'_>) -> Pump {
        while let Some((kind, source, index)) = self.late.front().copied() {
            if !sending.batch.has_room() {
                return Pump::Full;
            }
            self.late.pop_front();
            let (Some(track), Some(out)) = (stream.track(kind), self.track_mut(kind)) else {
                continue;
            };
            if source.epoch != stream.epoch || out.source != Some(source) {
                continue;
            }
            let layer = track.layers.get(usize::from(source.layer));
            let packet = layer.and_then(|layer| layer.ring.at(index));
            // An empty one goes too: its number is kept, and the player would ask for it.
            if let Some(packet) = packet
                && let Some(outgoing) = out.late(index)
            {
                self.write(kind, packet, outgoing, 0, None, sending);
            }
        }
        Pump::Done
    }

    /// Answer NACKs from the ring, by RTX where negotiated (RFC 4588).
    fn pump_repairs(&mut self, stream: &Stream, sending: &mut Sending<'_>) -> Pump {
        while let Some((kind, sequence)) = self.repairs.front().copied() {
            if !self.pacer.ready(sending.now) {
                return Pump::Paced(self.pacer.next(sending.now));
            }
            if !sending.batch.has_room() {
                return Pump::Full;
            }
            self.repairs.pop_front();
            let (Some(track), Some(out)) = (stream.track(kind), self.track_mut(kind)) else {
                continue;
            };
            let Some((number, index, piece)) = out.rewriter.find(sequence) else {
                continue;
            };
            let packet = (piece.source.epoch == stream.epoch)
                .then(|| track.layers.get(usize::from(piece.source.layer)))
                .flatten()
                .and_then(|layer| layer.ring.at(index));
            if let Some(packet) = packet {
                let first = Outgoing::first(number, piece.timestamp_delta, piece.offsets);
                let outgoing = out.as_repair(first);
                self.counts.retransmitted += 1;
                self.write(kind, packet, outgoing, 0, None, sending);
            }
        }
        Pump::Done
    }

    fn pump_audio(&mut self, stream: &Stream, sending: &mut Sending<'_>) -> Pump {
        let (Some(out), Some(track)) = (self.audio.as_mut(), stream.audio.as_ref()) else {
            return Pump::Done;
        };
        let Some(layer) = track.layers.first() else {
            return Pump::Done;
        };
        let head = layer.ring.head();
        let source = stream.source(0);
        if out.codec != track.codec || head == 0 {
            return Pump::Done;
        }
        // Behind the ring lies a restarted encoder or a long silence: numbers and time go on.
        if out.source != Some(source) || out.cursor < layer.ring.tail() {
            out.start(track, source, head - 1, sending.now);
        }
        loop {
            let Some(out) = self.audio.as_mut().filter(|out| out.cursor < head) else {
                return Pump::Done;
            };
            if !sending.batch.has_room() {
                return Pump::Full;
            }
            let index = out.cursor;
            out.cursor += 1;
            if let Some(packet) = layer.ring.at(index)
                && !out.leave_out(packet, EVERYTHING)
                && let Some(outgoing) = out.next_outgoing(packet)
            {
                let captured = layer.clock.captured(packet.timestamp, track.clock_rate);
                out.on_frame_sent(packet.timestamp, captured, sending.now);
                self.started |= self.video.is_none();
                self.write(Kind::Audio, packet, outgoing, 0, None, sending);
                sending.note_arrival(packet);
            }
        }
    }

    fn pump_video(&mut self, stream: &Stream, sending: &mut Sending<'_>) -> Pump {
        let (Some(out), Some(track)) = (self.video.as_mut(), stream.video.as_ref()) else {
            return Pump::Done;
        };
        if self.selection.paused || out.codec != track.codec {
            out.stop();
            return Pump::Done;
        }
        switch(out, track, stream.epoch, sending.now);
        if let Some((source, frames)) = fell_behind(out, track, stream.epoch, sending.now) {
            self.counts.dropped_congestion += frames;
            self.ask_after = sending.now + FALL_PAUSE_US;
            let passed = out.cursor + 1;
            out.stop();
            out.want(source.layer, passed);
            switch(out, track, stream.epoch, sending.now);
        }
        let Some(source) = out.source.filter(|source| source.epoch == stream.epoch) else {
            return Pump::Done;
        };
        let Some(layer) = track.layers.get(usize::from(source.layer)) else {
            return Pump::Done;
        };
        let limit = limit(&self.selection, stream.tier, layer);
        self.pump_layer(track, layer, limit, sending)
    }

    fn pump_layer(
        &mut self,
        track: &Track,
        layer: &Layer,
        limit: Limit,
        sending: &mut Sending<'_>,
    ) -> Pump {
        let head = layer.ring.head();
        let mut frame = FrameSize::default();
        loop {
            let Some(out) = self.video.as_mut() else {
                return Pump::Done;
            };
            if out.cursor >= head {
                out.live = true;
                return Pump::Done;
            }
            let index = out.cursor;
            let Some(packet) = layer.ring.at(index) else {
                out.cursor += 1;
                continue;
            };
            if out.leave_out(packet, limit) {
                out.cursor += 1;
                self.counts.dropped_tier += u64::from(packet.marker && !packet.payload.is_empty());
                continue;
            }
            if !self.pacer.ready(sending.now) {
                return Pump::Paced(self.pacer.next(sending.now));
            }
            if !sending.batch.has_room() {
                return Pump::Full;
            }
            out.cursor += 1;
            let Some(outgoing) = out.next_outgoing(packet) else {
                continue;
            };
            let capture = if packet.info.start || packet.marker {
                layer.clock.captured(packet.timestamp, track.clock_rate)
            } else {
                None
            };
            if capture.is_some() {
                out.on_frame_sent(packet.timestamp, capture, sending.now);
            }
            if packet.marker {
                self.counts.frames += 1;
                self.started = true;
            }
            let live = out.live;
            let made = layer.clock.from_report() && !layer.tells_capture_time;
            let pad_to = frame.pad_to(layer, packet, head);
            self.write(
                Kind::Video,
                packet,
                outgoing,
                pad_to,
                capture.filter(|_| made),
                sending,
            );
            if live {
                sending.note_arrival(packet);
            }
        }
    }

    /// Send old packets again at the rate of the probe: they may even repair something.
    fn pump_probe(&mut self, stream: &Stream, sending: &mut Sending<'_>) -> Pump {
        let Some(mut probe) = self.probe.take() else {
            return Pump::Done;
        };
        let (Some(out), Some(track)) = (self.video.as_ref(), stream.video.as_ref()) else {
            return Pump::Done;
        };
        if !out.shape.has_rtx() || sending.now >= probe.plan.until {
            return Pump::Done;
        }
        let Some(layer) = out
            .source
            .filter(|source| source.epoch == stream.epoch)
            .and_then(|source| track.layers.get(usize::from(source.layer)))
        else {
            return Pump::Done;
        };
        let newest = out.cursor;
        let mut index = newest;
        while probe.sent < probe.allowed(sending.now) {
            if !sending.batch.has_room() {
                self.probe = Some(probe);
                return Pump::Full;
            }
            index = index.saturating_sub(1);
            if index + PROBE_DEPTH < newest || index < layer.ring.tail() {
                index = newest.saturating_sub(1);
            }
            let Some(out) = self.video.as_mut() else {
                return Pump::Done;
            };
            let Some((first, packet)) = out.late(index).zip(layer.ring.at(index)) else {
                probe.sent += 200; // a hole costs budget, so that the loop ends
                continue;
            };
            let outgoing = out.as_repair(first);
            self.write(Kind::Video, packet, outgoing, 0, None, sending);
            probe.sent += packet.payload.len() + 40;
        }
        if probe.sent < probe.plan.bytes {
            self.probe = Some(probe);
            return Pump::Paced(sending.now + 2_000);
        }
        Pump::Done
    }

    #[inline]
    fn write(
        &mut self,
        kind: Kind,
        packet: &Packet,
        outgoing: Outgoing,
        pad_to: usize,
        capture: Option<i64>,
        sending: &mut Sending<'_>,
    ) {
        let (out, tos) = match kind {
            Kind::Audio => (self.audio.as_mut(), Tos::Audio),
            Kind::Video => (self.video.as_mut(), Tos::Video),
        };
        let Some(out) = out else {
            return;
        };
        let now = sending.now;
        let has_number =
            self.transport_cc && out.spec.extensions.transport_cc != 0 && out.shape.may_stamp();
        let size_guess = packet.payload.len().max(pad_to) + 48;
        let stamp = Stamp {
            transport_cc: has_number.then(|| self.estimator.on_sent(size_guess, now)),
            send_time: send_time(now),
            capture_time: out.capture_time(packet, capture, now, sending.ntp_epoch),
        };
        let (shape, outbound) = (&out.shape, &mut *sending.outbound);
        let size = sending.batch.push(sending.path, tos, |space| {
            shape.write(space, packet, outgoing, stamp, pad_to, outbound)
        });
        let size = size.unwrap_or(0);
        if size == 0 {
            return;
        }
        if outgoing.repair.is_none() {
            out.packets = out.packets.wrapping_add(1);
            out.octets = out.octets.wrapping_add(packet.payload.len() as u32);
        }
        self.counts.packets += 1;
        self.counts.bytes += size as u64;
        self.sent.0 += size as u64;
        if kind == Kind::Video {
            self.pacer.on_sent(size, now);
        }
    }
}

/// Padding that is being sent to test for more bandwidth.
#[derive(Clone, Copy, Debug)]
struct Probe {
    /// What the estimator asked for.
    plan: ProbePlan,
    /// When it began.
    since: Micros,
    /// Bytes sent of it.
    sent: usize,
}

impl Probe {
    fn allowed(&self, now: Micros) -> usize {
        let elapsed = now.saturating_sub(self.since) + 2_000;
        (self.plan.bytes).min((self.plan.rate_bps * elapsed / 8_000_000) as usize)
    }
}

/// Payload size that the packets of the frame being sent are padded to.
#[derive(Debug, Default)]
struct FrameSize {
    /// Timestamp of the frame, and the size of its largest packet.
    known: Option<(u32, usize)>,
}

impl FrameSize {
    fn pad_to(&mut self, layer: &Layer, packet: &Packet, head: u64) -> usize {
        let largest = match self.known {
            Some((timestamp, largest)) if timestamp == packet.timestamp => largest,
            _ => {
                let largest = (packet.index..head)
                    .map_while(|index| layer.ring.at(index))
                    .take_while(|other| other.timestamp == packet.timestamp)
                    .map(|other| other.payload.len())
                    .max()
                    .unwrap_or(0);
                self.known = Some((packet.timestamp, largest));
                largest
            }
        };
        let short = largest - packet.payload.len().min(largest);
        // The last segment of a message may be shorter, so the last packet needs no padding.
        if short == 0 || short > MAX_PADDING || packet.marker {
            0
        } else {
            largest
        }
    }
}

/// Move to the wanted layer when its key frame is there.
fn switch(out: &mut TrackOut, track: &Track, epoch: u32, now: Micros) {
    let Some(target) = out.target else {
        return;
    };
    let key = track
        .layers
        .get(usize::from(target))
        .and_then(|layer| layer.ring.key_start());
    let fresh = key.filter(|key| *key >= out.switch_after);
    if let Some(key) = fresh.filter(|_| between_frames(out, track, epoch)) {
        let source = Source {
            layer: target,
            epoch,
        };
        out.start(track, source, key, now);
    }
}

/// Whether leaving the present layer now cuts no frame in two.
fn between_frames(out: &TrackOut, track: &Track, epoch: u32) -> bool {
    let sent = out
        .source
        .filter(|source| source.epoch == epoch)
        .zip(out.cursor.checked_sub(1))
        .and_then(|(source, index)| {
            let layer = track.layers.get(usize::from(source.layer))?;
            layer.ring.at(index)
        });
    sent.is_none_or(|packet| packet.marker || packet.payload.is_empty())
}

/// The layer, and the frames to give up, when a player is so far behind that only a key frame helps.
fn fell_behind(out: &TrackOut, track: &Track, epoch: u32, now: Micros) -> Option<(Source, u64)> {
    let source = out.source.filter(|source| source.epoch == epoch)?;
    let ring = &track.layers.get(usize::from(source.layer))?.ring;
    let head = ring.head();
    if out.cursor >= head {
        return None;
    }
    let newer_key = ring.key_start().filter(|key| *key > out.cursor);
    let lost = out.cursor < ring.tail();
    let waiting = ring
        .at(out.cursor)
        .map_or(0, |p| now.saturating_sub(p.arrived));
    // While catching up after a join, being behind is no news; but a newer key frame is a short cut.
    let late = waiting > MAX_LAG_US
        && (out.live || newer_key.is_some())
        && between_frames(out, track, epoch);
    let until = newer_key.unwrap_or(head);
    (lost || late).then(|| (source, u64::from(ring.frames_between(out.cursor, until))))
}

/// From which index on a key frame of the chosen layer may be switched to: a fresh one, but for a
/// player that gets nothing yet, and for the way down when the studio sends none on request.
fn switch_after(track: &Track, current: Option<Source>, chosen: u8, deaf: bool) -> u64 {
    let layer = |index: u8| track.layers.get(usize::from(index));
    let rank = |index: u8| layer(index).map_or(0, |layer| layer.rank);
    match current {
        None => 0,
        Some(current) if deaf && rank(chosen) < rank(current.layer) => 0,
        Some(_) => layer(chosen).map_or(0, |layer| layer.ring.head()),
    }
}

/// What tier and wish leave of a layer (DESIGN, tiers: 3 halves the frame rate).
fn limit(selection: &Selection, tier: u8, layer: &Layer) -> Limit {
    let thin = tier >= 3;
    let temporal = if thin && layer.max_temporal > 0 {
        layer.max_temporal - 1
    } else {
        u8::MAX
    };
    Limit {
        temporal: temporal.min(selection.max_temporal.unwrap_or(u8::MAX)),
        thin: thin && layer.max_temporal == 0,
    }
}

/// RFC 3550, section 6.4.1: from the sender report that the receiver heard last.
fn round_trip(report: &rtcp::ReportBlock, now: Micros, ntp_epoch: u64) -> Option<u64> {
    let ntp = rtcp::ntp_middle(ntp_epoch.wrapping_add_signed(micros_to_ntp(now as i64)));
    let ticks = ntp
        .wrapping_sub(report.last_sr)
        .wrapping_sub(report.delay_since_sr);
    // Anything above a minute is a clock that jumped, not a round trip.
    let told = report.last_sr != 0 && ticks < 60 << 16;
    told.then(|| u64::from(ticks) * 1_000_000 / 65_536)
}

/// 24 bits of 6.18 fixed-point seconds (abs-send-time).
fn send_time(now: Micros) -> u32 {
    (((now << 18) / 1_000_000) & 0xff_ffff) as u32
}
