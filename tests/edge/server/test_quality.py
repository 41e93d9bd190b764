"""What a studio sends that players will feel is said once, in the log, the API and the metrics."""

from __future__ import annotations

from edge.model import Layer

from .running import Edge, offer, play


def layer(*, b_frames: bool) -> Layer:
    return Layer(
        rid="",
        rank=0,
        width=1280,
        height=720,
        bitrate_bps=2_500_000,
        fps=30,
        active=True,
        b_frames=b_frames,
    )


def test_b_frames_are_counted_once_per_publication() -> None:
    async def run(edge: Edge) -> None:
        assert (await edge.whip("t1", offer("sendonly"))).status == 201
        driver = edge.gateway.driver
        number = driver.streams[0].number
        for b_frames in (False, True, True):
            driver.on_layers(number, (layer(b_frames=b_frames),), "64001f")
        assert driver.counters.b_frame_streams == 1
        listed = await (await edge.client.get("/v1/streams")).json()
        assert listed["streams"][0]["layers"][0]["b_frames"] is True
        metrics = await (await edge.client.get("/metrics")).text()
        assert "edge_ingest_b_frame_streams_total 1.0" in metrics

    play(run)
