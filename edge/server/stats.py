"""The data plane's statistics (`stats.rs`) as typed values. What is missing in the JSON is zero."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from edge.model import Layer

MICRO = 1e-6


@dataclass(frozen=True, slots=True, kw_only=True)
class Buckets:
    """A histogram in seconds: one count more than bounds, the last one unbounded."""

    bounds: tuple[float, ...]
    counts: tuple[int, ...]
    total: float


@dataclass(frozen=True, slots=True, kw_only=True)
class WorkerStats:
    """One UDP worker since its start."""

    busy_ratio: float
    receive_buffer_bytes: int
    counters: Mapping[str, int]
    """Plain counters by their name in `WorkerStats` of `stats.rs`."""
    drops: Mapping[str, int]
    forward_delay: Buckets
    media_rtt: Buckets


@dataclass(frozen=True, slots=True, kw_only=True)
class LayerStats:
    """One encoding of one track, now."""

    kind: str
    layer: Layer


@dataclass(frozen=True, slots=True, kw_only=True)
class StreamStats:
    """One stream as one worker sees it."""

    number: int
    home: bool
    """Whether its publisher is on this worker: only there are the layers measured."""
    frames_sent: int
    frames_dropped: Mapping[str, int]
    layers: tuple[LayerStats, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class PlaneStats:
    """All of it."""

    workers: tuple[WorkerStats, ...]
    streams: tuple[StreamStats, ...]

    def video_layers(self, number: int) -> tuple[Layer, ...]:
        """The video's layers of a stream, by rank."""
        found = [
            item.layer
            for stream in self.streams
            if stream.number == number and stream.home
            for item in stream.layers
            if item.kind == "video"
        ]
        return tuple(sorted(found, key=lambda layer: layer.rank))


def read_stats(document: Mapping[str, Any]) -> PlaneStats:
    """Read `DataPlane.stats()`. Raises ValueError where it is not of its form."""
    try:
        bounds = tuple(float(bound) * MICRO for bound in document.get("bounds_us", []))
        return PlaneStats(
            workers=tuple(_worker(item, bounds) for item in document.get("workers", [])),
            streams=tuple(_stream(item) for item in document.get("streams", [])),
        )
    except (TypeError, KeyError, AttributeError, OverflowError) as error:
        raise ValueError(f"not statistics: {error!r}") from error


def read_layer(item: Mapping[str, Any]) -> LayerStats:
    """Read one layer, as it stands in statistics and in `layers` events."""
    layer = Layer(
        rid=str(item.get("rid", "")),
        rank=int(item.get("rank", 0)),
        width=int(item.get("width", 0)),
        height=int(item.get("height", 0)),
        bitrate_bps=int(item.get("bitrate_bps", 0)),
        fps=round(float(item.get("fps", 0)), 2),
        active=bool(item.get("active", True)),
        b_frames=bool(item.get("b_frames", False)),
    )
    return LayerStats(kind=str(item.get("kind", "video")), layer=layer)


def _worker(item: Mapping[str, Any], bounds: tuple[float, ...]) -> WorkerStats:
    return WorkerStats(
        busy_ratio=float(item.get("busy_ratio", 0)),
        receive_buffer_bytes=int(item.get("receive_buffer_bytes", 0)),
        counters={
            name: value
            for name, value in item.items()
            if isinstance(value, int) and not isinstance(value, bool)
        },
        drops={str(code): int(count) for code, count in item.get("drops", {}).items()},
        forward_delay=_buckets(item.get("forward_delay", {}), bounds),
        media_rtt=_buckets(item.get("media_rtt", {}), bounds),
    )


def _stream(item: Mapping[str, Any]) -> StreamStats:
    return StreamStats(
        number=int(item["stream"]),
        home=bool(item.get("home", True)),
        frames_sent=int(item.get("frames_sent", 0)),
        frames_dropped={str(k): int(v) for k, v in item.get("frames_dropped", {}).items()},
        layers=tuple(read_layer(layer) for layer in item.get("layers", [])),
    )


def _buckets(histogram: Mapping[str, Any], bounds: tuple[float, ...]) -> Buckets:
    counts = [int(count) for count in histogram.get("counts", [])]
    counts += [0] * (len(bounds) + 1 - len(counts))
    total = float(histogram.get("sum_us", 0)) * MICRO
    return Buckets(bounds=bounds, counts=tuple(counts[: len(bounds) + 1]), total=total)
