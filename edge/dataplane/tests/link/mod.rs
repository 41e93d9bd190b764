//! A seeded link, a receiver and a layered application in virtual time, joined end to end.

use dataplane::congestion::{Estimator, Pacer, ProbePlan, Recorder};
use dataplane::types::Ssrc;
use std::collections::VecDeque;

pub const MS: u64 = 1_000;
pub const S: u64 = 1_000_000;
const PACKET: usize = 1_200;

/// Xorshift64: the same numbers on every machine.
pub struct Random(u64);

impl Random {
    pub fn unit(&mut self) -> f64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        (self.0 >> 11) as f64 / (1u64 << 53) as f64
    }
}

/// A bottleneck with a tail-drop queue, then delay, jitter without reordering, and random loss.
pub struct Link {
    pub rate_bps: f64,
    pub queue_us: f64,
    pub delay_us: u64,
    pub jitter_us: f64,
    pub loss: f64,
    pub random: Random,
    busy_until: f64,
    last_arrival: u64,
}

impl Link {
    pub fn new(rate_bps: f64, seed: u64) -> Self {
        let random = Random(seed | 1);
        let (queue_us, delay_us, jitter_us, loss) = (250e3, 20 * MS, 0.0, 0.0);
        Self {
            rate_bps,
            queue_us,
            delay_us,
            jitter_us,
            loss,
            random,
            busy_until: 0.0,
            last_arrival: 0,
        }
    }

    pub fn set_rate(&mut self, rate_bps: f64, now: u64) {
        let backlog = (self.busy_until - now as f64).max(0.0) * self.rate_bps;
        self.busy_until = now as f64 + backlog / rate_bps;
        self.rate_bps = rate_bps;
    }

    fn send(&mut self, size: usize, now: u64) -> Option<u64> {
        let start = self.busy_until.max(now as f64);
        if start - now as f64 > self.queue_us {
            return None;
        }
        self.busy_until = start + size as f64 * 8e6 / self.rate_bps;
        let jitter = self.jitter_us * self.random.unit();
        let arrival = (self.busy_until + self.delay_us as f64 + jitter) as u64;
        self.last_arrival = self.last_arrival.max(arrival);
        (self.random.unit() >= self.loss).then_some(self.last_arrival)
    }
}

/// What the application did in one run.
pub struct World {
    pub now: u64,
    pub link: Link,
    pub estimator: Estimator,
    /// Layers in bit/s; the application moves between them unless `pinned`.
    pub layers: Vec<u64>,
    pub layer: usize,
    pub pinned: bool,
    pub key_frame_every: u64,
    /// Pacing rate as a percentage of the target.
    pub pacing_percent: u64,
    pub probes: Vec<(u64, ProbePlan)>,
    /// `(time, target)` every 10 ms.
    pub targets: Vec<(u64, u64)>,
    recorder: Recorder,
    pacer: Pacer,
    queue: VecDeque<usize>,
    arrivals: VecDeque<(u64, u16)>,
    feedback: VecDeque<(u64, Vec<u8>)>,
    switch: Option<(u64, usize)>,
    padding: Option<(Pacer, ProbePlan, usize)>,
}

impl World {
    pub fn new(link: Link, layers: &[u64]) -> Self {
        Self {
            now: S,
            link,
            estimator: Estimator::new(1_000_000, 50_000, 20_000_000),
            layers: layers.to_vec(),
            layer: 0,
            pinned: false,
            key_frame_every: 0,
            pacing_percent: 150,
            probes: Vec::new(),
            targets: Vec::new(),
            recorder: Recorder::new(),
            pacer: Pacer::new(1_000_000, 6_000),
            queue: VecDeque::new(),
            arrivals: VecDeque::new(),
            feedback: VecDeque::new(),
            switch: None,
            padding: None,
        }
    }

    pub fn run(&mut self, duration: u64) {
        let end = self.now + duration;
        while self.now < end {
            self.now += MS;
            self.produce();
            self.transmit();
            self.receive();
            self.choose_layer();
            if every(self.now, 10 * MS) {
                self.targets.push((self.now, self.estimator.target_bps()));
            }
            if every(self.now, 500 * MS) {
                let e = &self.estimator;
                let (target, acked) = (e.target_bps(), e.acked_bps().unwrap_or(0));
                let (at, layer, loss) = (self.now / MS, self.layer, e.loss_ratio());
                println!(
                    "{at:6} ms layer {layer} target {target:8} acked {acked:8} loss {loss:.3}"
                );
            }
        }
    }

    pub fn lowest_target_since(&self, time: u64) -> u64 {
        self.targets
            .iter()
            .filter(|(at, _)| *at >= time)
            .map(|(_, bps)| *bps)
            .min()
            .unwrap_or(0)
    }

    /// Frames at 30 fps that vary by a fifth, a key frame of four times the size, and sound.
    fn produce(&mut self) {
        if every(self.now, 20 * MS) {
            self.queue.push_front(120);
        }
        if !every(self.now, 33 * MS) {
            return;
        }
        let frames = self.key_frame_every / (33 * MS);
        let is_key = frames > 0 && every(self.now, 33 * MS * frames);
        let scale = if is_key {
            4.0
        } else {
            0.8 + 0.4 * self.link.random.unit()
        };
        let mut left = (self.layers[self.layer] as f64 * 0.033 / 8.0 * scale) as usize;
        while left > 0 {
            self.queue.push_back(left.min(PACKET));
            left -= left.min(PACKET);
        }
    }

    fn transmit(&mut self) {
        let rate_bps = self.estimator.target_bps().max(self.layers[self.layer]);
        self.pacer.set_rate(rate_bps * self.pacing_percent / 100);
        while self.pacer.ready(self.now) {
            let Some(size) = self.queue.pop_front() else {
                break;
            };
            self.pacer.on_sent(size, self.now);
            self.send(size);
        }
        while let Some((pacer, plan, left)) = self.padding.as_mut() {
            if *left == 0 || self.now >= plan.until {
                self.padding = None;
            } else if pacer.ready(self.now) {
                let size = PACKET.min((*left).max(200));
                *left = left.saturating_sub(size);
                self.send(size);
            } else {
                break;
            }
        }
    }

    fn send(&mut self, size: usize) {
        if let Some((pacer, ..)) = self.padding.as_mut() {
            pacer.on_sent(size, self.now);
        }
        let number = self.estimator.on_sent(size, self.now);
        if let Some(arrival) = self.link.send(size, self.now) {
            self.arrivals.push_back((arrival, number));
        }
    }

    fn receive(&mut self) {
        while self.arrivals.front().is_some_and(|(at, _)| *at <= self.now) {
            let (at, number) = self.arrivals.pop_front().unwrap();
            // The receiver's clock has another origin.
            self.recorder.on_packet(number, at + 77 * S);
        }
        if self
            .recorder
            .deadline()
            .is_some_and(|at| at <= self.now + 77 * S)
        {
            let mut out = Vec::new();
            self.recorder
                .write(&mut out, Ssrc(1), Ssrc(2), self.now + 77 * S);
            self.feedback
                .push_back((self.now + self.link.delay_us, out));
        }
        while self.feedback.front().is_some_and(|(at, _)| *at <= self.now) {
            let (_, bytes) = self.feedback.pop_front().unwrap();
            for fci in split(&bytes) {
                self.estimator.on_transport_feedback(fci, self.now).unwrap();
            }
        }
        if self.estimator.deadline().is_some_and(|at| at <= self.now) {
            self.estimator.on_deadline(self.now);
        }
    }

    fn choose_layer(&mut self) {
        if self.pinned {
            return;
        }
        if let Some((_, layer)) = self.switch.take_if(|(at, _)| *at <= self.now) {
            self.layer = layer;
        }
        let target = self.estimator.target_bps();
        let fits = self
            .layers
            .iter()
            .rposition(|bps| *bps <= target)
            .unwrap_or(0);
        let next = self.layer + 1;
        if fits < self.layer {
            // The lower layer starts with its next key frame.
            self.switch.get_or_insert((self.now + 300 * MS, fits));
        } else if let Some(&wanted) = self.layers.get(next) {
            if target >= wanted * 11 / 10 {
                self.switch.get_or_insert((self.now + 300 * MS, next));
            } else {
                self.probe(wanted);
            }
        }
    }

    pub fn probe(&mut self, wanted: u64) {
        if let Some(plan) = self.estimator.want_probe(wanted, self.now) {
            println!("{:6} ms probe {plan:?}", self.now / MS);
            self.probes.push((self.now, plan));
            self.padding = Some((Pacer::new(plan.rate_bps, PACKET), plan, plan.bytes));
        }
    }
}

fn every(now: u64, period: u64) -> bool {
    now.checked_rem(period) == Some(0)
}

/// The FCI of each packet in a compound of feedback messages, without padding.
pub fn split(mut bytes: &[u8]) -> Vec<&[u8]> {
    let mut messages = Vec::new();
    while bytes.len() >= 20 {
        let length = 4 * (usize::from(u16::from_be_bytes([bytes[2], bytes[3]])) + 1);
        let padding = if bytes[0] & 0x20 != 0 {
            usize::from(bytes[length - 1])
        } else {
            0
        };
        messages.push(&bytes[12..length - padding]);
        bytes = &bytes[length..];
    }
    assert!(bytes.is_empty());
    messages
}
