"""aiortc's whole peer connection as studio and as player, and what it sends and decodes."""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import AsyncIterator
from fractions import Fraction
from urllib.parse import urljoin

import aiohttp
import av
import numpy as np
import pytest
from aiortc import RTCConfiguration, RTCPeerConnection, RTCSessionDescription
from aiortc.mediastreams import MediaStreamError, VideoStreamTrack
from aiortc.rtcrtpparameters import RTCRtpCodecCapability
from aiortc.rtcrtpsender import RTCRtpSender

from .edges import Edge, report, watch, watched

pytestmark = pytest.mark.timeout(60)

WIDTH, HEIGHT = 320, 240


class Card(VideoStreamTrack):
    """Pictures that brighten, 30 a second."""

    def __init__(self) -> None:
        super().__init__()
        self._number = 0
        self._started = time.monotonic()

    async def recv(self) -> av.VideoFrame:
        """The next picture when it is due."""
        await asyncio.sleep(max(0.0, self._started + self._number / 30 - time.monotonic()))
        grey = np.full((HEIGHT, WIDTH, 3), self._number * 3 % 256, dtype=np.uint8)
        frame = av.VideoFrame.from_ndarray(grey, format="rgb24")
        frame.pts, frame.time_base = self._number * 3000, Fraction(1, 90_000)
        self._number += 1
        return frame


async def negotiate(peer: RTCPeerConnection, url: str, http: aiohttp.ClientSession) -> str:
    """POST the offer, set the answer; returns the session's URL."""
    await peer.setLocalDescription(await peer.createOffer())
    headers = {"Content-Type": "application/sdp"}
    async with http.post(url, data=peer.localDescription.sdp, headers=headers) as answer:
        body = await answer.text()
        assert answer.status == 201, body
        await peer.setRemoteDescription(RTCSessionDescription(sdp=body, type="answer"))
        return urljoin(url, answer.headers["Location"])


def codecs(name: str) -> list[RTCRtpCodecCapability]:
    """A codec's capabilities and RTX."""
    known = RTCRtpSender.getCapabilities("video").codecs
    return [codec for codec in known if codec.mimeType in (f"video/{name}", "video/rtx")]


@contextlib.asynccontextmanager
async def connected(
    url: str, codec: str, *, publish: bool
) -> AsyncIterator[tuple[RTCPeerConnection, aiohttp.ClientSession]]:
    """A peer connection that publishes to or plays from a URL, ended by DELETE."""
    peer = RTCPeerConnection(RTCConfiguration(iceServers=[]))
    if publish:
        transceiver = peer.addTransceiver(Card(), direction="sendonly")
    else:
        transceiver = peer.addTransceiver("video", direction="recvonly")
    transceiver.setCodecPreferences(codecs(codec))
    async with aiohttp.ClientSession() as http:
        location = await negotiate(peer, url, http)
        try:
            yield peer, http
        finally:
            async with http.delete(location) as answer:
                assert answer.status == 200
            await peer.close()


@pytest.mark.parametrize("codec", ["VP8", "H264"])
def test_aiortc_publishes(edge_server: Edge, codec: str) -> None:
    stream = f"aiortc-{codec}"

    async def run() -> dict[str, object]:
        async with connected(edge_server.whip(stream), codec, publish=True):
            await asyncio.to_thread(edge_server.wait_live, stream)
            program = watch(edge_server.whep(stream), 3)
            return await asyncio.to_thread(watched, program, 20)

    result = asyncio.run(run())
    assert result["codec"] == codec
    assert (result["width"], result["height"]) == (WIDTH, HEIGHT)
    assert isinstance(result["frames_decoded"], int) and result["frames_decoded"] > 60
    assert result["decode_errors"] == 0


@pytest.mark.parametrize("codec", ["VP8", "H264"])
def test_aiortc_plays(edge_server: Edge, codec: str) -> None:
    stream = f"aiortc-plays-{codec}"

    async def run() -> tuple[int, set[tuple[int, int]], float]:
        async with connected(edge_server.whep(stream), codec, publish=False) as (peer, _):
            track = peer.getReceivers()[0].track
            started, first, pictures, sizes = time.monotonic(), 0.0, 0, set()
            with contextlib.suppress(TimeoutError, MediaStreamError):
                async with asyncio.timeout(3):
                    while True:
                        frame = await track.recv()
                        assert isinstance(frame, av.VideoFrame)
                        first = first or time.monotonic() - started
                        pictures += 1
                        sizes.add((frame.width, frame.height))
            return pictures, sizes, first

    with edge_server.push(stream, "--codec", codec.lower(), "--size", "320x240"):
        edge_server.wait_live(stream)
        pictures, sizes, first = asyncio.run(run())
    report(f"aiortc plays {codec}", {"pictures": pictures, "first_picture_s": round(first, 3)})
    assert sizes == {(320, 240)}
    assert pictures > 60
