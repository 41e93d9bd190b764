"""The door to prometheus_client: everything is read when it is scraped, nothing is pushed."""

from __future__ import annotations

import time
from collections import Counter
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
from edge.server.stats import Buckets, PlaneStats, StreamStats, WorkerStats

CONTENT_TYPE = CONTENT_TYPE_LATEST
STAGES = ("ingest", "congestion", "tier", "socket", "player")
PROTOCOLS = {Role.PUBLISHER: "whip", Role.SUBSCRIBER: "whep"}
SINGLE_LAYER = "main"
"""Label of a video without simulcast: an empty label is an absent one in Prometheus."""

SUMS = (
    ("edge_packets_received", "packets_received", "Media datagrams received"),
    ("edge_packets_sent", "packets_sent", "RTP packets sent, retransmissions included"),
    ("edge_packets_retransmitted", "packets_retransmitted", "Packets sent again after a NACK"),
    ("edge_packets_lost", "packets_lost", "Packets of studios that never came"),
    ("edge_bytes_received", "bytes_received", "Bytes received"),
    ("edge_bytes_sent", "bytes_sent", "Bytes of RTP packets sent"),
    ("edge_nacks_sent", "nacks_sent", "Packets asked of studios"),
    ("edge_nacks_received", "nacks_received", "Packets that players asked for"),
    ("edge_udp_receive_drops", "udp_receive_drops", "Datagrams the kernel dropped at our sockets"),
    ("edge_udp_send_drops", "send_dropped", "Datagrams the kernel did not take"),
    ("edge_bus_drops", "bus_dropped", "Bursts that another worker was too slow to take"),
    ("edge_keyframe_requests", "keyframe_requests", "Key frames asked of studios"),
    (
        "edge_keyframe_requests_received",
        "keyframe_requests_received",
        "Key frames asked by players",
    ),
)
"""(metric, counter of a worker, help), summed over the workers."""

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
        self._frames = FrameTotals()
        self._egress = Rate()

    def describe(self) -> Iterable[Metric]:
        """Nothing is collected at registration."""
        return []

    def collect(self) -> Iterator[Metric]:
        """Every family, once per scrape. What cannot be read is absent, which is not zero."""
        yield from self._sessions()
        try:
            stats = self._gateway.engine.stats()
        except ValueError:
            log.exception("stats_unreadable")
            return
        yield from _workers(stats.workers)
        sent = sum(worker.counters.get("bytes_sent", 0) for worker in stats.workers)
        rate_bps = self._egress.update(sent * 8, time.monotonic())
        yield _gauge(
            "edge_egress_bitrate_bps", "Bit rate to players since the last scrape", rate_bps
        )
        yield from self._streams(stats)

    def _sessions(self) -> Iterator[Metric]:
        driver, config = self._gateway.driver, self._gateway.config
        sessions = GaugeMetricFamily(
            "edge_sessions", "Connected sessions", labels=("role", "protocol")
        )
        connecting = GaugeMetricFamily(
            "edge_sessions_connecting", "Sessions between answer and media", labels=("role",)
        )
        counts = driver.counts()
        for role in Role:
            sessions.add_metric((role, PROTOCOLS[role]), counts[role, True])
            connecting.add_metric((role,), counts[role, False])
        closed = CounterMetricFamily(
            "edge_sessions_closed", "Sessions that ended", labels=("role", "reason")
        )
        for (role, reason), count in driver.counters.closed.items():
            closed.add_metric((role, reason), count)
        yield from (sessions, connecting, closed)
        yield _gauge("edge_session_capacity", "Sessions admitted", config.limits.max_sessions)
        yield _gauge("edge_draining", "1 while no new sessions are taken", self._gateway.draining)
        ignored = driver.counters.messages_ignored
        yield CounterMetricFamily(
            "edge_data_channel_messages_ignored", "Messages that nothing here takes", value=ignored
        )
        yield CounterMetricFamily(
            "edge_ingest_b_frame_streams",
            "Streams found to carry B-frames",
            value=driver.counters.b_frame_streams,
        )
        joins = driver.counters.join_seconds
        yield _histogram(
            "edge_join_seconds",
            "From POST to the first whole key frame sent",
            Buckets(bounds=joins.bounds, counts=tuple(joins.counts), total=joins.total),
        )

    def _streams(self, stats: PlaneStats) -> Iterator[Metric]:
        labels = ("stream", "layer")
        bitrate = GaugeMetricFamily("edge_ingest_bitrate_bps", "Bit rate of a layer", labels=labels)
        fps = GaugeMetricFamily("edge_ingest_fps", "Frame rate of a layer", labels=labels)
        tier = GaugeMetricFamily("edge_tier", "Degradation tier", labels=("stream",))
        names = {stream.number: stream.name for stream in self._gateway.driver.streams}
        for stream in self._gateway.driver.streams:
            tier.add_metric((stream.name,), stream.tier)
        for item in stats.streams:
            name = names.get(item.number)
            for layer in item.layers if item.home and name is not None else ():
                video = layer.kind == "video"
                label = (layer.layer.rid or SINGLE_LAYER) if video else layer.kind
                bitrate.add_metric((name or "", label), layer.layer.bitrate_bps)
                if video:
                    fps.add_metric((name or "", label), layer.layer.fps)
        yield from (bitrate, fps, tier)
        self._frames.update(stats.streams)
        yield CounterMetricFamily(
            "edge_video_frames_sent", "Video frames sent to players", value=self._frames.sent
        )
        dropped = CounterMetricFamily(
            "edge_video_frames_dropped", "Video frames not sent, or lost", labels=("stage",)
        )
        for stage in STAGES:
            dropped.add_metric((stage,), self._frames.dropped[stage])
        yield dropped


class FrameTotals:
    """Sums over streams that stay monotonic when a stream is forgotten."""

    def __init__(self) -> None:
        self._past: Counter[str] = Counter()
        self._live: dict[int, Counter[str]] = {}

    @property
    def sent(self) -> int:
        """Frames sent so far."""
        return self.dropped["sent"]

    @property
    def dropped(self) -> Counter[str]:
        """Frames by stage, those sent under `sent`."""
        return sum(self._live.values(), Counter(self._past))

    def update(self, streams: Iterable[StreamStats]) -> None:
        """Take the counts of the streams that exist; those that are gone keep their last."""
        live: dict[int, Counter[str]] = {}
        for stream in streams:
            counts = live.setdefault(stream.number, Counter())
            counts.update({**stream.frames_dropped, "sent": stream.frames_sent})
        for number in self._live.keys() - live.keys():
            self._past.update(self._live[number])
        self._live = live


class Rate:
    """The growth of a counter per second between scrapes."""

    def __init__(self) -> None:
        self._value = 0
        self._at: float | None = None
        self._rate = 0.0

    def update(self, value: int, now: float) -> float:
        """Take the counter's value now; scrapes within half a second give the rate of before."""
        if self._at is None or now - self._at >= 0.5:
            if self._at is not None:
                self._rate = max(0.0, (value - self._value) / (now - self._at))
            self._value, self._at = value, now
        return self._rate


def _workers(workers: tuple[WorkerStats, ...]) -> Iterator[Metric]:
    busy = GaugeMetricFamily(
        "edge_worker_busy_ratio", "Share of the last second a worker was busy", labels=("worker",)
    )
    buffers = GaugeMetricFamily(
        "edge_udp_receive_buffer_bytes", "Receive buffer in effect", labels=("worker",)
    )
    for index, worker in enumerate(workers):
        busy.add_metric((str(index),), worker.busy_ratio)
        buffers.add_metric((str(index),), worker.receive_buffer_bytes)
    yield from (busy, buffers)
    for name, counter, help_text in SUMS:
        total = sum(worker.counters.get(counter, 0) for worker in workers)
        yield CounterMetricFamily(name, help_text, value=total)
    drops = CounterMetricFamily(
        "edge_datagrams_dropped", "Datagrams refused, by reason", labels=("reason",)
    )
    for code in DropCode:
        drops.add_metric((code,), sum(worker.drops.get(code, 0) for worker in workers))
    yield drops
    yield _histogram(
        "edge_forward_delay_seconds",
        "From the arrival of a batch's oldest packet to the return of its send",
        _merged(worker.forward_delay for worker in workers),
    )
    yield _histogram(
        "edge_media_rtt_seconds", "Round trips to players", _merged(w.media_rtt for w in workers)
    )


def _merged(histograms: Iterable[Buckets]) -> Buckets:
    items = list(histograms)
    if not items:
        return Buckets(bounds=(), counts=(0,), total=0.0)
    counts = tuple(sum(column) for column in zip(*(item.counts for item in items), strict=True))
    return Buckets(bounds=items[0].bounds, counts=counts, total=sum(item.total for item in items))


def _histogram(name: str, help_text: str, buckets: Buckets) -> HistogramMetricFamily:
    cumulative: list[tuple[str, float]] = []
    running = 0
    for bound, count in zip((*buckets.bounds, float("inf")), buckets.counts, strict=True):
        running += count
        label = "+Inf" if bound == float("inf") else f"{bound:.6g}"
        cumulative.append((label, float(running)))
    return HistogramMetricFamily(name, help_text, buckets=cumulative, sum_value=buckets.total)


def _gauge(name: str, help_text: str, value: float) -> GaugeMetricFamily:
    return GaugeMetricFamily(name, help_text, value=value)
