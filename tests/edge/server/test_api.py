"""Operations: streams, sessions, tiers, probes and pages."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from aiohttp import web
from aiohttp.test_utils import TestClient, TestServer
from hypothesis import given, settings
from hypothesis import strategies as st

from edge.server import pages

from .running import FRAGMENT, SDP, Edge, Peer, offer, play


def test_streams_and_sessions_are_listed_without_their_secrets() -> None:
    async def run(edge: Edge) -> None:
        ops = edge.bearer("ops")
        studio, player = Peer(edge), Peer(edge)
        await studio.publish("t1", **edge.bearer("publish"))
        player.pc.createDataChannel("ping")
        await player.watch("t1", **edge.bearer("watch"))
        await edge.until(lambda: edge.gateway.driver.streams[0].machine.state.name == "LIVE")
        body = await (await edge.client.get("/v1/streams", headers=ops)).json()
        (stream,) = body["streams"]
        assert (stream["stream"], stream["state"], stream["viewers"]) == ("t1", "live", 1)
        assert stream["tracks"][0]["codec"] == "opus"
        text = await (await edge.client.get("/v1/sessions", headers=ops)).text()
        assert studio.location.rsplit("/")[-1] not in text
        rows = (await (await edge.client.get("/v1/sessions", headers=ops)).json())["sessions"]
        assert [(row["role"], row["protocol"], row["state"]) for row in rows] == [
            ("publisher", "whip", "connected"),
            ("subscriber", "whep", "connected"),
        ]
        assert [row["data_channel"] for row in rows] == [False, True]
        for path in ("/v1/streams", "/v1/sessions"):
            assert (await edge.client.get(path)).status == 401
            assert (await edge.client.get(path, headers=edge.bearer("watch"))).status == 403
        for peer in (studio, player):
            await peer.close()

    play(run, secured=True)


@pytest.mark.parametrize(
    ("body", "status"),
    [
        ({"tier": 2}, 200),
        ({"tier": 0, "stream": None}, 200),
        ({"tier": 3, "stream": "t1"}, 200),
        ({"tier": 1, "stream": "t2"}, 404),
        ({"tier": 5}, 400),
        ({"tier": True}, 400),
        ({"tier": "1"}, 400),
        ({"tier": 1, "stream": 7}, 400),
        ({"tier": 1, "stream": "a b"}, 400),
        ([], 400),
    ],
)
def test_tiers(body: Any, status: int) -> None:
    async def run(edge: Edge) -> None:
        assert (await edge.whip("t1", offer("sendonly"))).status == 201
        response = await edge.client.put("/v1/tier", json=body)
        assert response.status == status, await response.text()
        if status == 200:
            assert edge.gateway.driver.streams[0].tier == body["tier"]

    play(run)


def test_probes() -> None:
    async def run(edge: Edge) -> None:
        assert (await edge.client.get("/healthz")).status == 200
        assert (await edge.client.get("/readyz")).status == 200

    play(run, secured=True)


@pytest.mark.parametrize(("demanded", "status"), [(True, 503), (False, 200)])
def test_an_untuned_node_is_not_ready_where_that_is_demanded(demanded: bool, status: int) -> None:
    async def run(edge: Edge) -> None:
        answer = await edge.client.get("/readyz")
        assert answer.status == status
        if demanded:
            assert "net.core.rmem_max=2000000000" in (await answer.json())["detail"]

    # No kernel grants two gigabytes.
    play(
        run,
        data_plane={"receive_buffer_bytes": 2_000_000_000},
        node={"require_tuned": demanded},
    )


def test_drain_may_tell_players() -> None:
    async def run(edge: Edge) -> None:
        told: list[bool] = []
        edge.gateway.driver.announce_reconnect = lambda: told.append(True)  # type: ignore[method-assign]
        await edge.client.post("/v1/drain")
        await edge.client.post("/v1/drain", json={"tell_players": True})
        assert told == [True]
        bad = await edge.client.post(
            "/v1/drain", data="{", headers={"Content-Type": "application/json"}
        )
        assert bad.status == 400

    play(run)


def test_pages(tmp_path: Path) -> None:
    async def run(edge: Edge) -> None:
        missing = web.Application()
        missing.add_routes(pages.routes(tmp_path))
        async with TestClient(TestServer(missing)) as client:
            response = await client.get("/")
            assert response.status == 503
            assert "npm run build" in await response.text()
        (tmp_path / "assets").mkdir()
        (tmp_path / "assets" / "a.js").write_text("1")
        (tmp_path / "index.html").write_text("<p>player")
        built = web.Application()
        built.add_routes(pages.routes(tmp_path))
        async with TestClient(TestServer(built)) as client:
            assert await (await client.get("/")).text() == "<p>player"
            assert (await client.get("/assets/a.js")).status == 200
            assert (await client.get("/assets/../index.html")).status == 404

    play(run)


HEADERS = st.dictionaries(
    st.sampled_from(["If-Match", "Authorization", "traceparent", "Origin", "X-Any"]),
    st.text(st.characters(min_codepoint=32, max_codepoint=126), max_size=20),
    max_size=3,
)
REQUESTS = st.lists(
    st.tuples(
        st.sampled_from(["GET", "POST", "PATCH", "DELETE", "PUT", "OPTIONS"]),
        st.sampled_from(
            ["/whip/t1", "/whep/t1", "/whip/t1/x", "/whep/t1/x", "/v1/tier", "/v1/drain",
             "/whep/t1/x/layer", "/whep/t1/x/events", "/whip/%00", "/whep/t1?wait=%F0", "/", "/v1/x"]
        ),
        st.sampled_from([SDP, FRAGMENT, {"Content-Type": "application/json"}, {}]),
        HEADERS,
        st.binary(max_size=200) | st.sampled_from([offer("sendonly").encode()[:n] for n in (40, 300, 600)]),
    ),
    max_size=12,
)  # fmt: skip


@settings(max_examples=25, deadline=None)
@given(REQUESTS)
def test_any_request_is_answered_with_less_than_500_or_a_retryable_problem(requests: Any) -> None:
    """Invariant: every request gets an answer, and none of them is our defect."""

    async def run(edge: Edge) -> None:
        for method, path, content_type, headers, body in requests:
            response = await edge.client.request(
                method, path, data=body, headers={**headers, **content_type}
            )
            text = await response.text()
            assert response.status != 500, text
            if response.status >= 400 and response.headers.get("Content-Type", "").startswith(
                "application/"
            ):
                assert "code" in await response.json()

    play(run)
