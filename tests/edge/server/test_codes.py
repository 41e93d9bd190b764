"""Every code of the closed list is provoked once, and answered as the list says."""

from __future__ import annotations

import asyncio
import json
from typing import Any

import pytest
from aiohttp import ClientResponse

from edge.errors import EdgeError, ErrorCode, PeerError
from edge.server.settings import parse

from .running import FRAGMENT, SDP, Edge, Peer, offer, play

SECURED = {"secured": True}
ONE = {"limits": {"max_sessions": 1}}


async def session(edge: Edge) -> tuple[str, str]:
    """An answered publisher's session: its Location and ETag."""
    response = await edge.whip("t1", offer("sendonly"))
    assert response.status == 201
    return response.headers["Location"], response.headers["ETag"]


async def malformed_request(edge: Edge) -> ClientResponse:
    return await edge.whip("no%20spaces", offer("sendonly"))


async def malformed_sdp(edge: Edge) -> ClientResponse:
    response = await edge.whip("t1", "v=0\r\nnonsense\r\n")
    assert (await response.json())["line"] == 2
    return response


async def malformed_fragment(edge: Edge) -> ClientResponse:
    location, _ = await session(edge)
    headers = {**FRAGMENT, "If-Match": "*"}
    return await edge.client.patch(location, data="a=ice-ufrag:other\r\n", headers=headers)


async def method_not_allowed(edge: Edge) -> ClientResponse:
    response = await edge.client.get("/whip/t1")
    assert "POST" in response.headers["Allow"]
    return response


async def body_too_large(edge: Edge) -> ClientResponse:
    return await edge.whip("t1", "v=0\r\n" + "a=x\r\n" * 20_000)


async def unsupported_content_type(edge: Edge) -> ClientResponse:
    response = await edge.client.post("/whip/t1", json={})
    assert response.headers["Accept-Post"] == "application/sdp"
    return response


async def not_found(edge: Edge) -> ClientResponse:
    return await edge.client.get("/nothing/here")


async def unsupported_codec(edge: Edge) -> ClientResponse:
    response = await edge.whip("t1", offer("sendonly", codec="H263"))
    assert "H264" in json.dumps((await response.json())["supported"])
    return response


async def unacceptable_offer(edge: Edge) -> ClientResponse:
    return await edge.whip("t1", offer("recvonly"))


async def missing_token(edge: Edge) -> ClientResponse:
    response = await edge.whip("t1", offer("sendonly"))
    assert response.headers["WWW-Authenticate"] == 'Bearer realm="edge"'
    return response


async def invalid_token(edge: Edge) -> ClientResponse:
    return await edge.whip("t1", offer("sendonly"), Authorization="Bearer a.b.c")


async def expired_token(edge: Edge) -> ClientResponse:
    return await edge.whip("t1", offer("sendonly"), **edge.bearer("publish", ttl=-60))


async def scope_missing(edge: Edge) -> ClientResponse:
    return await edge.whip("t1", offer("sendonly"), **edge.bearer("watch"))


async def stream_forbidden(edge: Edge) -> ClientResponse:
    return await edge.whip("t1", offer("sendonly"), **edge.bearer("publish", stream="t2"))


async def stream_not_found(edge: Edge) -> ClientResponse:
    return await edge.whep("t1", offer("recvonly"))


async def session_not_found(edge: Edge) -> ClientResponse:
    return await edge.client.delete("/whip/t1/nobody")


async def layer_not_found(edge: Edge) -> ClientResponse:
    studio = Peer(edge)
    await studio.publish("t1")
    response = await edge.whep("t1", offer("recvonly"))
    layer = response.headers["Location"] + "/layer"
    answer = await edge.client.post(layer, json={"mediaId": "7"})
    await studio.close()
    return answer


async def stream_conflict(edge: Edge) -> ClientResponse:
    studio = Peer(edge)
    await studio.publish("t1")
    response = await edge.whip("t1", offer("sendonly"))
    await studio.close()
    return response


async def etag_mismatch(edge: Edge) -> ClientResponse:
    location, _ = await session(edge)
    headers = {**FRAGMENT, "If-Match": '"other"'}
    return await edge.client.patch(location, data="a=mid:0\r\n", headers=headers)


async def etag_required(edge: Edge) -> ClientResponse:
    location, _ = await session(edge)
    return await edge.client.patch(location, data="a=mid:0\r\n", headers=FRAGMENT)


async def too_many_requests(edge: Edge) -> ClientResponse:
    for _ in range(60):
        assert (await edge.client.get("/v1/streams")).status == 401
    return await edge.client.get("/v1/streams")


async def node_full(edge: Edge) -> ClientResponse:
    await session(edge)
    assert (await edge.client.get("/readyz")).status == 503
    return await edge.whip("t2", offer("sendonly"))


async def draining(edge: Edge) -> ClientResponse:
    assert (await edge.client.post("/v1/drain")).status == 200
    return await edge.whip("t1", offer("sendonly"))


async def not_ready(edge: Edge) -> ClientResponse:
    edge.gateway.stopped = "worker 0 stopped: a test"
    return await edge.client.get("/readyz")


async def keys_unavailable(edge: Edge) -> ClientResponse:
    return await edge.whip("t1", offer("sendonly"), **edge.bearer("publish"))


async def internal_error(edge: Edge) -> ClientResponse:
    def fail(*_: object) -> None:
        raise RuntimeError("a defect")

    edge.gateway.redirect = fail
    return await edge.whip("t1", offer("sendonly"))


SCENARIOS: list[tuple[Any, dict[str, Any]]] = [
    (malformed_request, {}),
    (malformed_sdp, {}),
    (malformed_fragment, {}),
    (method_not_allowed, {}),
    (body_too_large, {}),
    (unsupported_content_type, {}),
    (not_found, {}),
    (unsupported_codec, {}),
    (unacceptable_offer, {}),
    (missing_token, SECURED),
    (invalid_token, SECURED),
    (expired_token, SECURED),
    (scope_missing, SECURED),
    (stream_forbidden, SECURED),
    (stream_not_found, {}),
    (session_not_found, {}),
    (layer_not_found, {}),
    (stream_conflict, {}),
    (etag_mismatch, {}),
    (etag_required, {}),
    (too_many_requests, {**SECURED, "limits": {"unauthenticated_per_s": 0.1}}),
    (node_full, ONE),
    (draining, {}),
    (not_ready, {}),
    (keys_unavailable, {**SECURED, "auth": {"jwks": "/nonexistent/jwks.json"}}),
    (internal_error, {}),
]


def test_every_code_has_its_scenario() -> None:
    covered = {scenario.__name__ for scenario, _ in SCENARIOS}
    assert covered | {"config_invalid"} == set(ErrorCode)


@pytest.mark.parametrize(
    ("scenario", "sections"), SCENARIOS, ids=lambda value: getattr(value, "__name__", "")
)
def test_each_code_is_answered_with_its_problem(scenario: Any, sections: dict[str, Any]) -> None:
    code = ErrorCode[scenario.__name__.upper()]

    async def run(edge: Edge) -> None:
        response = await scenario(edge)
        assert response.status == code.status, await response.text()
        assert response.headers["Content-Type"] == "application/problem+json"
        body = await response.json()
        assert body["code"] == code
        assert body["type"] == f"urn:live-edge:error:{code}"
        assert body["status"] == code.status
        assert body["title"] and body["detail"]
        assert body["retryable"] is code.retryable
        assert len(response.headers["traceparent"]) == 55
        if code.status in (429, 503) or code is ErrorCode.STREAM_NOT_FOUND:
            assert int(response.headers["Retry-After"]) >= 1
        if code.status == 401:
            assert response.headers["WWW-Authenticate"].startswith("Bearer")

    play(run, **sections)


def test_config_invalid() -> None:
    with pytest.raises(EdgeError) as caught:
        parse("http: {prot: 1}", {})
    assert caught.value.code is ErrorCode.CONFIG_INVALID


def test_an_error_carries_its_extras() -> None:
    error = PeerError(ErrorCode.MALFORMED_SDP, "line 3", {"X": "y"}, line=3)
    assert (error.extra, error.headers, str(error)) == (
        {"line": 3},
        {"X": "y"},
        "malformed_sdp: line 3",
    )


def test_the_offer_of_nobody_is_sound() -> None:
    async def run(edge: Edge) -> None:
        response = await edge.client.post("/whip/t1", data=offer("sendonly"), headers=SDP)
        assert response.status == 201
        await asyncio.sleep(0)

    play(run)
