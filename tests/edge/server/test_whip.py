"""WHIP over HTTP (RFC 9725), with studios that really connect."""

from __future__ import annotations

import json
import re
from typing import Any

from edge.server import driver
from edge.sfu.stream import State

from .running import FRAGMENT, SDP, Edge, Peer, offer, play

GRACE: dict[str, Any] = {"streams": {"reconnect_grace_s": 30, "retry_after_s": 3}}


def test_created_has_everything_that_clients_look_at() -> None:
    async def run(edge: Edge) -> None:
        response = await edge.whip("t1", offer("sendonly"), Origin="https://studio.example")
        assert response.status == 201
        # OBS takes a relative Location's path and drops its query.
        assert re.fullmatch(r"/whip/t1/[A-Za-z0-9_-]{32}", response.headers["Location"])
        assert re.fullmatch(r'"[0-9a-f]+"', response.headers["ETag"])
        assert response.headers["Content-Type"] == "application/sdp"
        assert response.headers["Accept-Patch"] == "application/trickle-ice-sdpfrag"
        assert response.headers.getall("Link") == [
            '<stun:stun.example:3478>; rel="ice-server"',
            (
                '<turn:turn.example>; rel="ice-server"; username="u"; credential="p"; '
                'credential-type="password"'
            ),
        ]
        exposed = response.headers["Access-Control-Expose-Headers"]
        assert {"Location", "ETag", "Link"} <= set(exposed.split(", "))
        answer = await response.text()
        assert "a=ice-lite" in answer and "a=setup:passive" in answer
        (port,) = edge.gateway.engine.ports
        assert f" 127.0.0.1 {port} typ host" in answer

    servers = [
        {"urls": ["stun:stun.example:3478"]},
        {"urls": ["turn:turn.example"], "username": "u", "credential": "p"},
    ]
    play(run, ice_servers=servers)


def test_options_says_what_may_be_posted() -> None:
    async def run(edge: Edge) -> None:
        headers = {"Origin": "https://a.example", "Access-Control-Request-Method": "POST"}
        for path in ("/whip/t1", "/whep/t1"):
            response = await edge.client.options(path, headers=headers)
            assert response.status == 200
            assert response.headers["Accept-Post"] == "application/sdp"
            assert response.headers["Access-Control-Allow-Origin"] == "*"
            assert "Authorization" in response.headers["Access-Control-Allow-Headers"]
        resource = await edge.client.options("/whip/t1/x", headers=headers)
        assert resource.headers["Accept-Patch"] == "application/trickle-ice-sdpfrag"
        assert (await edge.client.options("/v1/streams", headers=headers)).status == 204

    play(run)


def test_only_listed_origins_are_let_in() -> None:
    async def run(edge: Edge) -> None:
        good = await edge.client.get("/healthz", headers={"Origin": "https://a.example"})
        bad = await edge.client.get("/healthz", headers={"Origin": "https://b.example"})
        assert good.headers["Access-Control-Allow-Origin"] == "https://a.example"
        assert "Access-Control-Allow-Origin" not in bad.headers
        assert bad.headers["Vary"] == "Origin"

    play(run, http={"cors_origins": ["https://a.example"]})


def test_a_studio_publishes_and_leaves() -> None:
    async def run(edge: Edge) -> None:
        studio = Peer(edge)
        assert (await studio.publish("t1")).status == 201
        stream = edge.gateway.driver.streams[0]
        await edge.until(lambda: stream.machine.state is State.LIVE)
        deleted = await edge.client.delete(studio.location)
        assert deleted.status == 200
        assert stream.machine.state is State.VACANT
        assert edge.gateway.driver.sessions == ()
        assert (await edge.client.delete(studio.location)).status == 404
        await studio.close()

    play(run)


def test_trickle_is_accepted_and_ice_restarts() -> None:
    async def run(edge: Edge) -> None:
        studio = Peer(edge)
        await studio.publish("t1")
        trickled = await edge.client.patch(
            studio.location,
            data="m=audio 9 RTP/AVP 0\r\na=mid:0\r\na=end-of-candidates\r\n",
            headers={**FRAGMENT, "If-Match": studio.etag},
        )
        assert (trickled.status, trickled.headers["ETag"]) == (204, studio.etag)
        restart = "a=ice-ufrag:zzzz\r\na=ice-pwd:abcdefghijklmnopqrstuv\r\nm=audio 9 RTP/AVP 0\r\na=mid:0\r\n"
        restarted = await edge.client.patch(
            studio.location, data=restart, headers={**FRAGMENT, "If-Match": "*"}
        )
        assert restarted.status == 200
        assert restarted.headers["ETag"] != studio.etag
        assert restarted.headers["Content-Type"] == "application/trickle-ice-sdpfrag"
        body = await restarted.text()
        assert "a=ice-ufrag:" in body and "a=candidate:" in body
        stale = await edge.client.patch(
            studio.location, data=restart, headers={**FRAGMENT, "If-Match": studio.etag}
        )
        assert stale.status == 412
        await studio.close()

    play(run)


def test_a_session_that_never_connects_blocks_nobody_and_ends() -> None:
    async def run(edge: Edge) -> None:
        assert (await edge.whip("t1", offer("sendonly"))).status == 201
        studio = Peer(edge)
        assert (await studio.publish("t1")).status == 201
        await edge.until(lambda: len(edge.gateway.driver.sessions) == 1)
        closed = edge.gateway.driver.counters.closed
        assert {(role, reason): count for (role, reason), count in closed.items()} == {
            ("publisher", "setup_timed_out"): 1
        }
        await studio.close()

    play(run, limits={"setup_timeout_s": 0.5})


def test_a_second_publisher_needs_take_over_and_players_stay() -> None:
    async def run(edge: Edge) -> None:
        first, second, player = Peer(edge), Peer(edge), Peer(edge)
        await first.publish("t1", **edge.bearer("publish"))
        await player.watch("t1", **edge.bearer("watch"))
        refused = await edge.whip("t1", offer("sendonly"), **edge.bearer("publish"))
        assert refused.status == 409
        taken = await second.publish("t1", **edge.bearer("publish", take_over=True))
        assert taken.status == 201
        await edge.until(lambda: len(edge.gateway.driver.sessions) == 2)
        stream = edge.gateway.driver.streams[0]
        assert stream.machine.publisher is not None
        assert second.location.endswith(stream.machine.publisher)
        assert player.pc.connectionState == "connected"
        assert (await edge.client.delete(player.location)).status == 200
        for peer in (first, second, player):
            await peer.close()

    play(run, secured=True)


def test_a_reconnecting_studio_finds_its_players() -> None:
    async def run(edge: Edge) -> None:
        studio, again, player = Peer(edge), Peer(edge), Peer(edge)
        await studio.publish("t1")
        await player.watch("t1")
        await studio.close()
        stream = edge.gateway.driver.streams[0]
        await edge.until(lambda: stream.machine.state is State.VACANT)
        late = await edge.whep("t1", offer("recvonly"))
        assert (late.status, late.headers["Retry-After"]) == (404, "3")
        assert (await again.publish("t1")).status == 201
        await edge.until(lambda: stream.machine.state is State.LIVE)
        assert stream.machine.viewers == 1
        assert player.pc.connectionState == "connected"
        for peer in (again, player):
            await peer.close()

    play(run, **GRACE)


def test_players_are_ended_when_no_studio_comes_back() -> None:
    async def run(edge: Edge) -> None:
        studio, player = Peer(edge), Peer(edge)
        await studio.publish("t1")
        await player.watch("t1")
        await studio.close()
        await edge.until(lambda: not edge.gateway.driver.streams)
        assert edge.gateway.driver.sessions == ()
        gone = await edge.client.delete(player.location)
        assert (await gone.json())["reason"] == "stream_ended"
        await player.close()

    play(run, streams={"reconnect_grace_s": 0.2})


def test_a_silent_studio_is_closed_and_counted() -> None:
    async def run(edge: Edge) -> None:
        studio = Peer(edge)
        await studio.publish("t1")
        # Silence: its datagrams stop without a goodbye.
        if studio.pc.sctp:
            await studio.pc.sctp.stop()
        for transceiver in studio.pc.getTransceivers():
            await transceiver.sender.transport.transport.stop()
        await edge.until(lambda: not edge.gateway.driver.sessions)
        ((key, count),) = edge.gateway.driver.counters.closed.items()
        assert (key, count) == (("publisher", "consent_lapsed"), 1)
        await studio.close()

    play(run, data_plane={"consent_timeout_s": 1})


def test_a_grant_that_expires_ends_the_session() -> None:
    async def run(edge: Edge) -> None:
        studio = Peer(edge)
        await studio.publish("t1", **edge.bearer("publish", ttl=2))
        await edge.until(lambda: not edge.gateway.driver.sessions)
        gone = await edge.client.delete(studio.location)
        assert (await gone.json())["reason"] == "grant_expired"
        await studio.close()

    play(run, secured=True, auth={"leeway_s": 0})


def test_a_token_that_is_sent_to_a_resource_must_be_good() -> None:
    async def run(edge: Edge) -> None:
        created = await edge.whip("t1", offer("sendonly"), **edge.bearer("publish"))
        location = created.headers["Location"]
        assert (await edge.client.delete(location, headers=edge.bearer("watch"))).status == 403
        bad = {"Authorization": "Bearer x"}
        assert (await edge.client.delete(location, headers=bad)).status == 401
        assert (await edge.client.delete(location)).status == 200

    play(run, secured=True)


def test_a_token_may_stand_in_the_query() -> None:
    async def run(edge: Edge) -> None:
        token = edge.token("publish", stream="t1")
        url = f"/whip/t1?token={token}"
        response = await edge.client.post(url, data=offer("sendonly"), headers=SDP)
        assert response.status == 201
        assert "?" not in response.headers["Location"]

    play(run, secured=True)


def test_a_redirect_keeps_path_and_query() -> None:
    async def run(edge: Edge) -> None:
        response = await edge.client.post(
            "/whip/t9?token=x", data=offer("sendonly"), headers=SDP, allow_redirects=False
        )
        assert response.status == 307
        assert response.headers["Location"] == "https://edge2.example/whip/t9?token=x"
        assert (await edge.whip("t1", offer("sendonly"))).status == 201

    play(run, redirect={"t9*": "https://edge2.example/"})


def test_draining_refuses_the_new_and_keeps_the_old() -> None:
    async def run(edge: Edge) -> None:
        studio = Peer(edge)
        await studio.publish("t1")
        drained = await edge.client.post("/v1/drain")
        assert await drained.json() == {"draining": True, "sessions": 1}
        assert (await edge.client.get("/readyz")).status == 503
        assert (await edge.whep("t1", offer("recvonly"))).status == 503
        assert studio.pc.connectionState == "connected"
        assert (await edge.client.delete("/v1/drain")).status == 200
        assert (await edge.client.get("/readyz")).status == 200
        assert (await edge.whep("t1", offer("recvonly"))).status == 201
        await studio.close()

    play(run)


def test_the_trace_of_a_request_is_joined() -> None:
    async def run(edge: Edge) -> None:
        trace = "4bf92f3577b34da6a3ce929d0e0e4736"
        parent = f"00-{trace}-00f067aa0ba902b7-01"
        response = await edge.whip("t1", offer("sendonly"), traceparent=parent)
        assert response.headers["traceparent"].split("-")[1] == trace
        assert response.headers["traceparent"] != parent

    play(run)


def test_a_full_stream_table_is_a_full_node() -> None:
    async def run(edge: Edge) -> None:
        assert (await edge.whip("t1", offer("sendonly"))).status == 201
        second = await edge.whip("t2", offer("sendonly"))
        assert (await second.json())["code"] == "node_full"

    play(run, limits={"max_streams": 1})


def test_an_ended_session_tells_why_while_it_is_remembered() -> None:
    async def run(edge: Edge) -> None:
        created = await edge.whip("t1", offer("sendonly"))
        location = created.headers["Location"]
        await edge.client.delete(location)
        gone = await edge.client.delete(location)
        body = json.loads(await gone.text())
        assert (gone.status, body["reason"]) == (404, "deleted")
        for _ in range(driver.ENDED_REMEMBERED):
            response = await edge.whip("t1", offer("sendonly"))
            await edge.client.delete(response.headers["Location"])
        assert "reason" not in await (await edge.client.delete(location)).json()

    play(run)
