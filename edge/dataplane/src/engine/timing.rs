//! Duties that no packet triggers: consent, feedback, reports, layer choice, key-frame requests.

use super::{Bus, Engine, Event, REPEAT_US, SLOW_TICK_US, TICK_US};
use crate::publisher::Asked;
use crate::session::Role;
use crate::stream::MAX_LAYERS;
use crate::transmit::Tos;
use crate::types::Micros;

impl Engine {
    pub(super) fn tick(&mut self, now: Micros) {
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
        if now >= self.next_repeat && self.has_peers {
            self.next_repeat = now + REPEAT_US;
            self.repeat();
        }
        self.next_tick = now + TICK_US;
    }

    /// A worker that was too slow to take "opened" would never show the stream.
    fn repeat(&mut self) {
        for stream in self.streams.values() {
            let home = stream.home.and_then(|slot| self.session(slot));
            if let Some(Role::Publisher(ingest)) = home.map(|session| &session.role) {
                let (number, epoch) = (stream.number, stream.epoch);
                self.bus.push(Bus::Opened {
                    stream: number,
                    epoch,
                    shapes: ingest.shapes().into(),
                });
                self.bus.push(Bus::Deaf {
                    stream: number,
                    deaf: stream.deaf,
                });
            }
        }
    }

    pub(super) fn tick_session(&mut self, slot: u32, slow: bool, now: Micros) {
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
                if self
                    .egress(slot)
                    .is_some_and(|egress| egress.next_report <= now)
                {
                    self.report(slot, now);
                }
            }
            Role::Idle => {}
        }
    }

    pub(super) fn tick_publisher(&mut self, slot: u32, slow: bool, now: Micros) {
        let idle = (self.config.idle_timeout_s * 1e6) as Micros;
        let mut compounds = Vec::new();
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
            compounds = ingest.feedback(now);
        }
        let deaf = ingest.is_deaf(now);
        let broken = ingest.expire(now);
        let (asked, lost) = ingest.take_losses();
        let silent = slow
            && ingest
                .last_media
                .is_some_and(|last| now.saturating_sub(last) > idle);
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
        self.note_deaf(number, deaf);
        for compound in compounds {
            self.send_rtcp(slot, compound);
        }
    }

    fn note_deaf(&mut self, number: u32, deaf: bool) {
        let Some(stream) = self.streams.get_mut(&number) else {
            return;
        };
        if stream.deaf != deaf {
            stream.deaf = deaf;
            if self.has_peers {
                self.bus.push(Bus::Deaf {
                    stream: number,
                    deaf,
                });
            }
        }
    }

    pub(super) fn choose(&mut self, slot: u32, now: Micros) {
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
        let paced = egress.paced;
        let may_ask = egress.may_ask(now);
        if let Some(layer) = wanted {
            let ready = egress.can_switch(stream);
            if ready {
                self.schedule_one(slot);
            } else if may_ask
                && let Some(stream) = self.streams.get_mut(&number)
                && let Some(wanted) = stream.wanted.get_mut(usize::from(layer))
            {
                *wanted = true;
            }
        }
        if paced.is_some_and(|due| due <= now) {
            self.schedule_one(slot);
        } else if paced.is_some() && !self.paced.contains(&slot) {
            self.paced.push(slot);
        }
    }

    pub(super) fn report(&mut self, slot: u32, now: Micros) {
        let ntp_epoch = self.ntp_epoch;
        let Some((session, streams)) = self.split(slot) else {
            return;
        };
        let Role::Subscriber(egress) = &mut session.role else {
            return;
        };
        let Some(stream) = streams.get(&egress.stream) else {
            egress.next_report = now + crate::subscriber::REPORT_US;
            return;
        };
        for compound in egress.reports(stream, now, ntp_epoch) {
            self.send_rtcp(slot, compound);
        }
    }

    pub(super) fn request_keyframes(&mut self, now: Micros) {
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
            let Some(session) = self.session_mut(slot) else {
                continue;
            };
            let Role::Publisher(ingest) = &mut session.role else {
                continue;
            };
            match ingest.request_keyframe(layer, pause, now, &mut compound) {
                Asked::Now => {
                    self.stats.keyframe_requests += 1;
                    self.send_rtcp(slot, compound);
                }
                Asked::Later => self.still_want(stream, layer),
                Asked::Never => {}
            }
        }
    }

    fn still_want(&mut self, stream: u32, layer: u8) {
        if let Some(stream) = self.streams.get_mut(&stream)
            && let Some(wanted) = stream.wanted.get_mut(usize::from(layer))
        {
            *wanted = true; // until it may be asked again, or a key frame comes
        }
    }

    pub(super) fn send_rtcp(&mut self, slot: u32, mut compound: Vec<u8>) {
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

    pub(super) fn tell_layers(&mut self, now: Micros) {
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
                .map(|l| {
                    (
                        l.rid.clone(),
                        l.rank,
                        l.width,
                        l.height,
                        l.active,
                        l.fmtp.clone(),
                        l.b_frames,
                    )
                })
                .collect();
            if self.told_layers.get(&number) != Some(&shape) {
                self.told_layers.insert(number, shape);
                let stream = number;
                self.events.push(Event::Layers { stream, layers });
            }
        }
    }
}
