"""One WHEP session of ``edge watch``, from POST to DELETE."""

from __future__ import annotations

import asyncio
import contextlib
import signal
import time
from dataclasses import dataclass

from edge.client.decoder import Decoded, Decoder
from edge.client.description import parse_answer
from edge.client.measurements import Measurements
from edge.client.ping import Ping
from edge.client.receiver import Frame
from edge.client.report import WatchResult
from edge.client.signalling import Signalling, host_of
from edge.client.transport import Transport
from edge.client.viewer import Viewer
from edge.client.wanted import playback_offer
from edge.model import CodecName

_TICK_S = 0.01


@dataclass(frozen=True, slots=True, kw_only=True)
class ProbeOptions:
    """What to watch and how."""

    url: str
    token: str | None = None
    duration_s: float = 10.0
    decode: bool = True
    clock: bool = False
    """Read the clock in the test card."""
    data_channel: bool = False


class Probe:
    """
    Plays a stream once and measures it.
    """

    def __init__(self, options: ProbeOptions) -> None:
        self._options = options
        self._stop = asyncio.Event()
        self._loop = asyncio.get_running_loop()
        self._measurements = Measurements(decoding=options.decode)
        self._transport = Transport(self._handle_rtp, self._handle_rtcp)
        self._viewer: Viewer | None = None
        self._decoder: Decoder | None = None
        self._ping: Ping | None = None
        for number in (signal.SIGINT, signal.SIGTERM):
            self._loop.add_signal_handler(number, self._stop.set)

    async def run(self) -> WatchResult:
        """
        Watch for the duration, or until the session is lost or a signal comes.

        Raises `ClientError` if playing cannot begin.
        """
        async with Signalling(self._options.token) as signalling:
            viewer, location = None, ""
            try:
                viewer, location = await self._open(signalling)
                ended = await self._watch(viewer)
                self._measurements.note_end(time.monotonic())
            finally:
                if location:
                    await signalling.delete(location)
                profile = self._transport.srtp_profile
                await self._close()
        return self._measurements.result(
            viewer, self._ping, url=self._options.url, ended=ended, srtp_profile=profile
        )

    async def _open(self, signalling: Signalling) -> tuple[Viewer, str]:
        options, moments = self._options, self._measurements.moments
        moments.started = time.monotonic()
        offer = playback_offer(
            self._transport, host_of(options.url), data_channel=options.data_channel
        )
        established = await signalling.offer(options.url, str(offer))
        moments.answered = time.monotonic()
        try:
            answer = parse_answer(established.answer)
            viewer = self._viewer = Viewer(self._transport, answer, self._handle_frame)
            await self._transport.connect(answer)
            moments.ice = self._transport.ice_connected_at
            moments.dtls = self._transport.dtls_connected_at
            if options.data_channel:
                self._ping = Ping(answer.sctp_port)
                await self._ping.open(self._transport)
        except BaseException:
            await signalling.delete(established.location)
            raise
        return viewer, established.location

    async def _watch(self, viewer: Viewer) -> str:
        until = self._measurements.moments.started + self._options.duration_s
        while (now := time.monotonic()) < until:
            viewer.tick(now)
            if self._transport.lost.done():
                return self._transport.lost.result()
            if self._stop.is_set():
                return "signal"
            self._measurements.note_rtt(self._transport.ice.rtt_s)
            await asyncio.sleep(_TICK_S)
        return "duration"

    async def _close(self) -> None:
        if self._ping is not None:
            self._ping.close()
        await self._transport.close()
        if self._decoder is not None:
            await asyncio.to_thread(self._decoder.close)

    def _handle_rtp(self, data: bytes, now: float) -> None:
        if self._viewer is not None:
            self._viewer.handle_rtp(data, now)

    def _handle_rtcp(self, data: bytes, now: float) -> None:
        if self._viewer is not None:
            self._viewer.handle_rtcp(data, now)

    def _handle_frame(self, frame: Frame, codec: CodecName) -> None:
        changed = self._measurements.codec != codec
        self._measurements.note_frame(frame, codec, time.monotonic(), time.time())
        if not self._options.decode:
            return
        if self._decoder is None or changed:
            if self._decoder is not None:
                self._decoder.close()
            self._decoder = Decoder(codec, self._decoded_elsewhere, clock=self._options.clock)
        self._decoder.decode(frame)

    def _decoded_elsewhere(self, decoded: Decoded) -> None:
        now, wall_s = time.monotonic(), time.time()
        with contextlib.suppress(RuntimeError):  # the loop has ended
            self._loop.call_soon_threadsafe(self._handle_decoded, decoded, now, wall_s)

    def _handle_decoded(self, decoded: Decoded, now: float, wall_s: float) -> None:
        self._measurements.note_decoded(decoded, now, wall_s)
        if decoded.error and self._viewer is not None:
            self._viewer.decoding_failed()
