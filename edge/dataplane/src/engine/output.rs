//! What goes out: fan-outs, single players, control datagrams.

use super::{Engine, Event, Job, MAX_CONTROL, ONE_SUBSCRIBER, count};
use crate::session::Role;
use crate::subscriber::{Pump, Sending};
use crate::transmit::{Batch, Path, Tos};
use crate::types::Micros;

impl Engine {
    pub(super) fn release_held(&mut self, now: Micros) {
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
    pub(super) fn run_paced(&mut self, now: Micros) {
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
    pub(super) fn run_job(&mut self, mut job: Job, batch: &mut Batch, now: Micros) -> bool {
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

    pub(super) fn finish_job(&mut self, number: u32) {
        let Some(stream) = self.streams.get_mut(&number) else {
            return;
        };
        stream.rotation = stream.rotation.wrapping_add(1);
    }

    /// True when the batch is full.
    pub(super) fn pump(&mut self, slot: u32, batch: &mut Batch, now: Micros) -> bool {
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
        let first = !egress.started;
        let pump = egress.pump(stream, &mut sending);
        let handle = session.handle;
        if first && egress.started {
            let after = now.saturating_sub(egress.joined);
            egress.next_choice = now; // the pace of the join ends
            egress.next_report = now; // sound and picture can be played together only after it
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

    pub(super) fn send_control(&mut self, path: Path, tos: Tos, datagram: Vec<u8>) {
        if self.control.len() == MAX_CONTROL {
            self.control.pop_front();
            self.stats.send_dropped += 1;
        }
        self.control.push_back((path, tos, datagram));
    }
}
