"""What ``edge watch`` measured: one flat record, as JSON or as a table."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from dataclasses import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class WatchResult:
    """
    One watching, from POST to end. ``None`` means that it was not measured.
    """

    url: str
    ended: str
    """``duration``, ``signal``, or why the session was lost."""
    watched_s: float
    srtp_profile: str
    codec: str | None = None
    width: int | None = None
    height: int | None = None
    join_ms: float | None = None
    """From POST to the first decoded picture, or decodable one with ``--no-decode``."""
    http_ms: float | None = None
    ice_ms: float | None = None
    dtls_ms: float | None = None
    first_packet_ms: float | None = None
    """From POST, as are the next two."""
    first_frame_ms: float | None = None
    first_decoded_ms: float | None = None
    fps: float | None = None
    frames: int = 0
    """Complete frames."""
    frames_decoded: int = 0
    frames_dropped: int = 0
    """Cut by loss, or not decodable because of a cut before them."""
    decode_errors: int = 0
    key_frames: int = 0
    key_requests: int = 0
    """Key frames asked for (PLI)."""
    freezes: int = 0
    freeze_ms: float = 0.0
    longest_gap_ms: float = 0.0
    rtt_ms: float | None = None
    """Mean round trip of ICE checks."""
    rtt_min_ms: float | None = None
    rtt_max_ms: float | None = None
    jitter_ms: float | None = None
    packets: int = 0
    packets_missed: int = 0
    packets_lost: int = 0
    loss_before_percent: float = 0.0
    """Of video packets, before repair."""
    loss_after_percent: float = 0.0
    nacks: int = 0
    retransmissions: int = 0
    duplicates: int = 0
    video_kbps: float = 0.0
    audio_kbps: float = 0.0
    audio_packets: int = 0
    audio_lost: int = 0
    audio_jitter_ms: float | None = None
    delay_ms: float | None = None
    """Median age of pictures by the clock in them, with ``--clock``."""
    delay_p95_ms: float | None = None
    clock_reads: int = 0
    capture_delay_ms: float | None = None
    """Median age of complete frames by the abs-capture-time extension."""
    data_channel_open_ms: float | None = None
    data_channel_rtt_ms: float | None = None

    def values(self) -> dict[str, object]:
        """
        The record by name.
        """
        return dataclasses.asdict(self)


def known_names() -> list[str]:
    """
    Names of the numbers that a limit can be set on.
    """
    return [f.name for f in dataclasses.fields(WatchResult) if "str" not in str(f.type)]


def rounded(value: float | None, digits: int = 2) -> float | None:
    """
    For people: two decimals are below what is measured here.
    """
    return None if value is None else round(value, digits)


def percentile(values: Sequence[float], share: float) -> float | None:
    """
    The value below which a share of the values lies, or ``None`` without values.
    """
    if not values:
        return None
    ordered = sorted(values)
    return ordered[min(len(ordered) - 1, int(share * len(ordered)))]


def table(result: WatchResult) -> str:
    """
    The record for people, one group per line, leaving out what was not measured.
    """
    r = result
    lines = [
        ("watched", f"{r.url} for {r.watched_s:.1f} s, ended by {r.ended}"),
        ("join", _join(r)),
        ("picture", f"{r.codec or 'none'} {_size(r)}, {_number(r.fps)} fps, {r.frames} frames"),
        ("decoding", f"{r.frames_decoded} decoded, {r.decode_errors} errors"),
        (
            "freezes",
            (
                f"{r.freezes} ({r.freeze_ms:.0f} ms), longest gap {r.longest_gap_ms:.0f} ms,"
                f" {r.frames_dropped} frames dropped"
            ),
        ),
        (
            "network",
            (
                f"rtt {_number(r.rtt_ms)} ms ({_number(r.rtt_min_ms)} to {_number(r.rtt_max_ms)}),"
                f" jitter {_number(r.jitter_ms)} ms, {r.srtp_profile}"
            ),
        ),
        (
            "loss",
            (
                f"{r.loss_before_percent:.2f} % before repair, {r.loss_after_percent:.2f} % after"
                f" ({r.packets_missed} missed, {r.packets_lost} lost of {r.packets})"
            ),
        ),
        (
            "repair",
            (
                f"{r.nacks} NACKs, {r.retransmissions} RTX packets, {r.key_requests} key frames asked"
                f" of {r.key_frames}"
            ),
        ),
        ("rates", f"video {r.video_kbps:.0f} kbit/s, audio {r.audio_kbps:.0f} kbit/s"),
        (
            "audio",
            (
                f"{r.audio_packets} packets, {r.audio_lost} lost,"
                f" jitter {_number(r.audio_jitter_ms)} ms"
            ),
        ),
        ("delay", _delay(r)),
        (
            "data channel",
            (
                f"open in {_number(r.data_channel_open_ms)} ms,"
                f" round trip {_number(r.data_channel_rtt_ms)} ms"
            ),
        ),
    ]
    hidden = {
        "delay": r.delay_ms is None and r.capture_delay_ms is None,
        "data channel": r.data_channel_open_ms is None,
    }
    return "\n".join(f"{name:13}{text}" for name, text in lines if not hidden.get(name))


def _join(r: WatchResult) -> str:
    return (
        f"{_number(r.join_ms)} ms (HTTP {_number(r.http_ms)}, ICE {_number(r.ice_ms)},"
        f" DTLS {_number(r.dtls_ms)}; first packet at {_number(r.first_packet_ms)},"
        f" frame at {_number(r.first_frame_ms)})"
    )


def _delay(r: WatchResult) -> str:
    return (
        f"picture clock {_number(r.delay_ms)} ms (p95 {_number(r.delay_p95_ms)},"
        f" {r.clock_reads} readings), capture time {_number(r.capture_delay_ms)} ms"
    )


def _size(r: WatchResult) -> str:
    return f"{r.width}x{r.height}" if r.width else ""


def _number(value: float | None) -> str:
    return "-" if value is None else f"{value:.1f}"
