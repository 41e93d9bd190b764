"""Metrics: names that dashboards rely on, values that are true."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from prometheus_client.parser import text_string_to_metric_families

from edge.server.metrics import FrameTotals, Rate
from edge.server.stats import read_stats

from .running import Edge, Peer, play

NAMES = {
    "edge_media_rtt_seconds", "edge_video_frames_sent", "edge_video_frames_dropped", "edge_sessions",
    "edge_session_capacity", "edge_join_seconds", "edge_tier", "edge_ingest_bitrate_bps",
    "edge_ingest_fps", "edge_egress_bitrate_bps", "edge_forward_delay_seconds",
    "edge_worker_busy_ratio", "edge_packets_received", "edge_packets_sent",
    "edge_packets_retransmitted", "edge_packets_lost", "edge_udp_receive_drops",
    "edge_udp_receive_buffer_bytes", "edge_keyframe_requests", "edge_draining",
}  # fmt: skip
"""Of DESIGN, section 4; the parser drops `_total`."""

STATS = {
    "bounds_us": [50, 100],
    "workers": [
        {
            "busy_ratio": 0.25,
            "packets_sent": 7,
            "bytes_sent": 100,
            "gso": True,
            "drops": {"replayed": 2},
            "forward_delay": {"counts": [1, 2, 3], "sum_us": 400},
        },
        {"packets_sent": 5, "drops": {"replayed": 1}, "forward_delay": {"counts": [1, 0, 0]}},
    ],
    "streams": [
        {
            "stream": 1,
            "home": True,
            "frames_sent": 90,
            "frames_dropped": {"tier": 4, "socket": 1},
            "layers": [
                {"kind": "video", "rid": "h", "bitrate_bps": 2000, "fps": 30.0},
                {"kind": "audio", "rid": "", "bitrate_bps": 64, "fps": 50.0},
            ],
        },
        {"stream": 1, "home": False, "frames_sent": 10, "layers": [{"rid": "x"}]},
    ],
}


async def scrape(edge: Edge) -> dict[str, list[tuple[dict[str, str], float]]]:
    response = await edge.client.get("/metrics")
    assert response.headers["Content-Type"].startswith("text/plain")
    families: dict[str, list[tuple[dict[str, str], float]]] = {}
    for family in text_string_to_metric_families(await response.text()):
        for sample in family.samples:
            families.setdefault(sample.name, []).append((sample.labels, sample.value))
        families.setdefault(family.name, [])
    return families


def test_all_names_are_there_and_the_data_plane_is_counted(monkeypatch: pytest.MonkeyPatch) -> None:
    async def run(edge: Edge) -> None:
        studio = Peer(edge)
        await studio.publish("t1")
        monkeypatch.setattr(edge.gateway.engine, "stats", lambda: read_stats(STATS))
        found = await scrape(edge)
        assert set(found) >= NAMES
        assert found["edge_packets_sent_total"] == [({}, 12)]
        assert ({"reason": "replayed"}, 3) in found["edge_datagrams_dropped_total"]
        assert found["edge_ingest_fps"] == [({"stream": "t1", "layer": "h"}, 30)]
        assert found["edge_ingest_bitrate_bps"] == [
            ({"stream": "t1", "layer": "h"}, 2000),
            ({"stream": "t1", "layer": "audio"}, 64),
        ]
        assert found["edge_video_frames_sent_total"] == [({}, 100)]
        stages = {
            labels["stage"]: value for labels, value in found["edge_video_frames_dropped_total"]
        }
        assert stages == {"ingest": 0, "congestion": 0, "tier": 4, "socket": 1, "player": 0}
        assert [value for _, value in found["edge_forward_delay_seconds_bucket"]] == [2, 4, 7]
        assert found["edge_forward_delay_seconds_sum"][0][1] == pytest.approx(0.0004)
        assert ({"role": "publisher", "protocol": "whip"}, 1) in found["edge_sessions"]
        await studio.close()

    play(run)


def test_the_real_data_plane_is_read() -> None:
    async def run(edge: Edge) -> None:
        studio = Peer(edge)
        await studio.publish("t1")
        await edge.until(lambda: edge.gateway.driver.streams[0].machine.state.name == "LIVE")
        found = await scrape(edge)
        assert set(found) >= NAMES
        assert found["edge_packets_received_total"][0][1] > 0
        ((labels, size),) = found["edge_udp_receive_buffer_bytes"]
        assert (labels, size >= 200_000) == ({"worker": "0"}, True)
        await studio.close()

    play(run)


def test_what_cannot_be_read_is_absent_and_not_zero(monkeypatch: pytest.MonkeyPatch) -> None:
    async def run(edge: Edge) -> None:
        def fail() -> None:
            raise ValueError("not JSON")

        monkeypatch.setattr(edge.gateway.engine, "stats", fail)
        found = await scrape(edge)
        assert "edge_packets_sent" not in found
        assert "edge_sessions" in found

    play(run)


def test_no_label_is_an_id() -> None:
    async def run(edge: Edge) -> None:
        studio, player = Peer(edge), Peer(edge)
        await studio.publish("t1")
        await player.watch("t1")
        await player.close()
        found = await scrape(edge)
        labels = {name for rows in found.values() for row, _ in rows for name in row}
        assert labels <= {
            "role", "protocol", "reason", "stream", "layer", "worker", "stage", "le",
            "version", "implementation", "major", "minor", "patchlevel", "generation",
        }  # fmt: skip
        await studio.close()

    play(run)


def test_frames_stay_counted_when_a_stream_is_forgotten() -> None:
    totals = FrameTotals()
    totals.update(read_stats(STATS).streams)
    totals.update([])
    assert (totals.sent, totals.dropped["tier"]) == (100, 4)
    totals.update(read_stats({"streams": [{"stream": 2, "frames_sent": 1}]}).streams)
    assert totals.sent == 101


def test_a_rate_is_the_growth_between_scrapes() -> None:
    rate = Rate()
    assert rate.update(100, 10) == 0
    assert rate.update(300, 12) == 100
    # A second scraper right after the first sees the same rate.
    assert rate.update(301, 12.1) == 100
    assert rate.update(0, 13) == 0


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=3),
    lambda inner: (
        st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=3), inner, max_size=3)
    ),
    max_leaves=6,
)


@given(st.dictionaries(st.sampled_from(["workers", "streams", "bounds_us"]), JSON))
def test_any_document_is_read_or_refused(document: dict[str, Any]) -> None:
    """Invariant: values, or ValueError, which the collector catches."""
    try:
        read_stats(json.loads(json.dumps(document)))
    except ValueError:
        pass
