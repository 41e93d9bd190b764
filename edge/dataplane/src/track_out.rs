//! One outgoing track: a cursor into the ring of a layer, and the numbers the player sees.

use crate::codec::{Codec, Continuity, Numbers};
use crate::packet::{Outgoing, Shape};
use crate::rewriter::{Rewriter, Source};
use crate::ring::Packet;
use crate::rtcp::SenderInfo;
use crate::spec::SubscriberTrack;
use crate::stream::Track;
use crate::types::{Micros, micros_to_ntp};

/// Video ticks between the frames of a catch-up: they are decoded, hardly shown.
const CATCH_UP_TICKS: u32 = 90;
/// Interval at which abs-capture-time is repeated (its specification asks for at most a second).
const CAPTURE_TIME_US: Micros = 900_000;
/// Retransmissions remembered, so that one loss is not repaired twice within a round trip.
const RECENT: usize = 256;

/// Catching up from the cached key frame: frames are sent as fast as the pacer lets them, with
/// timestamps squeezed so that they end where live begins. A player that kept the original
/// timestamps would show the past and stay behind by its length.
#[derive(Clone, Copy, Debug)]
struct CatchUp {
    /// Ring timestamp of the frame where live begins.
    newest: u32,
    /// Ring timestamp of the frame being sent.
    frame: u32,
    /// Frames between that one and the newest.
    behind: u32,
    /// Ticks between rewritten timestamps.
    spacing: u32,
    /// Ticks between the rewritten timestamps of that frame and the newest.
    ahead: u32,
}

/// What may be sent of a layer.
#[derive(Clone, Copy, Debug)]
pub struct Limit {
    /// Highest temporal layer.
    pub temporal: u8,
    /// Leave out frames that nothing refers to.
    pub thin: bool,
}

/// One outgoing track.
#[derive(Debug)]
pub struct TrackOut {
    /// As negotiated.
    pub spec: SubscriberTrack,
    /// Layout of its packets.
    pub shape: Shape,
    /// Codec, to see whether it can carry the stream's track.
    pub codec: Codec,
    /// Layer being sent.
    pub source: Option<Source>,
    /// Next index of that layer.
    pub cursor: u64,
    /// Layer wanted, when another one.
    pub target: Option<u8>,
    /// Key frames below this index of the target are too old to switch to.
    pub switch_after: u64,
    /// Whether the cursor has reached the head since it was set.
    pub live: bool,
    /// Numbers.
    pub rewriter: Rewriter,
    /// For sender reports.
    pub packets: u32,
    /// For sender reports.
    pub octets: u32,
    /// Reported loss, 0 to 255.
    pub fraction_lost: u8,
    /// When abs-capture-time was last written.
    pub capture_time_at: Option<Micros>,
    /// Codec-level numbers.
    continuity: Continuity,
    /// Added to timestamps once caught up.
    live_delta: u32,
    /// Present while catching up.
    catch_up: Option<CatchUp>,
    /// Timestamp of the last packet as sent, and when its frame was captured (our microseconds).
    last_frame: Option<(u32, i64)>,
    /// Index after the last packet sent for the first time.
    sent_to: u64,
    /// Packets are being left out: last index left out, numbers kept for holes before the first.
    leaving_out: Option<(u64, u64)>,
    /// Highest temporal layer being sent.
    temporal: u8,
    /// Next sequence number on the RTX stream.
    rtx_next: u64,
    /// Lately repaired sequence numbers and when.
    recent: Vec<(u16, Micros)>,
}

impl TrackOut {
    /// Refuses an unknown codec.
    pub fn new(spec: SubscriberTrack, playout: Option<(u16, u16)>) -> Option<Self> {
        let codec = Codec::from_name(&spec.codec)?;
        let seed = spec.ssrc.wrapping_mul(0x9e37_79b1);
        Some(TrackOut {
            shape: Shape::new(&spec, playout),
            codec,
            source: None,
            cursor: 0,
            target: None,
            switch_after: 0,
            live: false,
            rewriter: Rewriter::new(u64::from(seed >> 18)),
            packets: 0,
            octets: 0,
            fraction_lost: 0,
            capture_time_at: None,
            continuity: Continuity::new(),
            live_delta: seed,
            catch_up: None,
            last_frame: None,
            sent_to: 0,
            leaving_out: None,
            temporal: u8::MAX,
            rtx_next: u64::from(seed & 0x3fff),
            recent: Vec::new(),
            spec,
        })
    }

    /// Begin to send a layer from ring index `from` on; numbers and timestamps go on from what
    /// was sent before.
    pub fn start(&mut self, track: &Track, source: Source, from: u64, now: Micros) {
        let Some(layer) = track.layers.get(usize::from(source.layer)) else {
            return;
        };
        let head = layer.ring.head();
        let at = |index: &u64| layer.ring.at(*index).map(|packet| packet.timestamp);
        let first = (from..head).find_map(|index| at(&index));
        let newest = (from..head).rev().find_map(|index| at(&index));
        let (Some(first), Some(newest)) = (first, newest) else {
            return;
        };
        let behind = layer.ring.frames_between(from, head).saturating_sub(1);
        let captured = layer.clock.captured(newest, track.clock_rate);
        let spacing = self.align(
            newest,
            behind,
            captured.unwrap_or(now as i64),
            track.clock_rate,
        );
        self.catch_up = (behind > 0 && track.codec.is_video()).then_some(CatchUp {
            newest,
            frame: first,
            behind,
            spacing,
            ahead: behind * spacing,
        });
        self.source = Some(source);
        self.cursor = from;
        self.sent_to = from;
        self.live = false;
        self.leaving_out = None;
        self.target = None;
        self.temporal = u8::MAX;
        self.continuity.on_switch();
        let delta = self.delta(first);
        self.begin_piece(from, 0, delta);
    }

    /// Stop sending until a key frame of some layer is there.
    pub fn stop(&mut self) {
        self.source = None;
        self.catch_up = None;
    }

    /// Want a layer's key frame, of this index or later.
    pub fn want(&mut self, layer: u8, switch_after: u64) {
        self.target = Some(layer);
        self.switch_after = switch_after;
    }

    /// Want no other layer any more.
    pub fn want_none(&mut self) {
        self.target = None;
        self.switch_after = 0;
    }

    /// Number of a packet that came after the cursor had passed its place, if one was kept.
    pub fn late(&mut self, index: u64) -> Option<Outgoing> {
        let reserved = self.leaving_out.map_or(0, |(_, reserved)| reserved);
        let (number, piece) = self.rewriter.late(self.source?, index, reserved)?;
        Some(Outgoing::first(
            number,
            piece.timestamp_delta,
            piece.offsets,
        ))
    }

    /// Numbers of a packet that is sent for the first time; packets come in ring order.
    #[inline]
    pub fn next_outgoing(&mut self, packet: &Packet) -> Option<Outgoing> {
        if self.leaving_out.is_some() {
            self.resume();
        }
        if self.catch_up.is_some() {
            self.squeeze(packet);
        }
        if !matches!(packet.info.numbers, Numbers::None) {
            self.renumber(packet);
        }
        let piece = *self.rewriter.current()?;
        let number = self.rewriter.advance(packet.index)?;
        self.sent_to = packet.index + 1;
        Some(Outgoing::first(
            number,
            piece.timestamp_delta,
            piece.offsets,
        ))
    }

    /// Remember the frame that was sent last, so that another layer can go on from it.
    pub fn on_frame_sent(&mut self, timestamp: u32, captured: Option<i64>, now: Micros) {
        let delta = self
            .rewriter
            .current()
            .map_or(0, |piece| piece.timestamp_delta);
        self.last_frame = Some((
            timestamp.wrapping_add(delta),
            captured.unwrap_or(now as i64),
        ));
    }

    /// Whether this packet's frame is left out. Remembers holes, so that numbers close the gap.
    #[inline]
    pub fn leave_out(&mut self, packet: &Packet, limit: Limit) -> bool {
        let temporal = packet.info.temporal;
        if limit.temporal < self.temporal
            || (temporal > self.temporal
                && temporal <= limit.temporal
                && packet.info.temporal_switch)
        {
            self.temporal = limit.temporal;
        }
        let keep = !packet.payload.is_empty()
            && temporal <= self.temporal
            && !(limit.thin && packet.info.discardable);
        if keep {
            return false;
        }
        let holes = packet.index.saturating_sub(self.sent_to);
        let reserved = self.leaving_out.map_or(holes, |(_, reserved)| reserved);
        self.leaving_out = Some((packet.index, reserved));
        if !packet.payload.is_empty() {
            self.continuity.on_dropped(&packet.info);
        }
        true
    }

    /// Whether a repair of this number is not under way already.
    pub fn may_repair(&mut self, sequence: u16, pause: Micros, now: Micros) -> bool {
        self.recent
            .retain(|(_, at)| now.saturating_sub(*at) < pause);
        let known = self.recent.iter().any(|(recent, _)| *recent == sequence);
        if known || self.recent.len() >= RECENT {
            return false;
        }
        self.recent.push((sequence, now));
        true
    }

    /// The same packet as a repair: on the RTX stream where there is one.
    pub fn as_repair(&mut self, mut outgoing: Outgoing) -> Outgoing {
        if self.shape.has_rtx() {
            outgoing.repair = Some(self.rtx_next);
            self.rtx_next += 1;
        }
        outgoing
    }

    /// Capture time to write with a packet: passed on, or made from sender reports now and then.
    pub fn capture_time(
        &mut self,
        packet: &Packet,
        captured: Option<i64>,
        now: Micros,
        ntp_epoch: u64,
    ) -> Option<(u64, Option<i64>)> {
        if !self.shape.wants_capture_time() {
            return None;
        }
        if packet.carried.abs_capture_time.is_some() {
            self.capture_time_at = Some(now);
            return packet.carried.abs_capture_time;
        }
        let due = self
            .capture_time_at
            .is_none_or(|at| now.saturating_sub(at) >= CAPTURE_TIME_US);
        let made = due && packet.info.start && self.shape.may_stamp();
        let captured = captured.filter(|_| made)?;
        self.capture_time_at = Some(now);
        let ntp = ntp_epoch.wrapping_add_signed(micros_to_ntp(captured));
        Some((ntp, Some(0)))
    }

    /// Counters and clock for a sender report.
    pub fn sender_info(&self, track: &Track, now: Micros, ntp: u64) -> Option<SenderInfo> {
        let source = self.source?;
        let layer = track.layers.get(usize::from(source.layer))?;
        let rtp = layer.clock.timestamp(now as i64, track.clock_rate)?;
        (self.packets > 0).then(|| SenderInfo {
            ntp,
            rtp: rtp.wrapping_add(self.live_delta),
            packets: self.packets,
            octets: self.octets,
        })
    }

    /// Set `live_delta` so that the newest frame follows what was sent by the time that passed;
    /// returns the spacing for `behind` squeezed frames before it.
    fn align(&mut self, newest: u32, behind: u32, captured: i64, clock_rate: u32) -> u32 {
        let Some((last, last_captured)) = self.last_frame else {
            return CATCH_UP_TICKS;
        };
        let elapsed = (captured - last_captured).clamp(0, 3_600_000_000);
        let ticks = (elapsed * i64::from(clock_rate) / 1_000_000) as u32;
        let ticks = ticks.max(behind + 1);
        self.live_delta = last.wrapping_add(ticks).wrapping_sub(newest);
        (ticks / (behind + 1)).clamp(1, CATCH_UP_TICKS)
    }

    /// What to add to the timestamp of a frame now.
    fn delta(&self, timestamp: u32) -> u32 {
        let Some(catch_up) = self.catch_up else {
            return self.live_delta;
        };
        catch_up
            .newest
            .wrapping_add(self.live_delta)
            .wrapping_sub(catch_up.ahead)
            .wrapping_sub(timestamp)
    }

    fn begin_piece(&mut self, in_start: u64, reserved: u64, delta: u32) {
        if let Some(source) = self.source {
            let offsets = self.continuity.offsets();
            self.rewriter
                .begin(source, in_start, reserved, delta, offsets);
        }
    }

    fn squeeze(&mut self, packet: &Packet) {
        let Some(catch_up) = self.catch_up.as_mut() else {
            return;
        };
        if catch_up.frame == packet.timestamp {
            return;
        }
        catch_up.frame = packet.timestamp;
        if packet.timestamp.wrapping_sub(catch_up.newest) as i32 >= 0 {
            self.catch_up = None;
        } else if catch_up.behind > 1 {
            catch_up.behind -= 1;
            catch_up.ahead = catch_up.behind * catch_up.spacing;
        } else {
            // More frames come than were counted: a late packet has filled a hole.
            catch_up.ahead = (catch_up.ahead / 2).max(1);
        }
        let holes = packet.index.saturating_sub(self.sent_to);
        let delta = self.delta(packet.timestamp);
        self.begin_piece(packet.index, holes, delta);
    }

    fn renumber(&mut self, packet: &Packet) {
        self.continuity.apply(&packet.info, &mut [], None);
        let offsets = self.continuity.offsets();
        let Some(piece) = self.rewriter.current() else {
            return;
        };
        if piece.offsets != offsets {
            let delta = piece.timestamp_delta;
            let fresh = piece.in_start == packet.index;
            let holes = packet.index.saturating_sub(self.sent_to);
            if fresh {
                self.rewriter.replace_offsets(offsets);
            } else {
                self.begin_piece(packet.index, holes, delta);
            }
        }
    }

    fn resume(&mut self) {
        if let Some((last, reserved)) = self.leaving_out.take() {
            let delta = self
                .rewriter
                .current()
                .map_or(self.live_delta, |piece| piece.timestamp_delta);
            self.begin_piece(last + 1, reserved, delta);
            self.sent_to = last + 1;
        }
    }
}
