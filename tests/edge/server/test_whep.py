"""WHEP over HTTP: joining, waiting, layers and events (draft-ietf-wish-whep)."""

from __future__ import annotations

import asyncio
import json
from typing import Any

import pytest
from aiohttp import ClientResponse

from edge.model import Layer

from .running import SDP, Edge, Peer, offer, play

LAYERS = (
    Layer(rid="l", rank=0, width=320, height=180, bitrate_bps=200_000, fps=30, active=True),
    Layer(rid="m", rank=1, width=640, height=360, bitrate_bps=800_000, fps=30, active=True),
    Layer(rid="h", rank=2, width=1280, height=720, bitrate_bps=0, fps=0, active=False),
)


def measured(edge: Edge) -> None:
    """As if the data plane had measured three layers."""
    stream = edge.gateway.driver.streams[0]
    edge.gateway.driver.on_layers(stream.number, LAYERS, "640c1f")


async def next_event(response: ClientResponse) -> tuple[str, Any]:
    """Read one server-sent event, skipping comments."""
    while True:
        block = (await response.content.readuntil(b"\n\n")).decode()
        if not block.startswith(":"):
            first, second = block.strip().split("\n")
            assert first.startswith("event: ") and second.startswith("data: ")
            return first[7:], json.loads(second[6:])


def test_a_player_joins_and_its_extensions_are_linked() -> None:
    async def run(edge: Edge) -> None:
        studio, player = Peer(edge), Peer(edge)
        await studio.publish("t1")
        response = await player.watch("t1")
        where = response.headers["Location"]
        assert response.headers.getall("Link") == [
            (
                f'<{where}/events>; rel="urn:ietf:params:whep:ext:core:server-sent-events"; '
                'events="active,inactive,layers,reconnect,viewercount"'
            ),
            f'<{where}/layer>; rel="urn:ietf:params:whep:ext:core:layer"',
        ]
        await edge.until(lambda: edge.gateway.driver.streams[0].machine.viewers == 1)
        await player.close()
        await edge.until(lambda: edge.gateway.driver.streams[0].machine.viewers == 0)
        await studio.close()

    play(run)


def test_a_player_may_wait_for_the_studio() -> None:
    async def run(edge: Edge) -> None:
        studio = Peer(edge)
        url = "/whep/t1?wait=10"
        waiting = asyncio.create_task(
            edge.client.post(url, data=offer("recvonly"), headers=SDP).__aenter__()
        )
        assert (await edge.whep("t1", offer("recvonly"))).status == 404
        await studio.publish("t1")
        assert (await waiting).status == 201
        await studio.close()

    play(run)


def test_waiting_ends() -> None:
    async def run(edge: Edge) -> None:
        late = await edge.client.post("/whep/t1?wait=60", data=offer("recvonly"), headers=SDP)
        assert late.status == 404

    play(run, streams={"wait_max_s": 0.1})


@pytest.mark.parametrize("wait", ["x", "-1", "nan", "inf"])
def test_a_wait_that_is_no_time_is_refused(wait: str) -> None:
    async def run(edge: Edge) -> None:
        url = f"/whep/t1?wait={wait}"
        response = await edge.client.post(url, data=offer("recvonly"), headers=SDP)
        assert response.status == 400

    play(run)


def test_nobody_waits_before_a_bad_offer_is_refused() -> None:
    async def run(edge: Edge) -> None:
        response = await edge.client.post("/whep/t1?wait=10", data="rubbish", headers=SDP)
        assert response.status == 400

    play(run)


def test_events_tell_of_the_stream() -> None:
    async def run(edge: Edge) -> None:
        studio = Peer(edge)
        await studio.publish("t1")
        await edge.until(lambda: edge.gateway.driver.streams[0].machine.state.name == "LIVE")
        joined = await edge.whep("t1", offer("recvonly"))
        where = joined.headers["Location"] + "/events"
        created = await edge.client.post(where, json=["active", "inactive", "layers", "scte35"])
        assert created.status == 201
        feed = await edge.client.get(created.headers["Location"])
        assert feed.headers["Content-Type"] == "text/event-stream"
        assert await next_event(feed) == ("active", {})
        measured(edge)
        assert await next_event(feed) == (
            "layers",
            {
                "1": [
                    {"rid": "l", "spatialLayerId": 0, "bitrate": 200_000, "width": 320, "height": 180, "fps": 30},
                    {"rid": "m", "spatialLayerId": 1, "bitrate": 800_000, "width": 640, "height": 360, "fps": 30},
                    {"rid": "h", "spatialLayerId": 2, "width": 1280, "height": 720, "fps": 0},
                ]
            },
        )  # fmt: skip
        await studio.close()
        assert await next_event(feed) == ("inactive", {})
        assert (await edge.client.delete(created.headers["Location"])).status == 200
        assert await feed.content.read() == b""
        assert (await edge.client.get(created.headers["Location"])).status == 404

    play(run)


def test_a_plain_get_hears_everything_and_ends_with_the_session() -> None:
    async def run(edge: Edge) -> None:
        studio, player = Peer(edge), Peer(edge)
        await studio.publish("t1")
        joined = await edge.whep("t1", offer("recvonly"))
        feed = await edge.client.get(joined.headers["Location"] + "/events")
        seen = [await next_event(feed)]
        await player.watch("t1")
        while seen[-1] != ("viewercount", {"viewercount": 1}):
            seen.append(await next_event(feed))
        assert ("viewercount", {"viewercount": 0}) in seen
        edge.gateway.driver.announce_reconnect()
        assert await next_event(feed) == ("reconnect", {})
        await edge.client.delete(joined.headers["Location"])
        assert await feed.content.read() == b""
        for peer in (studio, player):
            await peer.close()

    play(run)


def test_event_streams_are_bounded() -> None:
    async def run(edge: Edge) -> None:
        studio = Peer(edge)
        await studio.publish("t1")
        joined = await edge.whep("t1", offer("recvonly"))
        where = joined.headers["Location"] + "/events"
        created = [await edge.client.post(where) for _ in range(5)]
        assert [response.status for response in created] == [201] * 4 + [429]
        for body in ("{}", "[1]", "[", "\xff"):
            headers = {"Content-Type": "application/json"}
            response = await edge.client.post(where, data=body.encode("latin-1"), headers=headers)
            assert response.status == 400
        record = next(r for r in edge.gateway.driver.sessions if r.feeds)
        for _ in range(10):
            edge.gateway.driver.announce_reconnect()
        # Nobody read: those readers are let go, the stream goes on.
        assert record.feeds == {}
        assert not record.stream.watchers
        await studio.close()

    play(run, limits={"events_queue": 4})


@pytest.mark.parametrize(
    ("wish", "expected"),
    [
        ({}, {}),
        ({"mediaId": "1", "rid": "m"}, {"rid": "m"}),
        ({"encodingId": "l"}, {"rid": "l"}),
        ({"maxHeight": 400}, {"max_rank": 1}),
        ({"maxWidth": 100}, {"max_rank": 0}),
        ({"maxWidth": 5000, "maxSpatialLayerId": 1}, {"max_rank": 1}),
        ({"spatialLayerId": 0, "maxTemporalLayerId": 1}, {"max_rank": 0, "max_temporal": 1}),
        ({"temporalLayerId": 0, "maxTemporalLayerId": 1}, {"max_temporal": 0}),
        ({"paused": True}, {"paused": True}),
    ],
)
def test_a_layer_is_chosen(wish: dict[str, Any], expected: dict[str, Any]) -> None:
    async def run(edge: Edge) -> None:
        studio = Peer(edge)
        await studio.publish("t1")
        measured(edge)
        joined = await edge.whep("t1", offer("recvonly"))
        wishes: list[dict[str, Any]] = []
        edge.gateway.engine.select_layer = lambda _, **wish: wishes.append(wish)  # type: ignore[method-assign]
        where = joined.headers["Location"] + "/layer"
        assert (await edge.client.post(where, json=wish)).status == 200
        nothing = {"rid": None, "max_rank": None, "max_temporal": None, "paused": False}
        assert wishes == [{**nothing, **expected}]
        assert (await edge.client.delete(where)).status == 200
        assert wishes[1] == {}
        await studio.close()

    play(run)


@pytest.mark.parametrize(
    ("wish", "status"),
    [
        ({"rid": "x"}, 404),
        ({"mediaId": "0"}, 404),
        ({"mediaId": 1}, 400),
        ({"maxHeight": 0}, 400),
        ([], 200),
        ([1], 400),
        ("high", 400),
    ],
)
def test_a_layer_that_is_not_there_is_refused(wish: object, status: int) -> None:
    async def run(edge: Edge) -> None:
        studio = Peer(edge)
        await studio.publish("t1")
        measured(edge)
        joined = await edge.whep("t1", offer("recvonly"))
        response = await edge.client.post(joined.headers["Location"] + "/layer", json=wish)
        assert response.status == status
        await studio.close()

    play(run)


def test_data_channels_are_served() -> None:
    async def run(edge: Edge) -> None:
        studio, player = Peer(edge), Peer(edge)
        await studio.publish("t1")
        heard: asyncio.Queue[tuple[str, str]] = asyncio.Queue()
        for label in ("ping", "events", "unknown"):
            channel = player.pc.createDataChannel(label)
            channel.on("message", lambda data, label=label: heard.put_nowait((label, data)))
            channel.on("open", lambda channel=channel: channel.send("hello"))
        await player.watch("t1")
        found = dict([await heard.get()])
        while "ping" not in found or "viewercount" not in found.get("events", ""):
            found.update([await heard.get()])
        assert found["ping"] == "hello"
        assert json.loads(found["events"])["event"] == "viewercount"
        await edge.until(lambda: edge.gateway.driver.counters.messages_ignored == 2)
        for peer in (studio, player):
            await peer.close()

    play(run)
