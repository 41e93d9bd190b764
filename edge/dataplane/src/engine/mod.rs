//! One worker's whole thinking: datagrams, commands and time in; datagrams and events out.
//!
//! The shell (`io`) gives inputs, then calls `poll` until it returns false, sending the batch each
//! time; only then comes the next input. So a fan-out is never overtaken by the packets that would
//! extend it, and the memory of what waits to be sent is one batch.

mod commands;
mod input;
mod output;
mod streams;
mod timing;
mod views;

use crate::error::Drop;
use crate::publisher::ClockReport;
use crate::ring::Packet;
use crate::session::{Role, Session};
use crate::spec::{Config, Ice, PublisherSpec, Selection, SubscriberSpec};
use crate::srtp::Profile;
use crate::stats::{LayerStats, SessionStats, Snapshot, WorkerStats};
use crate::stream::{FrameDrops, MAX_LAYERS, Place, Stream, TrackShape};
use crate::subscriber::Egress;
use crate::transmit::{Batch, Path, Tos};
use crate::types::Micros;
use std::collections::{HashMap, VecDeque};
use std::hash::{BuildHasherDefault, Hasher};
use std::sync::Arc;
use std::sync::mpsc::Sender;

/// Interval of the duties that no packet triggers.
const TICK_US: Micros = 10_000;
/// Interval at which workers are told again what they may have missed: the bus is lossy.
const REPEAT_US: Micros = 1_000_000;
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
    OpenSession {
        handle: u64,
        ice: Ice,
    },
    RestartIce {
        handle: u64,
        ice: Ice,
    },
    Send {
        handle: u64,
        datagram: Vec<u8>,
    },
    SetKeys {
        handle: u64,
        profile: Profile,
        local: Vec<u8>,
        remote: Vec<u8>,
    },
    AddPublisher {
        handle: u64,
        stream: u32,
        epoch: u32,
        spec: PublisherSpec,
    },
    AddSubscriber {
        handle: u64,
        stream: u32,
        spec: SubscriberSpec,
    },
    Select {
        handle: u64,
        selection: Selection,
    },
    SetTier {
        stream: Option<u32>,
        tier: u8,
    },
    RequestKeyframe {
        stream: u32,
    },
    Remove {
        handle: u64,
    },
    RemoveStream {
        stream: u32,
    },
    Stats {
        reply: Sender<Snapshot>,
    },
    SessionStats {
        handle: u64,
        reply: Sender<Option<SessionStats>>,
    },
    Stop,
}

/// What Python is told.
#[derive(Debug)]
#[allow(missing_docs)]
pub enum Event {
    PathSelected {
        handle: u64,
        path: Path,
    },
    Dtls {
        handle: u64,
        datagram: Vec<u8>,
    },
    ConsentLapsed {
        handle: u64,
    },
    Publishing {
        stream: u32,
        handle: u64,
    },
    Idle {
        stream: u32,
        handle: u64,
    },
    Layers {
        stream: u32,
        layers: Vec<LayerStats>,
    },
    FirstFrame {
        handle: u64,
        after: Micros,
    },
    LayerSwitched {
        handle: u64,
        rid: String,
    },
    Stopped {
        worker: u16,
        reason: String,
    },
}

/// What workers tell one another. A worker that is too slow to take it loses packets.
#[derive(Clone, Debug)]
#[allow(missing_docs)]
pub enum Bus {
    Opened {
        stream: u32,
        epoch: u32,
        shapes: Arc<[TrackShape]>,
    },
    Packets(Arc<[(Place, Arc<Packet>)]>),
    Clock(ClockReport),
    KeyframeWanted {
        stream: u32,
        layer: u8,
    },
    Deaf {
        stream: u32,
        deaf: bool,
    },
}

/// What is told of a layer when it changes: RID, rank, width, height, activity, parameters,
/// B-frames.
type LayerShape = (String, u8, u16, u16, bool, Option<String>, bool);

/// Streams by number. Python gives the numbers, one after another: they need no hashing that
/// withstands an enemy, and a fan-out looks one up per player.
type Streams = HashMap<u32, Stream, BuildHasherDefault<NumberHasher>>;

/// Spreads consecutive numbers (Knuth's multiplicative hashing).
#[derive(Debug, Default)]
struct NumberHasher(u64);

impl Hasher for NumberHasher {
    fn finish(&self) -> u64 {
        self.0
    }

    fn write(&mut self, bytes: &[u8]) {
        for byte in bytes {
            self.write_u32(u32::from(*byte));
        }
    }

    fn write_u32(&mut self, number: u32) {
        self.0 = (self.0 ^ u64::from(number)).wrapping_mul(0x9e37_79b9_7f4a_7c15);
    }
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
    streams: Streams,
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
    /// When workers are told again what they may have missed.
    next_repeat: Micros,
    /// Counters.
    pub stats: WorkerStats,
    /// Last told shape of each stream's layers.
    told_layers: HashMap<u32, Vec<LayerShape>>,
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
            streams: Streams::default(),
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
            next_repeat: 0,
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
        let held = self
            .held
            .iter()
            .map(|(_, since)| since + self.config.hold_us);
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
            session.lose_path(path);
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
            } => {
                self.open_stream(stream, epoch, &shapes);
            }
            Bus::Packets(packets) => {
                for (place, packet) in packets.iter() {
                    self.take(*place, Arc::clone(packet), now);
                }
            }
            Bus::Clock(report) => self.set_clock(report),
            Bus::KeyframeWanted { stream, layer } => {
                // Only the home asks; workers without it would send the wish round and round.
                if self
                    .streams
                    .get(&stream)
                    .is_some_and(|stream| stream.home.is_some())
                {
                    self.want(stream, layer);
                }
            }
            Bus::Deaf { stream, deaf } => {
                if let Some(stream) = self.streams.get_mut(&stream) {
                    stream.deaf = deaf;
                }
            }
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
    fn split(&mut self, slot: u32) -> Option<(&mut Session, &mut Streams)> {
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
