//! Counters and histograms of one worker, as they go up to Python in JSON.

use crate::error::Drop;
use crate::stream::FrameDrops;
use crate::types::Micros;
use serde::Serialize;
use std::collections::BTreeMap;

/// Upper bounds of the buckets, in microseconds; the last bucket is unbounded.
pub const BOUNDS_US: [u64; 14] = [
    50, 100, 200, 500, 1_000, 2_000, 5_000, 10_000, 20_000, 50_000, 100_000, 200_000, 500_000,
    1_000_000,
];

/// A histogram over `BOUNDS_US`.
#[derive(Clone, Debug, Default, Serialize)]
pub struct Histogram {
    /// Observations per bucket, one more than there are bounds.
    pub counts: [u64; BOUNDS_US.len() + 1],
    /// Sum of observations in microseconds.
    pub sum_us: u64,
}

impl Histogram {
    /// Count one observation.
    pub fn observe(&mut self, value: Micros) {
        self.observe_many(value, 1);
    }

    /// Count `times` equal observations.
    pub fn observe_many(&mut self, value: Micros, times: u64) {
        let bucket = BOUNDS_US.partition_point(|bound| *bound < value);
        if let Some(count) = self.counts.get_mut(bucket) {
            *count += times;
        }
        self.sum_us += value * times;
    }
}

/// One worker since its start.
#[derive(Clone, Debug, Default, Serialize)]
pub struct WorkerStats {
    /// Share of the last second that the thread was busy.
    pub busy_ratio: f64,
    /// Datagrams received.
    pub packets_received: u64,
    /// RTP packets sent, retransmissions included.
    pub packets_sent: u64,
    /// Retransmissions sent.
    pub packets_retransmitted: u64,
    /// Packets of studios that never came.
    pub packets_lost: u64,
    /// Packets asked of studios by NACK.
    pub nacks_sent: u64,
    /// Packets that players asked for by NACK.
    pub nacks_received: u64,
    /// Bytes received, UDP payload.
    pub bytes_received: u64,
    /// Bytes of RTP packets sent.
    pub bytes_sent: u64,
    /// Datagrams that the kernel dropped for want of receive buffer (`SO_RXQ_OVFL`).
    pub udp_receive_drops: u64,
    /// Receive buffer granted.
    pub receive_buffer_bytes: u64,
    /// Datagrams that the kernel did not take for sending.
    pub send_dropped: u64,
    /// Whether UDP GSO is in use.
    pub gso: bool,
    /// Sessions open.
    pub sessions: u64,
    /// Sessions closed because consent lapsed.
    pub consent_lapsed: u64,
    /// Key frames asked of studios.
    pub keyframe_requests: u64,
    /// Key frames that players asked for.
    pub keyframe_requests_received: u64,
    /// Bursts that another worker was too slow to take.
    pub bus_dropped: u64,
    /// Dropped datagrams by reason.
    pub drops: BTreeMap<&'static str, u64>,
    /// From arrival of the oldest packet of a batch to the return of its send.
    pub forward_delay: Histogram,
    /// Round trips of players by RTCP.
    pub media_rtt: Histogram,
    /// Raw drop counters, by `Drop::index`.
    #[serde(skip)]
    pub dropped: [u64; Drop::ALL.len()],
}

impl WorkerStats {
    /// Count a dropped datagram.
    pub fn drop(&mut self, reason: Drop) {
        if let Some(count) = self.dropped.get_mut(reason.index()) {
            *count += 1;
        }
    }

    /// With the drop counters under their names.
    pub fn named(&self) -> Self {
        let mut stats = self.clone();
        for (reason, count) in Drop::ALL.iter().zip(self.dropped) {
            stats.drops.insert(reason.code(), count);
        }
        stats
    }
}

/// One layer now.
#[derive(Clone, Debug, Serialize)]
#[allow(missing_docs)]
pub struct LayerStats {
    pub kind: &'static str,
    pub rid: String,
    pub rank: u8,
    pub width: u16,
    pub height: u16,
    pub bitrate_bps: u64,
    pub fps: f32,
    pub active: bool,
    /// Codec parameters read from the stream itself; known where the publisher is.
    pub fmtp: Option<String>,
    /// Whether frames come out of display order: players then show each one late.
    pub b_frames: bool,
}

/// One stream as one worker sees it.
#[derive(Clone, Debug, Serialize)]
#[allow(missing_docs)]
pub struct StreamStats {
    pub stream: u32,
    pub tier: u8,
    pub home: bool,
    pub subscribers: u64,
    pub frames_sent: u64,
    pub frames_dropped: FrameDrops,
    pub layers: Vec<LayerStats>,
}

/// One session now.
#[derive(Clone, Debug, Serialize)]
#[allow(missing_docs)]
pub struct SessionStats {
    pub role: &'static str,
    pub path: Option<String>,
    pub transport: Option<&'static str>,
    pub rtt_us: Option<u64>,
    pub estimate_bps: Option<u64>,
    pub loss_ratio: Option<f32>,
    pub layer: Option<String>,
    pub alive_us_ago: u64,
}

/// Everything of one worker.
#[derive(Clone, Debug, Serialize)]
#[allow(missing_docs)]
pub struct Snapshot {
    pub worker: WorkerStats,
    pub streams: Vec<StreamStats>,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_bound_belongs_to_its_bucket() {
        let mut histogram = Histogram::default();
        histogram.observe(50);
        histogram.observe(51);
        histogram.observe(10_000_000);
        assert_eq!(histogram.counts[0], 1);
        assert_eq!(histogram.counts[1], 1);
        assert_eq!(histogram.counts[BOUNDS_US.len()], 1);
    }
}
