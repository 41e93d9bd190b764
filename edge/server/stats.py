"""The data plane's statistics as typed values. What is missing in the JSON is taken as zero."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

Buckets = list[tuple[float, int, float]]
"""(upper bound in seconds, count in the bucket, share of the sum)."""

INFINITY = float("inf")


@dataclass(frozen=True, slots=True, kw_only=True)
class WorkerStats:
    """Counters of one UDP worker."""

    busy_ratio: float
    packets_received: int
    packets_sent: int
    packets_retransmitted: int
    packets_lost: int
    bytes_received: int
    bytes_sent: int
    egress_bps: float
    udp_receive_drops: int
    receive_buffer_bytes: int
    send_dropped: int
    keyframe_requests: int
    sessions: int
    drops: Mapping[str, int]
    forward_delay: Buckets


@dataclass(frozen=True, slots=True, kw_only=True)
class LayerStats:
    """One layer of a stream, as measured."""

    rid: str
    bitrate_bps: int
    fps: float


@dataclass(frozen=True, slots=True, kw_only=True)
class StreamStats:
    """Counters of one stream."""

    number: int
    frames_sent: int
    frames_dropped: Mapping[str, int]
    layers: tuple[LayerStats, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class PlaneStats:
    """All of it."""

    workers: tuple[WorkerStats, ...]
    streams: tuple[StreamStats, ...]
    media_rtt: Buckets


def read_stats(document: Mapping[str, Any]) -> PlaneStats:
    """Read `DataPlane.stats()`. Raises TypeError or ValueError where a type is wrong."""
    return PlaneStats(
        workers=tuple(_worker(item) for item in document.get("workers", [])),
        streams=tuple(_stream(item) for item in document.get("streams", [])),
        media_rtt=_buckets(document.get("media_rtt_seconds")),
    )


def _worker(item: Mapping[str, Any]) -> WorkerStats:
    return WorkerStats(
        busy_ratio=float(item.get("busy_ratio", 0)),
        packets_received=int(item.get("packets_received", 0)),
        packets_sent=int(item.get("packets_sent", 0)),
        packets_retransmitted=int(item.get("packets_retransmitted", 0)),
        packets_lost=int(item.get("packets_lost", 0)),
        bytes_received=int(item.get("bytes_received", 0)),
        bytes_sent=int(item.get("bytes_sent", 0)),
        egress_bps=float(item.get("egress_bitrate_bps", 0)),
        udp_receive_drops=int(item.get("udp_receive_drops", 0)),
        receive_buffer_bytes=int(item.get("receive_buffer_bytes", 0)),
        send_dropped=int(item.get("send_dropped", 0)),
        keyframe_requests=int(item.get("keyframe_requests", 0)),
        sessions=int(item.get("sessions", 0)),
        drops={str(code): int(count) for code, count in item.get("drops", {}).items()},
        forward_delay=_buckets(item.get("forward_delay_us"), unit=1e-6),
    )


def _stream(item: Mapping[str, Any]) -> StreamStats:
    return StreamStats(
        number=int(item["stream"]),
        frames_sent=int(item.get("frames_sent", 0)),
        frames_dropped={str(k): int(v) for k, v in item.get("frames_dropped", {}).items()},
        layers=tuple(
            LayerStats(
                rid=str(layer.get("rid", "")),
                bitrate_bps=int(layer.get("bitrate_bps", 0)),
                fps=float(layer.get("fps", 0)),
            )
            for layer in item.get("layers", [])
        ),
    )


def _buckets(histogram: object, unit: float = 1.0) -> Buckets:
    """Read `{"bounds": [...], "counts": [...], "sum": s}`, or bare counts of doubling buckets.

    Bare counts are of buckets with the upper bounds 1, 2, 4, ... units, the last one unbounded;
    their sum is estimated from the bounds.
    """
    if histogram is None:
        return []
    if isinstance(histogram, Mapping):
        bounds = [float(bound) * unit for bound in histogram["bounds"]] + [INFINITY]
        counts = [int(count) for count in histogram["counts"]]
        total = float(histogram.get("sum", 0)) * unit
    else:
        counts = [int(count) for count in histogram]  # type: ignore[attr-defined]
        bounds = [unit * 2.0**index for index in range(max(0, len(counts) - 1))] + [INFINITY]
        tops = [*bounds[:-1], bounds[-2] if len(bounds) > 1 else 0.0]
        total = sum(count * top * 0.75 for count, top in zip(counts, tops, strict=False))
    pairs = list(zip(bounds, counts, strict=False))
    if not pairs:
        return []
    first, *rest = [(bound, count, 0.0) for bound, count in pairs]
    return [(first[0], first[1], total), *rest]
