"""A whole edge in the test's own loop, and aiortc as studio and player."""

from __future__ import annotations

import argparse
import asyncio
import tempfile
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

from aiohttp import ClientResponse
from aiohttp.test_utils import TestClient, TestServer
from aiohttp.web import Application, Request
from aiortc import RTCConfiguration, RTCPeerConnection, RTCSessionDescription
from aiortc.mediastreams import AudioStreamTrack

from edge.config import EdgeConfig
from edge.server.app import build
from edge.server.gateway import GATEWAY, Gateway
from edge.server.mint import init_keys, mint, read_key

SDP = {"Content-Type": "application/sdp"}
FRAGMENT = {"Content-Type": "application/trickle-ice-sdpfrag"}
TIMEOUT_S = 20

FINGERPRINT = ":".join(["AB"] * 32)
OFFER = f"""v=0
o=- 1 1 IN IP4 127.0.0.1
s=-
t=0 0
a=group:BUNDLE 0 1
m=audio 9 UDP/TLS/RTP/SAVPF 111
c=IN IP4 0.0.0.0
a=mid:0
a=ice-ufrag:abcd
a=ice-pwd:0123456789abcdef012345
a=fingerprint:sha-256 {FINGERPRINT}
a=setup:actpass
a=%s
a=rtcp-mux
a=rtpmap:111 opus/48000/2
m=video 9 UDP/TLS/RTP/SAVPF 96
c=IN IP4 0.0.0.0
a=mid:1
a=ice-ufrag:abcd
a=ice-pwd:0123456789abcdef012345
a=fingerprint:sha-256 {FINGERPRINT}
a=setup:actpass
a=%s
a=rtcp-mux
a=rtpmap:96 %s/90000
""".replace("\n", "\r\n")


def offer(direction: str, codec: str = "H264") -> str:
    """An offer of nobody: enough to be answered, never to connect."""
    return OFFER % (direction, direction, codec)


class Edge:
    """A running edge and what tests need of it."""

    def __init__(
        self, client: TestClient[Request, Application], gateway: Gateway, keys: Path
    ) -> None:
        self.client = client
        self.gateway = gateway
        self._keys = keys

    def token(self, *scopes: str, stream: str = "*", ttl: int = 60, take_over: bool = False) -> str:
        """A token of the edge's own key."""
        args = argparse.Namespace(
            scope=list(scopes),
            stream=[stream],
            ttl=ttl,
            take_over=take_over,
            subject="test",
            kid=None,
        )
        return mint(read_key(self._keys / "key.jwk"), args)

    def bearer(self, *scopes: str, **claims: Any) -> dict[str, str]:
        """The header with such a token."""
        return {"Authorization": f"Bearer {self.token(*scopes, **claims)}"}

    async def whip(self, stream: str, sdp: str, **headers: str) -> ClientResponse:
        """POST an offer as studio."""
        return await self.client.post(f"/whip/{stream}", data=sdp, headers={**SDP, **headers})

    async def whep(self, stream: str, sdp: str, **headers: str) -> ClientResponse:
        """POST an offer as player."""
        return await self.client.post(f"/whep/{stream}", data=sdp, headers={**SDP, **headers})

    async def until(self, holds: Callable[[], bool]) -> None:
        """Wait for a state of the edge that events bring about; the test's timeout bounds it."""
        async with asyncio.timeout(TIMEOUT_S):
            while not holds():
                await asyncio.sleep(0.005)


class Peer:
    """aiortc as studio or player."""

    def __init__(self, edge: Edge) -> None:
        self.edge = edge
        self.pc = RTCPeerConnection(RTCConfiguration(iceServers=[]))
        self.location = ""
        self.etag = ""

    async def publish(self, stream: str, **headers: str) -> ClientResponse:
        """Publish sound, and wait until connected."""
        self.pc.addTrack(AudioStreamTrack())
        return await self._join("whip", stream, headers)

    async def watch(self, stream: str, **headers: str) -> ClientResponse:
        """Watch, and wait until connected."""
        self.pc.addTransceiver("audio", "recvonly")
        return await self._join("whep", stream, headers)

    async def _join(self, path: str, stream: str, headers: dict[str, str]) -> ClientResponse:
        await self.pc.setLocalDescription(await self.pc.createOffer())
        response = await self.edge.client.post(
            f"/{path}/{stream}", data=self.pc.localDescription.sdp, headers={**SDP, **headers}
        )
        if response.status == 201:
            self.location, self.etag = response.headers["Location"], response.headers["ETag"]
            answer = RTCSessionDescription(await response.text(), "answer")
            await self.pc.setRemoteDescription(answer)
            await self.edge.until(lambda: self.pc.connectionState == "connected")
        return response

    async def close(self) -> None:
        """Leave with close_notify."""
        await self.pc.close()


Scenario = Callable[[Edge], Awaitable[None]]


def play(scenario: Scenario, *, secured: bool = False, **sections: Any) -> None:
    """Run a scenario against an edge; without `secured` everybody may do everything."""

    async def run() -> None:
        async with asyncio.timeout(TIMEOUT_S), running(secured=secured, **sections) as edge:
            await scenario(edge)

    asyncio.run(run())


@asynccontextmanager
async def running(*, secured: bool, **sections: Any) -> AsyncIterator[Edge]:
    """An edge on free ports of loopback."""
    with tempfile.TemporaryDirectory() as directory:
        keys = Path(directory)
        jwks = init_keys(keys)
        auth = {"jwks": str(jwks)} if secured else {"insecure_open": True}
        document: dict[str, Any] = {
            "data_plane": {
                "bind": "127.0.0.1",
                "port": 0,
                "receive_buffer_bytes": 262_144,
                "send_buffer_bytes": 262_144,
                **sections.pop("data_plane", {}),
            },
            "auth": {**auth, **sections.pop("auth", {})},
            **sections,
        }
        app = build(EdgeConfig.model_validate(document))
        async with TestClient(TestServer(app)) as client:
            yield Edge(client, app[GATEWAY], keys)
