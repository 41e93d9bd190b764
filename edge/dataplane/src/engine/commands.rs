//! What Python asks for.

use super::{Bus, Engine, count};
use crate::publisher::Ingest;
use crate::session::{Role, Session};
use crate::spec::{Ice, PublisherSpec, SubscriberSpec};
use crate::srtp::{Inbound, Outbound, Profile};
use crate::stream::{Stream, TrackShape};
use crate::subscriber::Egress;
use crate::transmit::Tos;
use crate::types::{Micros, Ssrc};
use std::sync::Arc;

impl Engine {
    pub(super) fn open_session(&mut self, handle: u64, ice: Ice, now: Micros) {
        self.remove(handle);
        let user = ice.local_ufrag.clone();
        let session = Box::new(Session::new(handle, ice, now));
        let slot = match self.free.pop() {
            Some(slot) => slot,
            None => {
                self.sessions.push(None);
                (self.sessions.len() - 1) as u32
            }
        };
        if let Some(place) = self.sessions.get_mut(slot as usize) {
            *place = Some(session);
        }
        self.handles.insert(handle, slot);
        self.users.insert(user, slot);
        self.stats.sessions += 1;
    }

    pub(super) fn restart_ice(&mut self, handle: u64, ice: Ice) {
        let Some(slot) = self.slot(handle) else {
            return;
        };
        self.users.insert(ice.local_ufrag.clone(), slot);
        let Some(session) = self.session_mut(slot) else {
            return;
        };
        session.ice.push(ice);
        // One generation back is enough: more only come from a peer that restarts in a loop.
        let stale = session.ice.len().saturating_sub(2);
        for old in session.ice.drain(..stale).collect::<Vec<_>>() {
            self.users.remove(&old.local_ufrag);
        }
    }

    pub(super) fn send(&mut self, handle: u64, datagram: Vec<u8>) {
        let path = self
            .slot(handle)
            .and_then(|slot| self.session_mut(slot))
            .and_then(|session| session.path);
        if let Some(path) = path {
            self.send_control(path, Tos::Default, datagram);
        }
    }

    pub(super) fn set_keys(&mut self, handle: u64, profile: Profile, local: &[u8], remote: &[u8]) {
        let Some(session) = self.slot(handle).and_then(|slot| self.session_mut(slot)) else {
            return;
        };
        session.outbound = Outbound::new(profile, local);
        session.inbound = Inbound::new(profile, remote);
        if let Some(slot) = self.slot(handle) {
            self.schedule_one(slot);
        }
    }

    pub(super) fn add_publisher(
        &mut self,
        handle: u64,
        number: u32,
        epoch: u32,
        spec: PublisherSpec,
    ) {
        let Some(slot) = self.slot(handle) else {
            return;
        };
        let sender = Ssrc(handle as u32 ^ 0x5eed_0001);
        let Some(ingest) = Ingest::new(number, epoch, spec, sender) else {
            return; // Python negotiates only codecs that are known here
        };
        self.leave_role(slot);
        let shapes: Arc<[TrackShape]> = ingest.shapes().into();
        if !self.open_stream(number, epoch, &shapes) {
            return; // taken over before it began
        }
        if let Some(stream) = self.streams.get_mut(&number) {
            stream.home = Some(slot);
        }
        if let Some(session) = self.session_mut(slot) {
            session.role = Role::Publisher(Box::new(ingest));
        }
        if self.has_peers {
            self.bus.push(Bus::Opened {
                stream: number,
                epoch,
                shapes,
            });
        }
    }

    pub(super) fn add_subscriber(
        &mut self,
        handle: u64,
        number: u32,
        spec: SubscriberSpec,
        now: Micros,
    ) {
        let bitrates = (
            self.config.start_bitrate_bps,
            self.config.min_bitrate_bps,
            self.config.max_bitrate_bps,
        );
        let Some(slot) = self.slot(handle) else {
            return;
        };
        let Some(mut egress) = Egress::new(number, spec, bitrates, now) else {
            return;
        };
        self.leave_role(slot);
        let tier = self.tier;
        let stream = self
            .streams
            .entry(number)
            .or_insert_with(|| Stream::new(number, tier));
        if !stream.subscribers.contains(&slot) {
            stream.subscribers.push(slot);
        }
        egress.choose(stream, now);
        if let Some(session) = self.session_mut(slot) {
            session.role = Role::Subscriber(Box::new(egress));
        }
        self.schedule_one(slot);
    }

    pub(super) fn set_tier(&mut self, number: Option<u32>, tier: u8) {
        if number.is_none() {
            self.tier = tier;
        }
        let chosen: Vec<u32> = match number {
            Some(number) => vec![number],
            None => self.streams.keys().copied().collect(),
        };
        for number in chosen {
            let stream = self
                .streams
                .entry(number)
                .or_insert_with(|| Stream::new(number, tier));
            stream.tier = tier;
            for slot in stream.subscribers.clone() {
                if let Some(egress) = self.egress_mut(slot) {
                    egress.next_choice = 0;
                }
            }
        }
        self.next_tick = 0;
    }

    pub(super) fn remove(&mut self, handle: u64) {
        let Some(slot) = self.handles.remove(&handle) else {
            return;
        };
        self.leave_role(slot);
        let taken = self.sessions.get_mut(slot as usize).and_then(Option::take);
        let Some(session) = taken else {
            return;
        };
        self.free.push(slot);
        self.stats.sessions -= 1;
        for path in &session.paths {
            if self.paths.get(path) == Some(&slot) {
                self.paths.remove(path);
            }
        }
        for ice in &session.ice {
            if self.users.get(&ice.local_ufrag) == Some(&slot) {
                self.users.remove(&ice.local_ufrag);
            }
        }
    }

    /// A session stops doing what it does.
    fn leave_role(&mut self, slot: u32) {
        let Some(session) = self.session_mut(slot) else {
            return;
        };
        match std::mem::replace(&mut session.role, Role::Idle) {
            Role::Subscriber(mut egress) => {
                if let Some(stream) = self.streams.get_mut(&egress.stream) {
                    stream.subscribers.retain(|other| *other != slot);
                    count(&mut self.stats, stream, &mut egress);
                }
                // Whoever moved up in a fan-out that is under way must not be passed over; those
                // who are up to date cost it a comparison.
                for job in self
                    .jobs
                    .iter_mut()
                    .filter(|job| job.stream == egress.stream)
                {
                    job.served = 0;
                }
            }
            Role::Publisher(ingest) => {
                if let Some(stream) = self.streams.get_mut(&ingest.stream)
                    && stream.home == Some(slot)
                {
                    stream.home = None;
                }
            }
            Role::Idle => {}
        }
    }
}
