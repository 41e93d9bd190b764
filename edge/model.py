"""Shared nouns: ids, roles, and the specifications that go down to the data plane."""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import StrEnum
from typing import Literal, NewType

StreamId = NewType("StreamId", str)
"""Name of a stream as it stands in the URL: a table, or ``table~camera``."""

SessionId = NewType("SessionId", str)
"""Unguessable id of one WHIP or WHEP resource; the last segment of its Location."""

Handle = NewType("Handle", int)
"""The data plane's number for a session (worker index in the upper 16 bits)."""


class Role(StrEnum):
    """Which side of a stream a session is on."""

    PUBLISHER = "publisher"
    SUBSCRIBER = "subscriber"


Kind = Literal["audio", "video"]

CodecName = Literal["H264", "VP8", "VP9", "AV1", "H265", "opus"]
"""Codecs that the data plane forwards, spelled as in SDP (compare case-insensitively)."""

ExtensionName = Literal[
    "mid",
    "rid",
    "repaired_rid",
    "transport_cc",
    "abs_send_time",
    "abs_capture_time",
    "audio_level",
    "video_orientation",
    "playout_delay",
    "dependency_descriptor",
]
"""RTP header extensions that the data plane knows; `edge.signaling.sdp` maps them to URIs."""


@dataclass(frozen=True, slots=True, kw_only=True)
class IceCredentials:
    """One side's ICE user fragment and password (RFC 8445, section 5.3)."""

    ufrag: str
    pwd: str


@dataclass(frozen=True, slots=True, kw_only=True)
class PublisherTrack:
    """One audio or video source as negotiated with a studio."""

    kind: Kind
    mid: str
    codec: CodecName
    payload_type: int
    clock_rate: int
    rtx_payload_type: int | None = None
    red_payload_type: int | None = None
    """RFC 2198 redundancy around Opus, if the studio may send it."""
    ssrcs: tuple[int, ...] = ()
    """SSRCs announced by `a=ssrc` (primary streams only); may be empty."""
    rtx_ssrcs: tuple[tuple[int, int], ...] = ()
    """Pairs (primary, rtx) announced by `a=ssrc-group:FID`."""
    rids: tuple[str, ...] = ()
    """Active simulcast RIDs in the order offered; the order says nothing of quality."""
    extensions: dict[ExtensionName, int] = field(default_factory=dict)
    nack: bool = False
    pli: bool = False
    fir: bool = False
    transport_cc: bool = False
    remb: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class PublisherSpec:
    """Everything the data plane must know to take a studio's media."""

    tracks: tuple[PublisherTrack, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class SubscriberTrack:
    """One audio or video track as negotiated with a player."""

    kind: Kind
    mid: str
    codec: CodecName
    payload_type: int
    clock_rate: int
    ssrc: int
    rtx_payload_type: int | None = None
    rtx_ssrc: int | None = None
    red_payload_type: int | None = None
    extensions: dict[ExtensionName, int] = field(default_factory=dict)
    nack: bool = False
    pli: bool = False
    fir: bool = False
    transport_cc: bool = False
    remb: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class SubscriberSpec:
    """Everything the data plane must know to send a stream to a player."""

    tracks: tuple[SubscriberTrack, ...]
    cname: str = "edge"
    playout_delay_ms: tuple[int, int] | None = None
    """Minimum and maximum of the playout-delay extension, sent where negotiated."""


@dataclass(frozen=True, slots=True, kw_only=True)
class StreamTrack:
    """What a live stream carries, as far as a player's answer depends on it."""

    kind: Kind
    codec: CodecName
    fmtp: str = ""
    """For H.264 the profile-level-id read from the real SPS when known, else the negotiated fmtp."""
    red: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Layer:
    """One encoding of a video track, as the data plane last measured it."""

    rid: str
    """The RID of the studio, or `""` without simulcast."""
    rank: int
    """0 is the lowest quality; the order is measured (height, then bit rate), not offered."""
    width: int
    height: int
    bitrate_bps: int
    fps: float
    active: bool
    b_frames: bool = False
    """Frames come out of display order, so players show each of them late."""
