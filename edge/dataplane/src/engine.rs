//! One worker's whole thinking: datagrams, commands and time in; datagrams and events out.
//!
//! The shell (`io`) gives inputs, then calls `poll` until it returns false, sending the batch each
//! time; only then comes the next input. So a fan-out is never overtaken by the packets that would
//! extend it, and the memory of what waits to be sent is one batch.

use crate::error::Drop;
use crate::publisher::{ClockReport, Ingest};
use crate::ring::Packet;
use crate::rtcp;
use crate::rtp::Header;
use crate::session::{Role, Session};
use crate::spec::{Config, Ice, PublisherSpec, Selection, SubscriberSpec};
use crate::srtp::{Inbound, Outbound, Profile};
use crate::stats::{LayerStats, SessionStats, Snapshot, StreamStats, WorkerStats};
use crate::stream::{FrameDrops, MAX_LAYERS, Place, Stream, Track, TrackShape};
use crate::stun;
use crate::subscriber::{Egress, Pump, Sending};
use crate::transmit::{Batch, Path, Tos};
use crate::types::{Kind, Micros, Ssrc};
use std::collections::{HashMap, VecDeque};
use std::sync::Arc;
use std::sync::mpsc::Sender;

/// Interval of the duties that no packet triggers.
const TICK_US: Micros = 10_000;
/// Interval of slow duties: meters, idle publishers, changed layers.
const SLOW_TICK_US: Micros = 250_000;
/// Stream number of a job that serves one subscriber only (its slot stands in `served`).
const ONE_SUBSCRIBER: u32 = u32::MAX;
/// Control datagrams waiting at most; beyond it the oldest gives way.
const MAX_CONTROL: usize = 8_192;

/// What Python asks for.
#[derive(Debug)]
#[allow(missing_docs)]
pub enum Command {
    OpenSession { handle: u64, ice: Ice },
    RestartIce { handle: u64, ice: Ice },
    Send { handle: u64, datagram: Vec<u8> },
    SetKeys { handle: u64, profile: Profile, local: Vec<u8>, remote: Vec<u8> },
    AddPublisher { handle: u64, stream: u32, epoch: u32, spec: PublisherSpec },
    AddSubscriber { handle: u64, stream: u32, spec: SubscriberSpec },
    Select { handle: u64, selection: Selection },
    SetTier { stream: Option<u32>, tier: u8 },
    RequestKeyframe { stream: u32 },
    Remove { handle: u64 },
    RemoveStream { stream: u32 },
    Stats { reply: Sender<Snapshot> },
    SessionStats { handle: u64, reply: Sender<Option<SessionStats>> },
    Stop,
}

/// What Python is told.
#[derive(Debug)]
#[allow(missing_docs)]
pub enum Event {
    PathSelected { handle: u64, path: Path },
    Dtls { handle: u64, datagram: Vec<u8> },
    ConsentLapsed { handle: u64 },
    Publishing { stream: u32, handle: u64 },
    Idle { stream: u32, handle: u64 },
    Layers { stream: u32, layers: Vec<LayerStats> },
    FirstFrame { handle: u64, after: Micros },
    LayerSwitched { handle: u64, rid: String },
    Stopped { worker: u16, reason: String },
}

/// What workers tell one another. A worker that is too slow to take it loses packets.
#[derive(Clone, Debug)]
#[allow(missing_docs)]
pub enum Bus {
    Opened { stream: u32, epoch: u32, shapes: Arc<[TrackShape]> },
    Packets(Arc<[(Place, Arc<Packet>)]>),
    Clock(ClockReport),
    KeyframeWanted { stream: u32, layer: u8 },
}

/// A fan-out in progress.
#[derive(Clone, Copy, Debug)]
struct Job {
    /// Stream to fan out.
    stream: u32,
    /// Subscribers served so far.
    served: usize,
}

/// All state of one worker.
pub struct Engine {
    /// As given by Python.
    config: Arc<Config>,
    /// NTP time of microsecond 0.
    ntp_epoch: u64,
    /// Sessions by slot.
    sessions: Vec<Option<Box<Session>>>,
    /// Empty slots.
    free: Vec<u32>,
    /// Slots by handle.
    handles: HashMap<u64, u32>,
    /// Slots by ICE user fragment.
    users: HashMap<String, u32>,
    /// Slots by validated path.
    paths: HashMap<Path, u32>,
    /// Streams by number.
    streams: HashMap<u32, Stream>,
    /// Tier of streams that have none of their own.
    tier: u8,
    /// Streams with packets held back for the rest of their frame, and since when.
    held: Vec<(u32, Micros)>,
    /// Streams to fan out.
    jobs: VecDeque<Job>,
    /// Subscribers waiting for their pacer.
    paced: Vec<u32>,
    /// STUN answers, DTLS and RTCP to send.
    control: VecDeque<(Path, Tos, Vec<u8>)>,
    /// For Python.
    events: Vec<Event>,
    /// For the other workers.
    bus: Vec<Bus>,
    /// Packets for the other workers, until the input is drained.
    outgoing: Vec<(Place, Arc<Packet>)>,
    /// Whether there are other workers.
    has_peers: bool,
    /// Next tick.
    next_tick: Micros,
    /// Next slow tick.
    next_slow_tick: Micros,
    /// Counters.
    pub stats: WorkerStats,
    /// Last told shape of each stream's layers.
    told_layers: HashMap<u32, Vec<(String, u8, u16, u16, bool, Option<String>)>>,
}

impl Engine {
    /// `ntp_epoch` is the NTP time of microsecond 0.
    pub fn new(config: Arc<Config>, ntp_epoch: u64, has_peers: bool) -> Self {
        Engine {
            config,
            ntp_epoch,
            sessions: Vec::new(),
            free: Vec::new(),
            handles: HashMap::new(),
            users: HashMap::new(),
            paths: HashMap::new(),
            streams: HashMap::new(),
            tier: 0,
            held: Vec::new(),
            jobs: VecDeque::new(),
            paced: Vec::new(),
            control: VecDeque::new(),
            events: Vec::new(),
            bus: Vec::new(),
            outgoing: Vec::new(),
            has_peers,
            next_tick: 0,
            next_slow_tick: 0,
            stats: WorkerStats::default(),
            told_layers: HashMap::new(),
        }
    }

    /// Events for Python since the last call.
    pub fn take_events(&mut self) -> Vec<Event> {
        std::mem::take(&mut self.events)
    }

    /// Messages for the other workers since the last call.
    pub fn take_bus(&mut self) -> Vec<Bus> {
        if !self.outgoing.is_empty() {
            let packets = std::mem::take(&mut self.outgoing);
            self.bus.push(Bus::Packets(packets.into()));
        }
        std::mem::take(&mut self.bus)
    }

    /// When `poll` must be called although nothing came in.
    pub fn deadline(&self) -> Option<Micros> {
        let held = self.held.iter().map(|(_, since)| since + self.config.hold_us);
        let paced = self
            .paced
            .iter()
            .filter_map(|slot| self.egress(*slot)?.paced);
        let tick = (!self.handles.is_empty()).then_some(self.next_tick);
        held.chain(paced).chain(tick).min()
    }

    /// Take one datagram (RFC 7983 tells the protocols apart by the first byte).
    pub fn handle_datagram(&mut self, path: Path, datagram: &mut [u8], now: Micros) {
        self.stats.packets_received += 1;
        self.stats.bytes_received += datagram.len() as u64;
        let handled = match datagram.first() {
            Some(0..=3) => self.on_stun(path, datagram, now),
            Some(20..=63) => self.on_dtls(path, datagram),
            Some(128..=191) => self.on_srtp(path, datagram, now),
            _ => Err(Drop::UnknownProtocol),
        };
        if let Err(reason) = handled {
            self.stats.drop(reason);
        }
    }

    /// A TCP connection ended: its path is gone.
    pub fn handle_closed(&mut self, path: Path) {
        if let Some(slot) = self.paths.remove(&path)
            && let Some(session) = self.session_mut(slot)
        {
            session.paths.retain(|known| *known != path);
            if session.path == Some(path) {
                session.path = session.paths.last().copied();
            }
        }
    }

    /// Do what Python asks for.
    pub fn handle_command(&mut self, command: Command, now: Micros) {
        match command {
            Command::OpenSession { handle, ice } => self.open_session(handle, ice, now),
            Command::RestartIce { handle, ice } => self.restart_ice(handle, ice),
            Command::Send { handle, datagram } => self.send(handle, datagram),
            Command::SetKeys {
                handle,
                profile,
                local,
                remote,
            } => self.set_keys(handle, profile, &local, &remote),
            Command::AddPublisher {
                handle,
                stream,
                epoch,
                spec,
            } => self.add_publisher(handle, stream, epoch, spec),
            Command::AddSubscriber {
                handle,
                stream,
                spec,
            } => self.add_subscriber(handle, stream, spec, now),
            Command::Select { handle, selection } => {
                if let Some(egress) = self.slot(handle).and_then(|slot| self.egress_mut(slot)) {
                    egress.select(selection);
                }
            }
            Command::SetTier { stream, tier } => self.set_tier(stream, tier),
            Command::RequestKeyframe { stream } => {
                if let Some(stream) = self.streams.get_mut(&stream) {
                    stream.wanted = [true; MAX_LAYERS];
                }
            }
            Command::Remove { handle } => self.remove(handle),
            Command::RemoveStream { stream } => {
                self.streams.remove(&stream);
                self.told_layers.remove(&stream);
            }
            // A receiver that has gone away no longer wants the answer.
            Command::Stats { reply } => drop(reply.send(self.snapshot(now))),
            Command::SessionStats { handle, reply } => {
                drop(reply.send(self.session_stats(handle, now)));
            }
            Command::Stop => {}
        }
    }

    /// Take what another worker tells.
    pub fn handle_bus(&mut self, message: Bus, now: Micros) {
        match message {
            Bus::Opened {
                stream,
                epoch,
                shapes,
            } => self.open_stream(stream, epoch, &shapes),
            Bus::Packets(packets) => {
                for (place, packet) in packets.iter() {
                    self.take(*place, Arc::clone(packet), now);
                }
            }
            Bus::Clock(report) => self.set_clock(report),
            Bus::KeyframeWanted { stream, layer } => self.want(stream, layer),
        }
    }

    /// Fill the batch. True means: send it and call again.
    pub fn poll(&mut self, batch: &mut Batch, now: Micros) -> bool {
        self.release_held(now);
        self.run_paced(now);
        if now >= self.next_tick && !self.handles.is_empty() {
            self.tick(now);
        }
        while let Some((path, tos, datagram)) = self.control.front() {
            if !batch.has_room() {
                return true;
            }
            batch.close_message();
            batch.push(*path, *tos, |space| copy_into(space, datagram));
            self.control.pop_front();
        }
        while let Some(job) = self.jobs.front().copied() {
            if self.run_job(job, batch, now) {
                return true;
            }
            self.jobs.pop_front();
        }
        !batch.is_empty()
    }

    /// A batch was sent: `arrived` is when its oldest packet came.
    pub fn on_sent(&mut self, batch: &Batch, refused: u64, now: Micros) {
        if let Some(arrived) = batch.oldest {
            self.stats
                .forward_delay
                .observe_many(now.saturating_sub(arrived), batch.messages().len() as u64);
        }
        self.stats.send_dropped += refused;
    }

    // Input

    fn on_stun(&mut self, path: Path, datagram: &[u8], now: Micros) -> Result<(), Drop> {
        let stun::Message::BindingRequest(request) = stun::parse(datagram)? else {
            return Ok(());
        };
        if request.unknown {
            return Err(Drop::Malformed);
        }
        let slot = *self
            .users
            .get(request.local_ufrag)
            .ok_or(Drop::UnknownUser)?;
        let session = self.session_mut(slot).ok_or(Drop::UnknownUser)?;
        let handle = session.handle;
        let (password, validated) = session.on_binding_request(&request, datagram, path, now)?;
        let mut answer = Vec::with_capacity(96);
        if request.controlled.is_some() {
            // An ICE-lite agent is always controlled (RFC 8445, section 6.1.1).
            stun::write_role_conflict(&mut answer, &request.transaction, &password);
        } else if let Path::Udp(address) = path {
            stun::write_binding_success(&mut answer, &request.transaction, address, &password);
        } else {
            // The reflexive address of a TCP peer says nothing that it does not know.
            let address = std::net::SocketAddr::from(([0, 0, 0, 0], 0));
            stun::write_binding_success(&mut answer, &request.transaction, address, &password);
        }
        self.send_control(path, Tos::Default, answer);
        if let Some(old) = validated.evicted {
            self.paths.remove(&old);
        }
        if validated.new_path {
            self.paths.insert(path, slot);
        }
        if validated.selected {
            self.events.push(Event::PathSelected { handle, path });
        }
        Ok(())
    }

    fn on_dtls(&mut self, path: Path, datagram: &[u8]) -> Result<(), Drop> {
        let slot = *self.paths.get(&path).ok_or(Drop::UnknownSource)?;
        let session = self.session_mut(slot).ok_or(Drop::UnknownSource)?;
        let handle = session.handle;
        self.events.push(Event::Dtls {
            handle,
            datagram: datagram.to_vec(),
        });
        Ok(())
    }

    fn on_srtp(&mut self, path: Path, datagram: &mut [u8], now: Micros) -> Result<(), Drop> {
        let slot = *self.paths.get(&path).ok_or(Drop::UnknownSource)?;
        // RFC 5761, section 4: payload types 64 to 95 with the marker bit are RTCP.
        match datagram.get(1) {
            Some(kind) if (192..=223).contains(kind) => self.on_srtcp(slot, datagram, now),
            Some(_) => self.on_rtp(slot, datagram, now),
            None => Err(Drop::Malformed),
        }
    }

    fn on_rtp(&mut self, slot: u32, datagram: &mut [u8], now: Micros) -> Result<(), Drop> {
        let header = Header::parse(datagram)?;
        let session = self.session_mut(slot).ok_or(Drop::UnknownSource)?;
        let inbound = session.inbound.as_mut().ok_or(Drop::NotAuthentic)?;
        let (end, _) = inbound.unprotect_rtp(datagram, header.len, header.ssrc, header.sequence)?;
        session.alive = now;
        let handle = session.handle;
        let Role::Publisher(ingest) = &mut session.role else {
            return Err(Drop::UnknownTrack);
        };
        let taken = ingest.on_rtp(&header, datagram, end, now)?;
        if !ingest.announced {
            ingest.announced = true;
            let stream = ingest.stream;
            self.events.push(Event::Publishing { stream, handle });
        }
        if let Some((place, packet)) = taken {
            if self.has_peers {
                self.outgoing.push((place, Arc::clone(&packet)));
            }
            self.take(place, packet, now);
        }
        Ok(())
    }

    fn on_srtcp(&mut self, slot: u32, datagram: &mut [u8], now: Micros) -> Result<(), Drop> {
        let session = self.session_mut(slot).ok_or(Drop::UnknownSource)?;
        let inbound = session.inbound.as_mut().ok_or(Drop::NotAuthentic)?;
        let end = inbound.unprotect_rtcp(datagram)?;
        session.alive = now;
        let compound = datagram.get(..end).ok_or(Drop::Malformed)?;
        match &mut session.role {
            Role::Publisher(ingest) => {
                let mut clocks = Vec::new();
                ingest.on_rtcp(compound, now, &mut clocks)?;
                for report in clocks {
                    self.set_clock(report);
                    if self.has_peers {
                        self.bus.push(Bus::Clock(report));
                    }
                }
                Ok(())
            }
            Role::Subscriber(_) => self.on_player_rtcp(slot, compound, now),
            Role::Idle => Ok(()),
        }
    }

    fn on_player_rtcp(&mut self, slot: u32, compound: &[u8], now: Micros) -> Result<(), Drop> {
        for packet in rtcp::packets(compound) {
            match packet? {
                rtcp::Packet::ReceiverReport { reports, .. }
                | rtcp::Packet::SenderReport { reports, .. } => {
                    for report in reports {
                        self.on_player_report(slot, &report, now);
                    }
                }
                rtcp::Packet::Nack { media, lost, .. } => self.on_nack(slot, media, lost, now),
                rtcp::Packet::Pli { media, .. } => self.on_picture_lost(slot, media),
                rtcp::Packet::Fir { entries, .. } => {
                    for (media, _) in entries {
                        self.on_picture_lost(slot, media);
                    }
                }
                rtcp::Packet::Remb { bitrate_bps, .. } => {
                    if let Some(egress) = self.egress_mut(slot) {
                        egress.on_remb(bitrate_bps, now);
                    }
                }
                rtcp::Packet::TransportFeedback { fci, .. } => {
                    if let Some(egress) = self.egress_mut(slot) {
                        egress.on_transport_feedback(fci, now)?;
                    }
                }
                _ => {}
            }
        }
        Ok(())
    }

    fn on_player_report(&mut self, slot: u32, report: &rtcp::ReportBlock, now: Micros) {
        let ntp_epoch = self.ntp_epoch;
        let Some(egress) = self.egress_mut(slot) else {
            return;
        };
        egress.on_report(report, now, ntp_epoch);
        if let Some(rtt) = egress.rtt_us {
            self.stats.media_rtt.observe(rtt);
        }
    }

    fn on_nack(&mut self, slot: u32, media: Ssrc, lost: rtcp::NackList<'_>, now: Micros) {
        let Some(egress) = self.egress_mut(slot) else {
            return;
        };
        let asked = egress.on_nack(media, lost, now);
        self.stats.nacks_received += asked;
        if asked > 0 {
            self.schedule_one(slot);
        }
    }

    fn on_picture_lost(&mut self, slot: u32, media: Ssrc) {
        self.stats.keyframe_requests_received += 1;
        let Some(egress) = self.egress_mut(slot) else {
            return;
        };
        let stream = egress.stream;
        if let Some(layer) = egress.on_picture_lost(media) {
            self.want(stream, layer);
        }
    }

    // Commands

    fn open_session(&mut self, handle: u64, ice: Ice, now: Micros) {
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

    fn restart_ice(&mut self, handle: u64, ice: Ice) {
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

    fn send(&mut self, handle: u64, datagram: Vec<u8>) {
        let path = self
            .slot(handle)
            .and_then(|slot| self.session_mut(slot))
            .and_then(|session| session.path);
        if let Some(path) = path {
            self.send_control(path, Tos::Default, datagram);
        }
    }

    fn set_keys(&mut self, handle: u64, profile: Profile, local: &[u8], remote: &[u8]) {
        let Some(session) = self.slot(handle).and_then(|slot| self.session_mut(slot)) else {
            return;
        };
        session.outbound = Outbound::new(profile, local);
        session.inbound = Inbound::new(profile, remote);
        if let Some(slot) = self.slot(handle) {
            self.schedule_one(slot);
        }
    }

    fn add_publisher(&mut self, handle: u64, number: u32, epoch: u32, spec: PublisherSpec) {
        let Some(slot) = self.slot(handle) else {
            return;
        };
        let sender = Ssrc(handle as u32 ^ 0x5eed_0001);
        let Some(ingest) = Ingest::new(number, epoch, spec, sender) else {
            return; // Python negotiates only codecs that are known here
        };
        let shapes: Arc<[TrackShape]> = ingest.shapes().into();
        self.open_stream(number, epoch, &shapes);
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

    fn add_subscriber(&mut self, handle: u64, number: u32, spec: SubscriberSpec, now: Micros) {
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

    fn set_tier(&mut self, number: Option<u32>, tier: u8) {
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

    fn remove(&mut self, handle: u64) {
        let Some(slot) = self.handles.remove(&handle) else {
            return;
        };
        let taken = self.sessions.get_mut(slot as usize).and_then(Option::take);
        let Some(session) = taken else {
            return;
        };
        self.free.push(slot);
        self.stats.sessions -= 1;
        for path in &session.paths {
            self.paths.remove(path);
        }
        for ice in &session.ice {
            self.users.remove(&ice.local_ufrag);
        }
        match session.role {
            Role::Subscriber(mut egress) => {
                if let Some(stream) = self.streams.get_mut(&egress.stream) {
                    stream.subscribers.retain(|other| *other != slot);
                    count(&mut self.stats, stream, &mut egress);
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

    // Streams

    fn open_stream(&mut self, number: u32, epoch: u32, shapes: &[TrackShape]) {
        let tier = self.tier;
        let ring_packets = self.config.ring_packets;
        let stream = self
            .streams
            .entry(number)
            .or_insert_with(|| Stream::new(number, tier));
        if epoch <= stream.epoch {
            return; // a late message of an older publication
        }
        stream.open(epoch, shapes, ring_packets);
        let former = stream.home.take();
        let subscribers = stream.subscribers.clone();
        if let Some(session) = former.and_then(|slot| self.session_mut(slot)) {
            session.role = Role::Idle; // silenced at once
        }
        for slot in subscribers {
            if let Some(egress) = self.egress_mut(slot) {
                egress.next_choice = 0;
            }
        }
    }

    fn take(&mut self, place: Place, packet: Arc<Packet>, now: Micros) {
        let Some(stream) = self.streams.get_mut(&place.stream) else {
            return;
        };
        let complete = packet.marker || place.kind == Kind::Audio;
        let key = packet.info.key && place.kind == Kind::Video;
        if !stream.take(place, packet) {
            return;
        }
        if stream.subscribers.is_empty() {
            if let Some(layer) = stream.layer_mut(place) {
                layer.late.clear();
            }
            return;
        }
        if key {
            self.next_tick = self.next_tick.min(now); // somebody may wait for it
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

    fn schedule(&mut self, stream: u32) {
        if !self.jobs.iter().any(|job| job.stream == stream) {
            self.jobs.push_back(Job { stream, served: 0 });
        }
    }

    /// Serve one subscriber on its own.
    fn schedule_one(&mut self, slot: u32) {
        self.jobs.push_back(Job {
            stream: ONE_SUBSCRIBER,
            served: slot as usize,
        });
    }

    fn set_clock(&mut self, report: ClockReport) {
        if let Some(stream) = self.streams.get_mut(&report.place.stream)
            && let Some(layer) = stream.layer_mut(report.place)
        {
            layer.clock.on_report(report.timestamp, report.at);
        }
    }

    fn want(&mut self, stream: u32, layer: u8) {
        if let Some(stream) = self.streams.get_mut(&stream)
            && let Some(wanted) = stream.wanted.get_mut(usize::from(layer))
        {
            *wanted = true;
            self.next_tick = 0;
        }
    }

    // Output

    fn release_held(&mut self, now: Micros) {
        let hold = self.config.hold_us;
        let mut position = 0;
        while let Some((stream, since)) = self.held.get(position).copied() {
            if since + hold <= now {
                self.held.swap_remove(position);
                self.schedule(stream);
            } else {
                position += 1;
            }
        }
    }

    /// Subscribers whose pause is over are served by a fan-out of their own stream: those who are
    /// up to date cost it one comparison.
    fn run_paced(&mut self, now: Micros) {
        let mut position = 0;
        while let Some(slot) = self.paced.get(position).copied() {
            let due = self.egress(slot).and_then(|egress| egress.paced);
            match due {
                Some(due) if due > now => position += 1,
                Some(_) => {
                    self.paced.swap_remove(position);
                    self.schedule_one(slot);
                }
                None => {
                    self.paced.swap_remove(position);
                }
            }
        }
    }

    /// True when the batch is full and the job not done.
    fn run_job(&mut self, mut job: Job, batch: &mut Batch, now: Micros) -> bool {
        if job.stream == ONE_SUBSCRIBER {
            return self.pump(job.served as u32, batch, now);
        }
        loop {
            let Some(stream) = self.streams.get(&job.stream) else {
                return false;
            };
            let count = stream.subscribers.len();
            if job.served >= count {
                self.finish_job(job.stream);
                return false;
            }
            let position = (stream.rotation + job.served) % count;
            let Some(slot) = stream.subscribers.get(position).copied() else {
                return false;
            };
            if self.pump(slot, batch, now) {
                if let Some(front) = self.jobs.front_mut() {
                    *front = job;
                }
                return true;
            }
            job.served += 1;
        }
    }

    fn finish_job(&mut self, number: u32) {
        let Some(stream) = self.streams.get_mut(&number) else {
            return;
        };
        stream.rotation = stream.rotation.wrapping_add(1);
        let tracks = [stream.audio.as_mut(), stream.video.as_mut()];
        for layer in tracks.into_iter().flatten().flat_map(|track| &mut track.layers) {
            layer.late.clear();
        }
    }

    /// True when the batch is full.
    fn pump(&mut self, slot: u32, batch: &mut Batch, now: Micros) -> bool {
        let ntp_epoch = self.ntp_epoch;
        let Some(session) = self
            .sessions
            .get_mut(slot as usize)
            .and_then(Option::as_deref_mut)
        else {
            return false;
        };
        let streams = &mut self.streams;
        let (Role::Subscriber(egress), Some(outbound), Some(path)) =
            (&mut session.role, &mut session.outbound, session.path)
        else {
            return false;
        };
        let Some(stream) = streams.get_mut(&egress.stream) else {
            return false;
        };
        let mut sending = Sending {
            batch,
            outbound,
            path,
            now,
            ntp_epoch,
        };
        if stream.has_late() {
            if !sending.batch.is_empty() {
                return true;
            }
            egress.pump_late(stream, &mut sending);
        }
        let first = !egress.started;
        let pump = egress.pump(stream, &mut sending);
        let handle = session.handle;
        if first && egress.started {
            let after = now.saturating_sub(egress.joined);
            self.events.push(Event::FirstFrame { handle, after });
        }
        if egress.layer().is_some() && egress.layer() != egress.told_layer {
            egress.told_layer = egress.layer();
            let rid = egress
                .layer()
                .and_then(|source| {
                    let layers = &stream.video.as_ref()?.layers;
                    layers.get(usize::from(source.layer))
                })
                .map_or_else(String::new, |layer| layer.rid.clone());
            self.events.push(Event::LayerSwitched { handle, rid });
        }
        count(&mut self.stats, stream, egress);
        if egress.paced.is_some() && !self.paced.contains(&slot) {
            self.paced.push(slot);
        }
        pump == Pump::Full
    }

    fn send_control(&mut self, path: Path, tos: Tos, datagram: Vec<u8>) {
        if self.control.len() == MAX_CONTROL {
            self.control.pop_front();
            self.stats.send_dropped += 1;
        }
        self.control.push_back((path, tos, datagram));
    }

    // Time

    fn tick(&mut self, now: Micros) {
        self.next_tick = now + TICK_US;
        let slow = now >= self.next_slow_tick;
        if slow {
            self.next_slow_tick = now + SLOW_TICK_US;
            for stream in self.streams.values_mut() {
                stream.tick(now);
            }
        }
        for slot in 0..self.sessions.len() as u32 {
            self.tick_session(slot, slow, now);
        }
        self.request_keyframes(now);
        if slow {
            self.tell_layers(now);
        }
    }

    fn tick_session(&mut self, slot: u32, slow: bool, now: Micros) {
        let consent = (self.config.consent_timeout_s * 1e6) as Micros;
        let Some(session) = self.session_mut(slot) else {
            return;
        };
        if slow && !session.lapsed && now.saturating_sub(session.alive) > consent {
            session.lapsed = true;
            let handle = session.handle;
            self.stats.consent_lapsed += 1;
            self.events.push(Event::ConsentLapsed { handle });
            return;
        }
        match &session.role {
            Role::Publisher(_) => self.tick_publisher(slot, slow, now),
            Role::Subscriber(egress) => {
                if egress.next_choice <= now {
                    self.choose(slot, now);
                }
                if self.egress(slot).is_some_and(|egress| egress.next_report <= now) {
                    self.report(slot, now);
                }
            }
            Role::Idle => {}
        }
    }

    fn tick_publisher(&mut self, slot: u32, slow: bool, now: Micros) {
        let idle = (self.config.idle_timeout_s * 1e6) as Micros;
        let mut compound = Vec::new();
        let Some(session) = self.session_mut(slot) else {
            return;
        };
        let handle = session.handle;
        let Role::Publisher(ingest) = &mut session.role else {
            return;
        };
        let number = ingest.stream;
        let due = ingest.deadline().is_some_and(|due| due <= now);
        if due {
            ingest.feedback(now, &mut compound);
        }
        let broken = ingest.expire(now);
        let (asked, lost) = ingest.take_losses();
        let silent = slow && ingest.last_media.is_some_and(|last| now.saturating_sub(last) > idle);
        if silent {
            ingest.last_media = None;
            ingest.announced = false;
        }
        self.stats.packets_lost += lost;
        self.stats.nacks_sent += asked;
        if silent {
            self.events.push(Event::Idle {
                stream: number,
                handle,
            });
        }
        for (layer, _) in broken.iter().enumerate().filter(|(_, broken)| **broken) {
            self.want(number, layer as u8);
            if let Some(stream) = self.streams.get_mut(&number) {
                stream.dropped.ingest += 1;
            }
        }
        self.send_rtcp(slot, compound);
    }

    fn choose(&mut self, slot: u32, now: Micros) {
        let Some((session, streams)) = self.split(slot) else {
            return;
        };
        let Role::Subscriber(egress) = &mut session.role else {
            return;
        };
        let number = egress.stream;
        let Some(stream) = streams.get(&number) else {
            egress.next_choice = now + crate::subscriber::CHOICE_US;
            return;
        };
        egress.choose(stream, now);
        let wanted = egress.wanted_layer();
        let waiting = egress.paced.is_some();
        if let Some(layer) = wanted {
            let ready = egress.can_switch(stream);
            if ready {
                self.schedule_one(slot);
            } else if let Some(stream) = self.streams.get_mut(&number)
                && let Some(wanted) = stream.wanted.get_mut(usize::from(layer))
            {
                *wanted = true;
            }
        }
        if waiting && !self.paced.contains(&slot) {
            self.paced.push(slot);
        }
    }

    fn report(&mut self, slot: u32, now: Micros) {
        let ntp_epoch = self.ntp_epoch;
        let Some((session, streams)) = self.split(slot) else {
            return;
        };
        let Role::Subscriber(egress) = &mut session.role else {
            return;
        };
        let Some(stream) = streams.get(&egress.stream) else {
            return;
        };
        for compound in egress.reports(stream, now, ntp_epoch) {
            self.send_rtcp(slot, compound);
        }
    }

    fn request_keyframes(&mut self, now: Micros) {
        let pause = self.config.keyframe_request_interval_ms * 1_000;
        let wanted: Vec<(u32, Option<u32>, u8)> = self
            .streams
            .values_mut()
            .flat_map(|stream| {
                let (number, home) = (stream.number, stream.home);
                let wanted = std::mem::take(&mut stream.wanted);
                (0..MAX_LAYERS as u8)
                    .filter(move |layer| wanted.get(usize::from(*layer)) == Some(&true))
                    .map(move |layer| (number, home, layer))
            })
            .collect();
        for (stream, home, layer) in wanted {
            let Some(slot) = home else {
                if self.has_peers {
                    self.bus.push(Bus::KeyframeWanted { stream, layer });
                }
                continue;
            };
            let mut compound = Vec::new();
            if let Some(session) = self.session_mut(slot)
                && let Role::Publisher(ingest) = &mut session.role
                && ingest.request_keyframe(layer, pause, now, &mut compound)
            {
                self.stats.keyframe_requests += 1;
                self.send_rtcp(slot, compound);
            }
        }
    }

    fn send_rtcp(&mut self, slot: u32, mut compound: Vec<u8>) {
        if compound.is_empty() {
            return;
        }
        let Some(session) = self.session_mut(slot) else {
            return;
        };
        let (Some(outbound), Some(path)) = (&mut session.outbound, session.path) else {
            return;
        };
        outbound.protect_rtcp(&mut compound);
        self.send_control(path, Tos::Video, compound);
    }

    fn tell_layers(&mut self, now: Micros) {
        let homes: Vec<u32> = self
            .streams
            .values()
            .filter(|stream| stream.home.is_some())
            .map(|stream| stream.number)
            .collect();
        for number in homes {
            let layers = self.layers(number, now);
            let shape: Vec<_> = layers
                .iter()
                .map(|l| (l.rid.clone(), l.rank, l.width, l.height, l.active, l.fmtp.clone()))
                .collect();
            if self.told_layers.get(&number) != Some(&shape) {
                self.told_layers.insert(number, shape);
                let stream = number;
                self.events.push(Event::Layers { stream, layers });
            }
        }
    }

    // Views

    fn layers(&self, number: u32, now: Micros) -> Vec<LayerStats> {
        let Some(stream) = self.streams.get(&number) else {
            return Vec::new();
        };
        let ingest = stream.home.and_then(|slot| match &self.session(slot)?.role {
            Role::Publisher(ingest) => Some(ingest),
            _ => None,
        });
        let describe = |kind: &'static str, track: &Track| -> Vec<LayerStats> {
            let layers = track.layers.iter().enumerate();
            layers
                .map(|(index, layer)| {
                    let (width, height) = layer.dimensions.unwrap_or((0, 0));
                    let video = track.kind == Kind::Video;
                    LayerStats {
                        kind,
                        rid: layer.rid.clone(),
                        rank: layer.rank,
                        width,
                        height,
                        bitrate_bps: layer.meter.bitrate_bps,
                        fps: layer.meter.fps,
                        active: layer.is_active(now),
                        fmtp: ingest
                            .filter(|_| video)
                            .and_then(|ingest| ingest.profile(index)),
                    }
                })
                .collect()
        };
        let mut layers = Vec::new();
        if let Some(track) = &stream.video {
            layers.extend(describe("video", track));
        }
        if let Some(track) = &stream.audio {
            layers.extend(describe("audio", track));
        }
        layers
    }

    fn snapshot(&self, now: Micros) -> Snapshot {
        let streams = self.streams.values().map(|stream| StreamStats {
            stream: stream.number,
            tier: stream.tier,
            home: stream.home.is_some(),
            subscribers: stream.subscribers.len() as u64,
            frames_sent: stream.frames_sent,
            frames_dropped: stream.dropped,
            layers: self.layers(stream.number, now),
        });
        Snapshot {
            worker: self.stats.named(),
            streams: streams.collect(),
        }
    }

    fn session_stats(&self, handle: u64, now: Micros) -> Option<SessionStats> {
        let session = self.session(*self.handles.get(&handle)?)?;
        let (role, egress) = match &session.role {
            Role::Idle => ("idle", None),
            Role::Publisher(_) => ("publisher", None),
            Role::Subscriber(egress) => ("subscriber", Some(egress)),
        };
        let layer = egress.and_then(|egress| {
            let source = egress.layer()?;
            let track = self.streams.get(&egress.stream)?.video.as_ref()?;
            Some(track.layers.get(usize::from(source.layer))?.rid.clone())
        });
        Some(SessionStats {
            role,
            path: session.path.map(|path| match path {
                Path::Udp(address) => address.to_string(),
                Path::Tcp(number) => format!("tcp#{number}"),
            }),
            transport: session.path.map(|path| match path {
                Path::Udp(_) => "udp",
                Path::Tcp(_) => "tcp",
            }),
            rtt_us: egress.and_then(|egress| egress.rtt_us),
            estimate_bps: egress.map(|egress| egress.quality().0),
            loss_ratio: egress.map(|egress| egress.quality().1),
            layer,
            alive_us_ago: now.saturating_sub(session.alive),
        })
    }

    // Access

    fn slot(&self, handle: u64) -> Option<u32> {
        self.handles.get(&handle).copied()
    }

    fn session(&self, slot: u32) -> Option<&Session> {
        self.sessions.get(slot as usize)?.as_deref()
    }

    fn session_mut(&mut self, slot: u32) -> Option<&mut Session> {
        self.sessions.get_mut(slot as usize)?.as_deref_mut()
    }

    fn egress(&self, slot: u32) -> Option<&Egress> {
        match &self.session(slot)?.role {
            Role::Subscriber(egress) => Some(egress),
            _ => None,
        }
    }

    fn egress_mut(&mut self, slot: u32) -> Option<&mut Egress> {
        match &mut self.session_mut(slot)?.role {
            Role::Subscriber(egress) => Some(egress),
            _ => None,
        }
    }

    /// A session beside the streams, so that one can be sent to the other.
    fn split(&mut self, slot: u32) -> Option<(&mut Session, &mut HashMap<u32, Stream>)> {
        let session = self.sessions.get_mut(slot as usize)?.as_deref_mut()?;
        Some((session, &mut self.streams))
    }
}

fn count(stats: &mut WorkerStats, stream: &mut Stream, egress: &mut Egress) {
    let counts = std::mem::take(&mut egress.counts);
    stats.packets_sent += counts.packets;
    stats.bytes_sent += counts.bytes;
    stats.packets_retransmitted += counts.retransmitted;
    stream.frames_sent += counts.frames;
    let FrameDrops {
        congestion, tier, ..
    } = &mut stream.dropped;
    *congestion += counts.dropped_congestion;
    *tier += counts.dropped_tier;
}

fn copy_into(space: &mut [u8], datagram: &[u8]) -> usize {
    match space.get_mut(..datagram.len()) {
        Some(target) => {
            target.copy_from_slice(datagram);
            datagram.len()
        }
        None => 0,
    }
}
