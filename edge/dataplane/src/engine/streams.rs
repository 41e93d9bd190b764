//! Packets into rings, and who has to be served because of them.

use super::{Engine, Job, ONE_SUBSCRIBER};
use crate::publisher::ClockReport;
use crate::ring::Packet;
use crate::session::Role;
use crate::stream::{Place, Stream, Taken, TrackShape};
use crate::types::{Kind, Micros};
use std::sync::Arc;

impl Engine {
    /// False when a newer publication is known already.
    pub(super) fn open_stream(&mut self, number: u32, epoch: u32, shapes: &[TrackShape]) -> bool {
        let ring_packets = self.config.ring_packets;
        let tier = self.tier;
        let stream = self
            .streams
            .entry(number)
            .or_insert_with(|| Stream::new(number, tier));
        if epoch <= stream.epoch {
            return false; // a late message of an older publication
        }
        stream.open(epoch, shapes, ring_packets);
        let former = stream.home.take();
        let subscribers = stream.subscribers.clone();
        if let Some(session) = former.and_then(|slot| self.session_mut(slot)) {
            session.role = Role::Idle; // silenced at once
        }
        for slot in subscribers {
            if let Some(egress) = self.egress_mut(slot) {
                egress.on_opened();
            }
        }
        true
    }

    /// What came late goes to everyone who has passed it. Told now: a player that is served before
    /// the next fan-out may come by it on its way.
    fn queue_late(&mut self, place: Place, index: u64) {
        let Some(stream) = self.streams.get(&place.stream) else {
            return;
        };
        for slot in &stream.subscribers {
            let session = self
                .sessions
                .get_mut(*slot as usize)
                .and_then(Option::as_deref_mut);
            if let Some(Role::Subscriber(egress)) = session.map(|session| &mut session.role) {
                egress.queue_late(place, index);
            }
        }
    }

    /// A key frame has begun: who waits for one chooses now.
    fn wake_waiting(&mut self, number: u32, now: Micros) {
        let Some(stream) = self.streams.get(&number) else {
            return;
        };
        for slot in &stream.subscribers {
            let session = self
                .sessions
                .get_mut(*slot as usize)
                .and_then(Option::as_deref_mut);
            if let Some(Role::Subscriber(egress)) = session.map(|session| &mut session.role)
                && egress.is_waiting()
            {
                egress.next_choice = 0;
                self.next_tick = self.next_tick.min(now);
            }
        }
    }

    pub(super) fn take(&mut self, place: Place, packet: Arc<Packet>, now: Micros) {
        let Some(stream) = self.streams.get_mut(&place.stream) else {
            return;
        };
        let last = packet.marker || place.kind == Kind::Audio;
        let index = packet.index;
        let taken = stream.take(place, packet);
        // A studio that spaces its packets wider than the hold leaves nothing to wait for.
        let hold = self.config.hold_us;
        let spaced = stream
            .layer_mut(place)
            .is_some_and(|layer| layer.frame_gap > hold);
        let complete = last || spaced;
        if taken == Taken::Nothing {
            return;
        }
        if stream.subscribers.is_empty() {
            return;
        }
        match taken {
            Taken::KeyFrame => self.wake_waiting(place.stream, now),
            Taken::Late => self.queue_late(place, index),
            _ => {}
        }
        let number = place.stream;
        let held = self.held.iter().position(|(stream, _)| *stream == number);
        if complete {
            if let Some(position) = held {
                self.held.swap_remove(position);
            }
            self.schedule(number);
        } else if held.is_none() {
            self.held.push((number, now));
        }
    }

    pub(super) fn schedule(&mut self, stream: u32) {
        if !self.jobs.iter().any(|job| job.stream == stream) {
            self.jobs.push_back(Job { stream, served: 0 });
        }
    }

    /// Serve one subscriber on its own.
    pub(super) fn schedule_one(&mut self, slot: u32) {
        self.jobs.push_back(Job {
            stream: ONE_SUBSCRIBER,
            served: slot as usize,
        });
    }

    pub(super) fn set_clock(&mut self, report: ClockReport) {
        if let Some(stream) = self.streams.get_mut(&report.place.stream)
            && let Some(clock_rate) = stream
                .track(report.place.kind)
                .map(|track| track.clock_rate)
            && let Some(layer) = stream.layer_mut(report.place)
        {
            layer.on_report(report.timestamp, report.at, clock_rate);
        }
    }

    pub(super) fn want(&mut self, stream: u32, layer: u8) {
        if let Some(stream) = self.streams.get_mut(&stream)
            && let Some(wanted) = stream.wanted.get_mut(usize::from(layer))
        {
            *wanted = true;
            self.next_tick = 0;
        }
    }
}
