"""A player in a thread that writes down every packet and picture it gets, with the time."""

from __future__ import annotations

import asyncio
import itertools
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from types import TracebackType
from typing import Any, Self, cast

import av
from av.video.codeccontext import VideoCodecContext

from edge.client import rtp
from edge.client.description import parse_answer
from edge.client.receiver import Frame
from edge.client.signalling import Signalling, host_of
from edge.client.transport import Transport
from edge.client.viewer import Viewer
from edge.client.wanted import playback_offer
from edge.model import CodecName, Kind

from .program import until
from .tcp_link import TcpLink

_TICK_S = 0.01
_KEY_FRAME_DECODERS: dict[str, str] = {"H264": "h264", "VP8": "vp8"}


@dataclass(frozen=True, slots=True, kw_only=True)
class Received:
    """One RTP packet of the stream itself, without retransmissions."""

    at: float
    kind: Kind
    ssrc: int
    sequence: int
    timestamp: int
    size: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Shown:
    """One complete picture. Only key frames are decoded, for their height; others keep it."""

    at: float
    key: bool
    height: int
    timestamp: int


class Player:
    """Plays from `start` on until it is closed. Its lists grow while it runs."""

    def __init__(self, url: str, *, over_tcp: bool = False, token: str | None = None) -> None:
        self.packets: list[Received] = []
        self.pictures: list[Shown] = []
        self.lost: str | None = None
        self.location = ""
        self.edge_ports: set[int] = set()
        self.links: tuple[str, ...] = ()
        self._url = url
        self._over_tcp = over_tcp
        self._token = token
        self._height = 0
        self._kinds: dict[int, Kind] = {}
        self._failure: BaseException | None = None
        self._opened = threading.Event()
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._run, name="player", daemon=True)

    def __enter__(self) -> Self:
        self._thread.start()
        assert self._opened.wait(20), "the player did not connect"
        if self._failure is not None:
            raise self._failure
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    @property
    def viewer(self) -> Viewer:
        """What receives, with its counters."""
        return self._viewer

    @property
    def tcp(self) -> TcpLink:
        """The TCP path."""
        return cast(TcpLink, self._transport.ice)

    def of(self, kind: Kind) -> list[Received]:
        """The packets of one kind so far."""
        return [packet for packet in self.packets if packet.kind == kind]

    def longest_gap_s(self, since: float = 0.0) -> float:
        """The longest time without a new picture that was not over by then."""
        times = [max(picture.at, since) for picture in self.pictures]
        return max((two - one for one, two in itertools.pairwise(times)), default=0.0)

    def wait_pictures(self, more: int, timeout_s: float = 10.0) -> None:
        """Until so many more pictures came."""
        wanted = len(self.pictures) + more
        until(f"{more} more pictures", lambda: len(self.pictures) >= wanted, timeout_s)

    def wait_height(self, wanted: Callable[[int], bool], timeout_s: float) -> float:
        """Until the picture has a height that is wanted; returns when its key frame came."""
        seen = 0

        def found() -> float | None:
            nonlocal seen
            while seen < len(self.pictures):
                picture = self.pictures[seen]
                seen += 1
                if picture.key and wanted(picture.height):
                    return picture.at
            return None

        seen = max(0, len(self.pictures) - 1)
        if self.pictures and wanted(self.pictures[-1].height):
            return self.pictures[-1].at
        return until("the height wanted", found, timeout_s)

    def close(self) -> None:
        """Leave with DELETE."""
        if self._thread.is_alive():
            self._loop.call_soon_threadsafe(self._over.set)
            self._thread.join(15)

    def _run(self) -> None:
        with asyncio.Runner(loop_factory=lambda: self._loop) as runner:
            try:
                runner.run(self._play())
            except Exception as error:  # noqa: BLE001  told to the test's thread
                self._failure = error
                self._opened.set()

    async def _play(self) -> None:
        self._over = asyncio.Event()
        transport = self._transport = Transport(self._handle_rtp, self._handle_rtcp)
        if self._over_tcp:
            transport.ice.close()
            link: Any = TcpLink(transport._receive, transport._lose)
            transport.ice = link
            transport._lower._send_datagram = link.send
        try:
            async with Signalling(self._token) as signalling:
                offer = playback_offer(transport, host_of(self._url), data_channel=False)
                taken = await signalling.offer(self._url, str(offer))
                self.location, self.links = taken.location, taken.links
                answer = parse_answer(taken.answer)
                self.edge_ports = {candidate.port for candidate in answer.candidates}
                for media in answer.media:
                    for number in media.payload_types:
                        if not media.encodings.get(number, "").lower().startswith("rtx"):
                            self._kinds[number] = "video" if media.kind == "video" else "audio"
                self._viewer = Viewer(transport, answer, self._handle_frame)
                await transport.connect(answer)
                self._opened.set()
                await self._tick()
                await signalling.delete(taken.location)
        finally:
            await transport.close()

    async def _tick(self) -> None:
        while not self._over.is_set():
            self._viewer.tick(time.monotonic())
            if self._transport.lost.done():
                self.lost = self._transport.lost.result()
                return
            await asyncio.sleep(_TICK_S)

    def _handle_rtp(self, data: bytes, now: float) -> None:
        packet = rtp.parse(data)
        kind = self._kinds.get(packet.payload_type)
        if kind is not None:
            self.packets.append(
                Received(
                    at=now,
                    kind=kind,
                    ssrc=packet.ssrc,
                    sequence=packet.sequence,
                    timestamp=packet.timestamp,
                    size=len(data),
                )
            )
        self._viewer.handle_rtp(data, now)

    def _handle_rtcp(self, data: bytes, now: float) -> None:
        self._viewer.handle_rtcp(data, now)

    def _handle_frame(self, frame: Frame, codec: CodecName) -> None:
        if frame.picture.key:
            self._height = _height(frame.picture.data, codec)
        self.pictures.append(
            Shown(
                at=frame.arrival,
                key=frame.picture.key,
                height=self._height,
                timestamp=frame.timestamp,
            )
        )


def sequence_gaps(packets: list[Received]) -> list[tuple[int, int]]:
    """Neighbours in a complete, ordered list whose sequence numbers do not follow one another."""
    return [
        (one.sequence, two.sequence)
        for one, two in itertools.pairwise(packets)
        if (one.sequence + 1) & 0xFFFF != two.sequence
    ]


def _height(key_frame: bytes, codec: CodecName) -> int:
    context = cast(VideoCodecContext, av.CodecContext.create(_KEY_FRAME_DECODERS[codec], "r"))
    context.thread_count = 1
    pictures = [*context.decode(av.Packet(key_frame)), *context.decode(None)]
    return pictures[0].height
