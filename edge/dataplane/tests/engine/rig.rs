//! Engines, a scripted studio and scripted players, joined by a network in virtual time.

use crate::net::{Link, MS, S};
use crate::player::Player;
use crate::studio::Studio;
use dataplane::engine::{Command, Engine, Event};
use dataplane::spec::{Config, Ice};
use dataplane::srtp::Profile;
use dataplane::stats::{SessionStats, Snapshot};
use dataplane::transmit::{Batch, Path, Tos};
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::mpsc::channel;

pub const STREAM: u32 = 7;
pub const NTP_EPOCH: u64 = 3_900_000_000 << 32;
pub const PROFILE: Profile = Profile::AeadAes128Gcm;

pub fn config() -> Config {
    Config {
        bind: "127.0.0.1".into(),
        port: 0,
        workers: 1,
        tcp: true,
        receive_buffer_bytes: 0,
        send_buffer_bytes: 0,
        consent_timeout_s: 25.0,
        idle_timeout_s: 2.0,
        ring_packets: 2_048,
        hold_us: 1_000,
        keyframe_request_interval_ms: 500,
        max_sessions: 1_000,
        dscp: true,
        gso: true,
        min_bitrate_bps: 100_000,
        max_bitrate_bps: 20_000_000,
        start_bitrate_bps: 1_500_000,
        pin_cpus: Vec::new(),
    }
}

/// Where a peer is, and the two directions between it and the edge.
pub struct Peer {
    pub path: Path,
    pub worker: usize,
    pub handle: u64,
    pub ice: Ice,
    pub up: Link,
    pub down: Link,
}

impl Peer {
    pub fn new(handle: u64, worker: usize) -> Self {
        let address = SocketAddr::from(([10, 0, (handle >> 8) as u8, handle as u8], 40_000));
        Peer {
            path: Path::Udp(address),
            worker,
            handle,
            ice: ice(handle, 0),
            up: Link::new(2 * handle),
            down: Link::new(2 * handle + 1),
        }
    }

    pub fn user(&self) -> String {
        format!("{}:{}", self.ice.local_ufrag, self.ice.remote_ufrag)
    }

    /// Key and salt: `toward` is what the peer encrypts with.
    pub fn keying(&self, toward: bool) -> Vec<u8> {
        (0..28u8)
            .map(|byte| byte ^ self.handle as u8 ^ if toward { 0x80 } else { 0 })
            .collect()
    }
}

pub fn ice(handle: u64, generation: u32) -> Ice {
    Ice {
        local_ufrag: format!("edge{handle}g{generation}"),
        local_pwd: format!("password-of-the-edge-{handle}-{generation}"),
        remote_ufrag: format!("peer{handle}"),
        remote_pwd: "unused-by-an-agent-that-asks-nothing".into(),
    }
}

/// Everything, and the time.
pub struct Rig {
    pub now: u64,
    pub engines: Vec<Engine>,
    pub studios: Vec<Studio>,
    pub players: Vec<Player>,
    pub events: Vec<Event>,
    /// Datagrams to nobody.
    pub strays: Vec<(Path, Vec<u8>)>,
    /// Order of destinations of media, as sent.
    pub order: Vec<Path>,
    pub batch: Batch,
    /// Traffic class of every datagram sent.
    pub classes: Vec<(Path, Tos)>,
    pub next_handle: u64,
}

impl Rig {
    pub fn new() -> Self {
        Rig::with(config(), 1)
    }

    pub fn with(config: Config, workers: usize) -> Self {
        let config = Arc::new(config);
        let engine = |_| Engine::new(Arc::clone(&config), NTP_EPOCH, workers > 1);
        Rig {
            now: S,
            engines: (0..workers).map(engine).collect(),
            studios: Vec::new(),
            players: Vec::new(),
            events: Vec::new(),
            strays: Vec::new(),
            order: Vec::new(),
            batch: Batch::default(),
            classes: Vec::new(),
            next_handle: 1,
        }
    }

    pub fn command(&mut self, worker: usize, command: Command) {
        self.engines[worker].handle_command(command, self.now);
    }

    /// Open a session, check in by STUN, set keys.
    pub fn connect(&mut self, worker: usize) -> Peer {
        let peer = Peer::new(self.next_handle, worker);
        self.next_handle += 1;
        self.connect_as(&peer);
        peer
    }

    pub fn connect_as(&mut self, peer: &Peer) {
        let (handle, ice) = (peer.handle, peer.ice.clone());
        self.command(peer.worker, Command::OpenSession { handle, ice });
        let mut request = crate::net::binding_request(&peer.user(), &peer.ice.local_pwd, true);
        self.engines[peer.worker].handle_datagram(peer.path, &mut request, self.now);
        let keys = Command::SetKeys {
            handle,
            profile: PROFILE,
            local: peer.keying(false),
            remote: peer.keying(true),
        };
        self.command(peer.worker, keys);
    }

    pub fn input(&mut self, worker: usize, path: Path, mut datagram: Vec<u8>) {
        self.engines[worker].handle_datagram(path, &mut datagram, self.now);
    }

    /// One millisecond.
    pub fn step(&mut self) {
        self.now += MS;
        self.settle();
        for studio in &mut self.studios {
            studio.step(self.now);
        }
        for player in &mut self.players {
            player.step(self.now);
        }
        self.settle();
    }

    /// Deliver what is due and let the engines say all they have to say, at this moment.
    pub fn settle(&mut self) {
        self.deliver_up();
        for worker in 0..self.engines.len() {
            self.flush(worker);
        }
        self.carry_bus();
        for worker in 0..self.engines.len() {
            self.flush(worker);
            let deadline = self.engines[worker].deadline();
            assert!(
                deadline.is_none_or(|due| due > self.now),
                "a deadline of the past would spin: {deadline:?} at {}",
                self.now
            );
        }
        self.deliver_down();
    }

    pub fn run(&mut self, duration: u64) {
        let end = self.now + duration;
        while self.now < end {
            self.step();
        }
    }

    /// Run until it holds; panics after `limit`.
    pub fn run_until(&mut self, limit: u64, mut holds: impl FnMut(&mut Rig) -> bool) -> u64 {
        let start = self.now;
        while !holds(self) {
            assert!(self.now < start + limit, "not within {limit} us");
            self.step();
        }
        self.now - start
    }

    pub fn flush(&mut self, worker: usize) {
        for _ in 0..100_000 {
            let more = self.poll_once(worker);
            if !more {
                return;
            }
        }
        panic!("poll never ends");
    }

    /// One batch.
    pub fn poll_once(&mut self, worker: usize) -> bool {
        let mut batch = std::mem::take(&mut self.batch);
        let more = self.engines[worker].poll(&mut batch, self.now);
        for message in batch.messages() {
            for datagram in batch.datagrams(message) {
                self.classes.push((message.path, message.tos));
                self.route(message.path, datagram.to_vec());
            }
        }
        if !batch.is_empty() {
            self.engines[worker].on_sent(&batch, 0, self.now);
            batch.clear();
        }
        self.batch = batch;
        let events = self.engines[worker].take_events();
        self.events.extend(events);
        more
    }

    pub fn stats(&mut self, worker: usize) -> Snapshot {
        let (reply, answer) = channel();
        self.command(worker, Command::Stats { reply });
        answer.recv().expect("answered at once")
    }

    pub fn session_stats(&mut self, worker: usize, handle: u64) -> Option<SessionStats> {
        let (reply, answer) = channel();
        self.command(worker, Command::SessionStats { handle, reply });
        answer.recv().expect("answered at once")
    }

    pub fn drops(&mut self, code: &str) -> u64 {
        self.stats(0).worker.drops[code]
    }

    fn route(&mut self, path: Path, datagram: Vec<u8>) {
        let now = self.now;
        if let Some(player) = self.players.iter_mut().find(|p| p.peer.path == path) {
            self.order.push(path);
            player.peer.down.send(datagram, now);
        } else if let Some(studio) = self.studios.iter_mut().find(|s| s.peer.path == path) {
            studio.peer.down.send(datagram, now);
        } else {
            self.strays.push((path, datagram));
        }
    }

    fn deliver_up(&mut self) {
        let now = self.now;
        let mut inputs = Vec::new();
        for studio in &mut self.studios {
            let peer = &mut studio.peer;
            let due = peer.up.due(now);
            inputs.extend(
                due.into_iter()
                    .map(|datagram| (peer.worker, peer.path, datagram)),
            );
        }
        for player in &mut self.players {
            let peer = &mut player.peer;
            let due = peer.up.due(now);
            inputs.extend(
                due.into_iter()
                    .map(|datagram| (peer.worker, peer.path, datagram)),
            );
        }
        for (worker, path, datagram) in inputs {
            self.input(worker, path, datagram);
        }
    }

    fn carry_bus(&mut self) {
        for from in 0..self.engines.len() {
            for message in self.engines[from].take_bus() {
                for to in (0..self.engines.len()).filter(|to| *to != from) {
                    self.engines[to].handle_bus(message.clone(), self.now);
                }
            }
        }
    }

    fn deliver_down(&mut self) {
        let now = self.now;
        for studio in &mut self.studios {
            for datagram in studio.peer.down.due(now) {
                studio.receive(datagram, now);
            }
        }
        for player in &mut self.players {
            for datagram in player.peer.down.due(now) {
                player.receive(datagram, now);
            }
        }
    }
}
