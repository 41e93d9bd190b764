"""The door to prometheus_client: everything is read when it is scraped, nothing is pushed."""

from __future__ import annotations

import json
from collections import defaultdict
from collections.abc import Iterable, Iterator

import structlog
from prometheus_client import (
    CollectorRegistry,
    GCCollector,
    PlatformCollector,
    ProcessCollector,
)
from prometheus_client.exposition import CONTENT_TYPE_LATEST, generate_latest
from prometheus_client.metrics_core import (
    CounterMetricFamily,
    GaugeMetricFamily,
    HistogramMetricFamily,
    Metric,
)

from edge.errors import DropCode
from edge.model import Role
from edge.server.gateway import Gateway
from edge.server.stats import PlaneStats, StreamStats, WorkerStats, read_stats

CONTENT_TYPE = CONTENT_TYPE_LATEST
STAGES = ("ingest", "congestion", "tier", "socket", "player")
PROTOCOLS = {Role.PUBLISHER: "whip", Role.SUBSCRIBER: "whep"}

log = structlog.get_logger()


class EdgeMetrics:
    """The registry of one edge; tests run several edges in one process."""

    def __init__(self, gateway: Gateway) -> None:
        self._registry = CollectorRegistry()
        ProcessCollector(registry=self._registry)
        PlatformCollector(registry=self._registry)
        GCCollector(registry=self._registry)
        self._registry.register(EdgeCollector(gateway))

    def expose(self) -> bytes:
        """The metrics in Prometheus' text form."""
        return generate_latest(self._registry)


class EdgeCollector:
    """Reads the server's state and the data plane's counters."""

    def __init__(self, gateway: Gateway) -> None:
        self._gateway = gateway

    def describe(self) -> Iterable[Metric]:
        """Nothing is collected at registration."""
        return []

    def collect(self) -> Iterator[Metric]:
        """Every family, once per scrape."""
        yield from self._sessions()
        stats = self._stats()
        if stats is not None:
            yield from _workers(stats.workers)
            yield from self._streams(stats.streams)
            yield _seconds("edge_media_rtt_seconds", "Round trip to players", stats.media_rtt)

    def _stats(self) -> PlaneStats | None:
        """None when the data plane cannot be read: absent is not zero."""
        try:
            return read_stats(json.loads(self._gateway.engine.stats()))
        except (ValueError, TypeError, KeyError):
            log.exception("stats_unreadable")
            return None

    def _sessions(self) -> Iterator[Metric]:
        gateway = self._gateway
        driver = gateway.driver
        sessions = GaugeMetricFamily(
            "edge_sessions", "Connected sessions", labels=("role", "protocol")
        )
        opening = GaugeMetricFamily(
            "edge_sessions_connecting", "Sessions between answer and media", labels=("role",)
        )
        counts = driver.counts()
        for role in Role:
            sessions.add_metric((role, PROTOCOLS[role]), counts[role, True])
            opening.add_metric((role,), counts[role, False])
        yield sessions
        yield opening
        yield _gauge(
            "edge_session_capacity", "Sessions admitted at most", gateway.config.limits.max_sessions
        )
        yield _gauge("edge_draining", "1 while no new sessions are taken", int(gateway.draining))
        closed = CounterMetricFamily(
            "edge_sessions_closed", "Sessions that ended", labels=("role", "reason")
        )
        for (role, reason), count in driver.counters.closed.items():
            closed.add_metric((role, reason), count)
        yield closed
        yield _counter(
            "edge_data_channel_messages_ignored",
            "Messages of players that nothing here takes",
            driver.counters.messages_ignored,
        )
        joins = driver.counters.join_seconds
        yield _histogram(
            "edge_join_seconds",
            "From POST to the first whole key frame sent",
            list(zip(joins.bounds, joins.counts, strict=False)),
            sum(joins.counts),
            joins.total,
        )

    def _streams(self, stats: Iterable[StreamStats]) -> Iterator[Metric]:
        labels = ("stream", "layer")
        bitrate = GaugeMetricFamily("edge_ingest_bitrate_bps", "Bit rate of a layer", labels=labels)
        fps = GaugeMetricFamily("edge_ingest_fps", "Frame rate of a layer", labels=labels)
        tier = GaugeMetricFamily("edge_tier", "Degradation tier", labels=("stream",))
        sent = 0
        dropped: dict[str, int] = defaultdict(int)
        names = {stream.number: stream for stream in self._gateway.driver.streams}
        for item in stats:
            sent += item.frames_sent
            for stage, count in item.frames_dropped.items():
                dropped[stage] += count
            stream = names.get(item.number)
            if stream is None:
                continue
            for layer in item.layers:
                bitrate.add_metric((stream.name, layer.rid), layer.bitrate_bps)
                fps.add_metric((stream.name, layer.rid), layer.fps)
        for stream in names.values():
            tier.add_metric((stream.name,), stream.tier)
        yield bitrate
        yield fps
        yield tier
        yield _counter("edge_video_frames_sent", "Video frames sent to players", sent)
        family = CounterMetricFamily(
            "edge_video_frames_dropped", "Video frames not sent, or lost", labels=("stage",)
        )
        for stage in STAGES:
            family.add_metric((stage,), dropped.get(stage, 0))
        yield family


def _workers(workers: tuple[WorkerStats, ...]) -> Iterator[Metric]:
    busy = GaugeMetricFamily(
        "edge_worker_busy_ratio", "Share of time a worker was busy", labels=("worker",)
    )
    buffers = GaugeMetricFamily(
        "edge_udp_receive_buffer_bytes", "Receive buffer in effect", labels=("worker",)
    )
    for index, worker in enumerate(workers):
        busy.add_metric((str(index),), worker.busy_ratio)
        buffers.add_metric((str(index),), worker.receive_buffer_bytes)
    yield busy
    yield buffers
    for name, help_text, field in _SUMS:
        yield _counter(name, help_text, sum(getattr(worker, field) for worker in workers))
    drops = CounterMetricFamily(
        "edge_datagrams_dropped", "Datagrams refused, by reason", labels=("reason",)
    )
    for code in DropCode:
        drops.add_metric((code,), sum(worker.drops.get(code, 0) for worker in workers))
    yield drops
    yield _gauge(
        "edge_egress_bitrate_bps", "Bit rate to players", sum(w.egress_bps for w in workers)
    )
    yield _seconds(
        "edge_forward_delay_seconds",
        "From a packet's arrival to its sending",
        [bucket for worker in workers for bucket in worker.forward_delay],
    )


_SUMS = (
    ("edge_packets_received", "Media datagrams received", "packets_received"),
    ("edge_packets_sent", "Media datagrams sent", "packets_sent"),
    ("edge_packets_retransmitted", "Packets sent again after a NACK", "packets_retransmitted"),
    ("edge_packets_lost", "Packets that a studio's network lost for good", "packets_lost"),
    ("edge_bytes_received", "Bytes received", "bytes_received"),
    ("edge_bytes_sent", "Bytes sent", "bytes_sent"),
    ("edge_udp_receive_drops", "Datagrams the kernel dropped at our sockets", "udp_receive_drops"),
    ("edge_udp_send_drops", "Datagrams the kernel did not take", "send_dropped"),
    ("edge_keyframe_requests", "Key frames asked of studios", "keyframe_requests"),
)


def _gauge(name: str, help_text: str, value: float) -> GaugeMetricFamily:
    return GaugeMetricFamily(name, help_text, value=value)


def _counter(name: str, help_text: str, value: float) -> CounterMetricFamily:
    return CounterMetricFamily(name, help_text, value=value)


def _seconds(name: str, help_text: str, buckets: list[tuple[float, int, float]]) -> Metric:
    """A histogram from (bound, count, sum) triples, merged by bound."""
    counts: dict[float, int] = defaultdict(int)
    total = 0.0
    for bound, count, share in buckets:
        counts[bound] += count
        total += share
    finite = sorted(bound for bound in counts if bound != float("inf"))
    pairs = [(bound, counts[bound]) for bound in finite]
    return _histogram(name, help_text, pairs, sum(counts.values()), total)


def _histogram(
    name: str, help_text: str, pairs: list[tuple[float, int]], count: int, total: float
) -> HistogramMetricFamily:
    cumulative, running = [], 0
    for bound, share in pairs:
        running += share
        cumulative.append((str(bound), float(running)))
    cumulative.append(("+Inf", float(count)))
    return HistogramMetricFamily(name, help_text, buckets=cumulative, sum_value=total)
