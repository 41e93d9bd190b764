"""An independent stack in the place of the edge: aiortc's peer connection behind WHIP and WHEP."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from fractions import Fraction

from aiohttp import web
from aiohttp.test_utils import TestServer
from aiortc import RTCConfiguration, RTCPeerConnection, RTCSessionDescription, VideoStreamTrack
from aiortc.contrib.media import MediaBlackhole
from aiortc.mediastreams import MediaStreamError, MediaStreamTrack
from av.video.frame import VideoFrame

from edge.client.planes import plane_view
from edge.client.testcard import TestCard, read_clock


class Counterpart:
    """
    Takes one publisher (``/whip``) or serves players (``/whep``) and notes what happens.
    """

    def __init__(self) -> None:
        self.clocks: asyncio.Queue[int | None] = asyncio.Queue()
        """What the clock shows in each picture received."""
        self.deleted = asyncio.Event()
        self.requests: list[str] = []
        self._peers: list[RTCPeerConnection] = []
        self._tasks: list[asyncio.Task[None]] = []
        self._sink = MediaBlackhole()

    @asynccontextmanager
    async def serving(self) -> AsyncIterator[str]:
        """
        The base URL of a running server.
        """
        app = web.Application()
        app.router.add_post("/whip", self._publish)
        app.router.add_post("/whep", self._play)
        app.router.add_delete("/session", self._delete)
        async with TestServer(app) as server:
            try:
                yield str(server.make_url("")).rstrip("/")
            finally:
                await self._sink.stop()
                for peer in self._peers:
                    await peer.close()
                for task in self._tasks:
                    task.cancel()
                await asyncio.gather(*self._tasks, return_exceptions=True)

    async def _publish(self, request: web.Request) -> web.Response:
        peer = self._peer()

        @peer.on("track")
        async def received(track: MediaStreamTrack) -> None:
            if track.kind == "video":
                self._tasks.append(asyncio.create_task(self._read(track)))
            else:
                self._sink.addTrack(track)
                await self._sink.start()

        return await self._answer(peer, await request.text())

    async def _play(self, request: web.Request) -> web.Response:
        peer = self._peer()

        @peer.on("datachannel")
        def opened(channel: object) -> None:
            channel.on("message", channel.send)  # type: ignore[attr-defined]

        peer.addTrack(CardTrack())
        return await self._answer(peer, await request.text())

    async def _delete(self, _request: web.Request) -> web.Response:
        self.deleted.set()
        return web.Response()

    def _peer(self) -> RTCPeerConnection:
        peer = RTCPeerConnection(RTCConfiguration(iceServers=[]))
        self._peers.append(peer)
        return peer

    async def _answer(self, peer: RTCPeerConnection, offer: str) -> web.Response:
        self.requests.append(offer)
        await peer.setRemoteDescription(RTCSessionDescription(sdp=offer, type="offer"))
        await peer.setLocalDescription(await peer.createAnswer())
        return web.Response(
            status=201,
            text=peer.localDescription.sdp,
            content_type="application/sdp",
            headers={"Location": "/session"},
        )

    async def _read(self, track: MediaStreamTrack) -> None:
        try:
            while True:
                frame = await track.recv()
                assert isinstance(frame, VideoFrame)
                await self.clocks.put(read_clock(plane_view(frame, 0)))
        except MediaStreamError:
            pass


class CardTrack(VideoStreamTrack):
    """
    A small test card at aiortc's own 30 frames per second.
    """

    def __init__(self) -> None:
        super().__init__()
        self._card = TestCard(320, 240)

    async def recv(self) -> VideoFrame:
        pts, time_base = await self.next_timestamp()
        self._card.draw(time.time())
        frame = VideoFrame(320, 240, "yuv420p")
        for number, plane in enumerate(self._card.planes):
            plane_view(frame, number)[:] = plane
        frame.pts, frame.time_base = pts, Fraction(time_base)
        return frame
