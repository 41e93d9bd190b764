"""WHIP over HTTP against a real server: redirects, refusals, the end of a session."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager

import pytest
from aiohttp import web
from aiohttp.test_utils import TestServer

from edge.client.failure import ClientError
from edge.client.signalling import Signalling, checked_url, host_of, problem_detail

pytestmark = pytest.mark.timeout(30)

Handler = Callable[[web.Request], Awaitable[web.Response]]


@asynccontextmanager
async def _server(handler: Handler) -> AsyncIterator[str]:
    app = web.Application()
    app.router.add_route("*", "/{tail:.*}", handler)
    async with TestServer(app) as server:
        yield str(server.make_url("/whip/table"))


async def test_redirects_are_followed_with_the_token_and_the_offer() -> None:
    seen: list[tuple[str, str, str, str]] = []

    async def handler(request: web.Request) -> web.Response:
        body = await request.text()
        seen.append((request.method, request.path, request.headers["Authorization"], body))
        if request.path == "/whip/table":
            return web.Response(status=307, headers={"Location": "/other"})
        return web.Response(
            status=201 if request.method == "POST" else 200,
            text="v=0",
            headers={"Location": "/other/session", "ETag": '"1"'},
        )

    async with _server(handler) as url, Signalling("secret") as signalling:
        established = await signalling.offer(url, "offer")
        await signalling.delete(established.location)
    assert (established.answer, established.etag) == ("v=0", '"1"')
    assert seen == [
        ("POST", "/whip/table", "Bearer secret", "offer"),
        ("POST", "/other", "Bearer secret", "offer"),
        ("DELETE", "/other/session", "Bearer secret", ""),
    ]


@pytest.mark.parametrize(
    ("status", "retry"), [(401, False), (403, False), (404, True), (409, True), (503, True)]
)
async def test_refusal_carries_the_problem_and_whether_to_retry(status: int, retry: bool) -> None:
    async def handler(_request: web.Request) -> web.Response:
        return web.json_response(
            {"title": "No", "detail": "token expired", "code": "token_expired"},
            status=status,
            headers={"Retry-After": "7"},
        )

    async with _server(handler) as url, Signalling() as signalling:
        with pytest.raises(ClientError, match=r"token expired \(token_expired\)") as caught:
            await signalling.offer(url, "offer")
    assert str(status) in str(caught.value)
    assert (caught.value.retry, caught.value.retry_after_s) == (retry, 7.0)


async def test_circles_and_missing_locations_are_refused() -> None:
    async def circle(request: web.Request) -> web.Response:
        return web.Response(status=307, headers={"Location": request.path})

    async def nowhere(_request: web.Request) -> web.Response:
        return web.Response(status=201, text="v=0")

    for handler, reason in ((circle, "redirects"), (nowhere, "without a Location")):
        async with _server(handler) as url, Signalling() as signalling:
            with pytest.raises(ClientError, match=reason):
                await signalling.offer(url, "offer")


async def test_unreachable_host_may_be_retried(unused_tcp_port_number: int) -> None:
    async with Signalling() as signalling:
        with pytest.raises(ClientError, match="cannot reach") as caught:
            await signalling.offer(f"http://127.0.0.1:{unused_tcp_port_number}/x", "offer")
        await signalling.delete(f"http://127.0.0.1:{unused_tcp_port_number}/x")
    assert caught.value.retry


@pytest.mark.parametrize("url", ["", "table", "ftp://host/x", "http://", "http://host:99999/x"])
def test_bad_addresses_are_named(url: str) -> None:
    with pytest.raises(ClientError, match="not a WHIP or WHEP address"):
        checked_url(url)


def test_host_of_ipv6() -> None:
    assert host_of("http://user@[::1]:80/whip/x") == "::1"


@pytest.mark.parametrize(
    ("body", "detail"),
    [
        ("", "no reason given"),
        ("plain", "plain"),
        ("[1]", "[1]"),
        ('{"title": "T"}', "T"),
        ('{"error": "E", "status": 4}', "E"),
    ],
)
def test_problem_detail(body: str, detail: str) -> None:
    assert problem_detail(body) == detail
