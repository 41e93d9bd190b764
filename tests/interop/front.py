"""An HTTP proxy before an edge that sends its clients' media through a relay.

Whatever speaks WHIP or WHEP, browsers with their pages included, is given the proxy's address; the
candidates in the edge's answers are then those of the relay. TCP candidates are left out, so that
nobody goes around it.
"""

from __future__ import annotations

import asyncio
import re
import threading
from types import TracebackType
from typing import Self

import aiohttp
from aiohttp import web
from multidict import CIMultiDict

_HOP_BY_HOP = frozenset(
    ("connection", "keep-alive", "te", "trailer", "transfer-encoding", "upgrade", "content-length")
)
_SESSION_TEXT = ("application/sdp", "application/trickle-ice-sdpfrag")
_CANDIDATE = re.compile(
    r"^a=candidate:(?P<head>\S+ \d+ )(?P<protocol>\S+)(?P<middle> \d+ \S+ )(?P<port>\d+)(?P<tail>.*)\r\n",
    re.MULTILINE,
)


def redirect_candidates(text: str, ports: dict[int, int]) -> str:
    """Replace the UDP ports in candidate lines and drop TCP candidates."""

    def replaced(match: re.Match[str]) -> str:
        if match["protocol"].lower() != "udp":
            return ""
        port = ports.get(int(match["port"]), int(match["port"]))
        return f"a=candidate:{match['head']}{match['protocol']}{match['middle']}{port}{match['tail']}\r\n"

    return _CANDIDATE.sub(replaced, text)


class Front:
    """Proxies `edge_url`; `ports` maps the edge's UDP ports to those of relays."""

    def __init__(self, edge_url: str, ports: dict[int, int]) -> None:
        self._edge_url = edge_url.rstrip("/")
        self._ports = ports
        self._port = 0
        self._ready = threading.Event()
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._run, name="http-front", daemon=True)
        self._thread.start()
        if not self._ready.wait(10):
            raise RuntimeError("the proxy did not start")

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    @property
    def url(self) -> str:
        """What clients are given instead of the edge's URL."""
        return f"http://127.0.0.1:{self._port}"

    def close(self) -> None:
        """End the proxy."""
        self._loop.call_soon_threadsafe(self._over.set)
        self._thread.join(10)

    def _run(self) -> None:
        with asyncio.Runner(loop_factory=lambda: self._loop) as runner:
            runner.run(self._serve())

    async def _serve(self) -> None:
        self._over = asyncio.Event()
        async with aiohttp.ClientSession(auto_decompress=False) as self._client:
            app = web.Application()
            app.router.add_route("*", "/{path:.*}", self._pass)
            runner = web.AppRunner(app, access_log=None, shutdown_timeout=1.0)
            await runner.setup()
            site = web.TCPSite(runner, "127.0.0.1", 0)
            await site.start()
            self._port = runner.addresses[0][1]
            self._ready.set()
            await self._over.wait()
            await runner.cleanup()

    async def _pass(self, request: web.Request) -> web.StreamResponse:
        headers = {
            name: value
            for name, value in request.headers.items()
            if name.lower() not in _HOP_BY_HOP | {"host"}
        }
        async with self._client.request(
            request.method,
            self._edge_url + request.path_qs,
            headers=headers,
            data=await request.read(),
            allow_redirects=False,
        ) as answer:
            passed = [(n, v) for n, v in answer.headers.items() if n.lower() not in _HOP_BY_HOP]
            if answer.content_type in _SESSION_TEXT:
                text = redirect_candidates(await answer.text(), self._ports)
                return web.Response(
                    status=answer.status, headers=_multi(passed), body=text.encode()
                )
            response = web.StreamResponse(status=answer.status, headers=_multi(passed))
            await response.prepare(request)
            async for chunk in answer.content.iter_any():
                await response.write(chunk)
            return response


def _multi(pairs: list[tuple[str, str]]) -> CIMultiDict[str]:
    return CIMultiDict(pairs)
