//! What Python sends down, as JSON: the configuration and the specifications of `edge.model`.

use crate::types::Kind;
use serde::Deserialize;
use std::collections::HashMap;

/// `edge.config.DataPlaneConfig`; the meaning of each field stands there.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Config {
    /// Literal address to bind.
    pub bind: String,
    /// First UDP (and TCP) port; 0 lets the kernel choose.
    pub port: u16,
    /// Number of worker threads, one port each.
    pub workers: u16,
    /// Whether RFC 6544 passive TCP candidates are served.
    pub tcp: bool,
    /// Receive buffer asked for and verified, in bytes.
    pub receive_buffer_bytes: usize,
    /// Send buffer asked for, in bytes.
    pub send_buffer_bytes: usize,
    /// Silence after which a session's consent has lapsed, in seconds.
    pub consent_timeout_s: f64,
    /// Silence after which a publisher counts as idle, in seconds.
    pub idle_timeout_s: f64,
    /// Slots of the ring of each layer; rounded up to a power of two.
    pub ring_packets: usize,
    /// Longest wait for the rest of a frame before what is there is forwarded, in microseconds.
    pub hold_us: u64,
    /// Least time between two key-frame requests to one layer, in milliseconds.
    pub keyframe_request_interval_ms: u64,
    /// Sessions that all workers together accept.
    pub max_sessions: usize,
    /// Whether packets are marked with DSCP.
    pub dscp: bool,
    /// Whether UDP GSO is used where the kernel takes it.
    pub gso: bool,
    /// Floor of the bandwidth estimate, in bit/s.
    pub min_bitrate_bps: u64,
    /// Ceiling of the bandwidth estimate, in bit/s.
    pub max_bitrate_bps: u64,
    /// Bandwidth estimate of a new player, in bit/s.
    pub start_bitrate_bps: u64,
    /// CPUs that the workers are pinned to, in worker order; empty leaves it to the scheduler.
    pub pin_cpus: Vec<usize>,
}

/// ICE credentials of both sides.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Ice {
    /// Our user fragment, by which requests find the session.
    pub local_ufrag: String,
    /// Our password, which signs requests to us and our answers.
    pub local_pwd: String,
    /// The peer's user fragment.
    pub remote_ufrag: String,
    /// The peer's password (unused by an ICE-lite agent, which sends no checks).
    pub remote_pwd: String,
}

/// Identifiers of the header extensions as negotiated; 0 means absent.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Extensions {
    /// `urn:ietf:params:rtp-hdrext:sdes:mid`
    pub mid: u8,
    /// `urn:ietf:params:rtp-hdrext:sdes:rtp-stream-id`
    pub rid: u8,
    /// `urn:ietf:params:rtp-hdrext:sdes:repaired-rtp-stream-id`
    pub repaired_rid: u8,
    /// transport-wide-cc-extensions-01
    pub transport_cc: u8,
    /// abs-send-time
    pub abs_send_time: u8,
    /// abs-capture-time
    pub abs_capture_time: u8,
    /// RFC 6464
    pub audio_level: u8,
    /// 3GPP TS 26.114 (CVO)
    pub video_orientation: u8,
    /// playout-delay
    pub playout_delay: u8,
    /// AV1 dependency descriptor
    pub dependency_descriptor: u8,
}

impl<'de> Deserialize<'de> for Extensions {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let ids = HashMap::<String, u8>::deserialize(deserializer)?;
        let id = |name: &str| ids.get(name).copied().unwrap_or(0);
        Ok(Extensions {
            mid: id("mid"),
            rid: id("rid"),
            repaired_rid: id("repaired_rid"),
            transport_cc: id("transport_cc"),
            abs_send_time: id("abs_send_time"),
            abs_capture_time: id("abs_capture_time"),
            audio_level: id("audio_level"),
            video_orientation: id("video_orientation"),
            playout_delay: id("playout_delay"),
            dependency_descriptor: id("dependency_descriptor"),
        })
    }
}

impl Extensions {
    /// Whether any id needs the two-byte form of RFC 8285.
    pub fn needs_two_bytes(&self) -> bool {
        [
            self.mid,
            self.rid,
            self.repaired_rid,
            self.transport_cc,
            self.abs_send_time,
            self.abs_capture_time,
            self.audio_level,
            self.video_orientation,
            self.playout_delay,
            self.dependency_descriptor,
        ]
        .iter()
        .any(|id| *id > 14)
    }
}

/// `edge.model.PublisherTrack`
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
#[allow(missing_docs)]
pub struct PublisherTrack {
    pub kind: Kind,
    pub mid: String,
    pub codec: String,
    pub payload_type: u8,
    pub clock_rate: u32,
    #[serde(default)]
    pub rtx_payload_type: Option<u8>,
    #[serde(default)]
    pub red_payload_type: Option<u8>,
    #[serde(default)]
    pub ssrcs: Vec<u32>,
    #[serde(default)]
    pub rtx_ssrcs: Vec<(u32, u32)>,
    #[serde(default)]
    pub rids: Vec<String>,
    #[serde(default)]
    pub extensions: Extensions,
    #[serde(default)]
    pub nack: bool,
    #[serde(default)]
    pub pli: bool,
    #[serde(default)]
    pub fir: bool,
    #[serde(default)]
    pub transport_cc: bool,
    #[serde(default)]
    pub remb: bool,
}

/// `edge.model.PublisherSpec`
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct PublisherSpec {
    /// At most one audio and one video track.
    pub tracks: Vec<PublisherTrack>,
}

/// `edge.model.SubscriberTrack`
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
#[allow(missing_docs)]
pub struct SubscriberTrack {
    pub kind: Kind,
    pub mid: String,
    pub codec: String,
    pub payload_type: u8,
    pub clock_rate: u32,
    pub ssrc: u32,
    #[serde(default)]
    pub rtx_payload_type: Option<u8>,
    #[serde(default)]
    pub rtx_ssrc: Option<u32>,
    #[serde(default)]
    pub red_payload_type: Option<u8>,
    #[serde(default)]
    pub extensions: Extensions,
    #[serde(default)]
    pub nack: bool,
    #[serde(default)]
    pub pli: bool,
    #[serde(default)]
    pub fir: bool,
    #[serde(default)]
    pub transport_cc: bool,
    #[serde(default)]
    pub remb: bool,
}

/// `edge.model.SubscriberSpec`
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SubscriberSpec {
    /// At most one audio and one video track.
    pub tracks: Vec<SubscriberTrack>,
    /// CNAME of our source descriptions.
    pub cname: String,
    /// Minimum and maximum playout delay in milliseconds, sent where negotiated.
    #[serde(default)]
    pub playout_delay_ms: Option<(u16, u16)>,
}

/// A player's own wish for a layer.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Selection {
    /// Exactly this layer, whatever the estimate says.
    pub rid: Option<String>,
    /// At most this rank.
    pub max_rank: Option<u8>,
    /// At most this temporal layer.
    pub max_temporal: Option<u8>,
    /// No video at all.
    pub paused: bool,
}
