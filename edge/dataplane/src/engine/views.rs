//! What Python may look at.

use super::Engine;
use crate::session::Role;
use crate::stats::{LayerStats, SessionStats, Snapshot, StreamStats};
use crate::stream::Track;
use crate::transmit::Path;
use crate::types::{Kind, Micros};

impl Engine {
    pub(super) fn layers(&self, number: u32, now: Micros) -> Vec<LayerStats> {
        let Some(stream) = self.streams.get(&number) else {
            return Vec::new();
        };
        let ingest = stream
            .home
            .and_then(|slot| match &self.session(slot)?.role {
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
                        b_frames: video && ingest.is_some_and(|ingest| ingest.has_b_frames(index)),
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

    /// Sizes of what could leak: slots, handles, users, paths, streams, and work not done.
    pub fn occupancy(&self) -> [usize; 6] {
        [
            self.sessions.len(),
            self.handles.len(),
            self.users.len(),
            self.paths.len(),
            self.streams.len(),
            self.jobs.len() + self.held.len() + self.paced.len(),
        ]
    }

    pub(super) fn snapshot(&self, now: Micros) -> Snapshot {
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

    pub(super) fn session_stats(&self, handle: u64, now: Micros) -> Option<SessionStats> {
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
}
