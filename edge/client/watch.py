"""``edge watch``: a headless player that says how well playing went."""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import json
import signal
import sys
import time

from edge.client import rtp
from edge.client.decoder import Decoded, Decoder
from edge.client.description import EXTENSION_URIS, Offer, OfferedMedia, Payload, parse_answer
from edge.client.expect import Expectation, parse_expectations
from edge.client.failure import ClientError
from edge.client.freezes import FreezeDetector
from edge.client.ping import Ping
from edge.client.receiver import Frame
from edge.client.report import WatchResult, known_names, percentile, rounded, table
from edge.client.signalling import Established, Signalling, checked_url, host_of
from edge.client.testcard import clock_delay_ms
from edge.client.transport import Transport
from edge.client.viewer import Viewer
from edge.model import CodecName, ExtensionName, Kind

DEFAULT_DURATION_S = 10.0

SETTLE_S = 1.0
"""Left out of the frame rate: a joining player gets the past in a burst."""

_TICK_S = 0.01
_NTP_UNIT_S = 1 / (1 << 32)

_H264 = "level-asymmetry-allowed=1;packetization-mode=1;profile-level-id="
_VIDEO = (
    Payload(number=102, encoding="H264/90000", fmtp=_H264 + "42e01f", rtx=103),
    Payload(number=104, encoding="H264/90000", fmtp=_H264 + "42001f", rtx=105),
    Payload(number=106, encoding="H264/90000", fmtp=_H264 + "4d001f", rtx=107),
    Payload(number=108, encoding="H264/90000", fmtp=_H264 + "64001f", rtx=109),
    Payload(number=96, encoding="VP8/90000", rtx=97),
    Payload(number=98, encoding="VP9/90000", fmtp="profile-id=0", rtx=99),
    Payload(number=45, encoding="AV1/90000", fmtp="profile=0;level-idx=5;tier=0", rtx=46),
    Payload(number=49, encoding="H265/90000", fmtp="profile-id=1;tier-flag=0;level-id=93", rtx=50),
)
_AUDIO = (Payload(number=111, encoding="opus/48000/2", fmtp="minptime=10;useinbandfec=1;stereo=1"),)
_EXTENSION_NUMBERS: dict[ExtensionName, int] = {
    name: number
    for number, name in enumerate(EXTENSION_URIS, start=1)
    if name not in ("rid", "repaired_rid")
}


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """
    Declare the arguments of ``edge watch``.
    """
    parser.add_argument(
        "url", metavar="URL", help="WHEP endpoint, such as http://HOST:8080/whep/STREAM"
    )
    parser.add_argument(
        "--duration", type=float, default=DEFAULT_DURATION_S, metavar="S", help="default 10"
    )
    parser.add_argument("--json", action="store_true", help="print the result as one JSON object")
    parser.add_argument("--token", help="bearer token with the watch scope")
    parser.add_argument(
        "--expect", default="", metavar="LIMITS", help="such as fps>=25,freezes<=0,join_ms<=500"
    )
    parser.add_argument(
        "--decode",
        action=argparse.BooleanOptionalAction,
        default=True,
        help="decode pictures, or only count complete frames",
    )
    parser.add_argument(
        "--clock", action="store_true", help="measure delay by the clock in the test card"
    )
    parser.add_argument(
        "--data-channel", action="store_true", help="open a data channel and time a ping"
    )


def run(args: argparse.Namespace) -> int:
    """
    Watch, print what was measured, and return 0 if every expectation was met and pictures came.
    """
    try:
        limits = parse_expectations(args.expect, known_names()) if args.expect else []
        result = asyncio.run(_Probe(args).run())
    except ClientError as error:
        print(f"edge watch: {error}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        return 130
    failures = _failures(result, limits)
    if args.json:
        print(json.dumps({**result.values(), "failures": failures}))
    else:
        print(table(result))
        for failure in failures:
            print(f"{'NOT MET':13}{failure}")
    return 1 if failures else 0


def _failures(result: WatchResult, limits: list[Expectation]) -> list[str]:
    values = result.values()
    failures = [text for limit in limits if (text := limit.failure(values)) is not None]
    if not result.frames:
        failures.insert(0, "no complete picture came")
    if result.ended not in ("duration", "signal"):
        failures.insert(0, f"session lost: {result.ended}")
    return failures


class _Probe:
    """
    One WHEP session and what is measured on it.
    """

    def __init__(self, args: argparse.Namespace) -> None:
        self._args = args
        self._url = checked_url(args.url)
        self._stop = asyncio.Event()
        self._freezes = FreezeDetector()
        self._shown: list[float] = []
        self._viewer: Viewer | None = None
        self._decoder: Decoder | None = None
        self._codec: CodecName | None = None
        self._size: tuple[int, int] | None = None
        self._first_frame_at: float | None = None
        self._first_decoded_at: float | None = None
        self._decoded = self._decode_errors = 0
        self._delays: list[float] = []
        self._capture_delays: list[float] = []
        self._rtts: list[float] = []
        self._ping: Ping | None = None

    async def run(self) -> WatchResult:
        loop = asyncio.get_running_loop()
        for number in (signal.SIGINT, signal.SIGTERM):
            loop.add_signal_handler(number, self._stop.set)
        self._loop = loop
        transport = Transport(self._handle_rtp, self._handle_rtcp)
        async with Signalling(self._args.token) as signalling:
            started = time.monotonic()
            established: Established | None = None
            try:
                offer = self._offer(transport)
                established = await signalling.offer(self._url, str(offer))
                answered_at = time.monotonic()
                answer = parse_answer(established.answer)
                self._viewer = Viewer(transport, answer, self._handle_frame)
                await transport.connect(answer)
                if self._args.data_channel:
                    self._ping = Ping(answer.sctp_port)
                    await self._ping.open(transport)
                ended = await self._watch(transport, started + self._args.duration)
            finally:
                if self._ping is not None:
                    self._ping.close()
                if established is not None:
                    await signalling.delete(established.location)
                stopped = time.monotonic()
                profile = transport.srtp_profile
                await transport.close()
                if self._decoder is not None:
                    await asyncio.to_thread(self._decoder.close)
        self._freezes.end(stopped)
        return self._result(transport, ended, profile, (started, answered_at, stopped))

    def _offer(self, transport: Transport) -> Offer:
        return Offer(
            ice=transport.ice.local,
            fingerprint=transport.fingerprint,
            media=(
                _offered("audio", "0", _AUDIO),
                _offered("video", "1", _VIDEO),
            ),
            candidates=transport.ice.candidates(host_of(self._url)),
            data_channel_mid="2" if self._args.data_channel else None,
        )

    async def _watch(self, transport: Transport, until: float) -> str:
        assert self._viewer is not None
        stop = asyncio.create_task(self._stop.wait())
        try:
            while (now := time.monotonic()) < until:
                self._viewer.tick(now)
                if transport.lost.done():
                    return transport.lost.result()
                if stop.done():
                    return "signal"
                rtt_s = transport.ice.rtt_s
                if rtt_s is not None and (not self._rtts or self._rtts[-1] != rtt_s):
                    self._rtts.append(rtt_s)
                await asyncio.sleep(_TICK_S)
            return "duration"
        finally:
            stop.cancel()

    def _handle_rtp(self, data: bytes, now: float) -> None:
        if self._viewer is not None:
            self._viewer.handle_rtp(data, now)

    def _handle_rtcp(self, data: bytes, now: float) -> None:
        if self._viewer is not None:
            self._viewer.handle_rtcp(data, now)

    def _handle_frame(self, frame: Frame, codec: CodecName) -> None:
        now = time.monotonic()
        if self._first_frame_at is None:
            self._first_frame_at = now
        if frame.capture_ntp is not None:
            captured_s = frame.capture_ntp * _NTP_UNIT_S - rtp.NTP_EPOCH_OFFSET_S
            self._capture_delays.append((time.time() - captured_s) * 1000)
        if not self._args.decode:
            self._codec = codec
            self._show(now)
            return
        if self._decoder is None or self._codec != codec:
            self._codec = codec
            self._decoder = Decoder(codec, self._decoded_elsewhere, clock=self._args.clock)
        self._decoder.decode(frame)

    def _decoded_elsewhere(self, decoded: Decoded) -> None:
        moment, wall_s = time.monotonic(), time.time()
        with contextlib.suppress(RuntimeError):  # the loop has ended
            self._loop.call_soon_threadsafe(self._handle_decoded, decoded, moment, wall_s)

    def _handle_decoded(self, decoded: Decoded, moment: float, wall_s: float) -> None:
        if decoded.error:
            self._decode_errors += 1
            if self._viewer is not None:
                self._viewer.decoding_failed()
            return
        if self._first_decoded_at is None:
            self._first_decoded_at = moment
        self._decoded += 1
        self._size = (decoded.width, decoded.height)
        if decoded.clock_ms is not None:
            self._delays.append(clock_delay_ms(decoded.clock_ms, wall_s))
        self._show(moment)

    def _show(self, moment: float) -> None:
        self._shown.append(moment)
        self._freezes.frame(moment)

    def _result(
        self, transport: Transport, ended: str, profile: str, times: tuple[float, float, float]
    ) -> WatchResult:
        started, answered_at, stopped = times
        assert self._viewer is not None
        video, audio = self._viewer.counters["video"], self._viewer.counters["audio"]
        first_packet_at = self._viewer.first_packet_at
        playing_s = max(0.001, stopped - (first_packet_at or stopped))

        def since_start(moment: float | None) -> float | None:
            return None if moment is None else rounded((moment - started) * 1000)

        joined_at = self._first_decoded_at if self._args.decode else self._first_frame_at
        rtts = [rtt_s * 1000 for rtt_s in self._rtts]
        ping = self._ping
        return WatchResult(
            url=self._url,
            ended=ended,
            watched_s=round(stopped - started, 2),
            srtp_profile=profile,
            codec=self._codec,
            width=self._size[0] if self._size else None,
            height=self._size[1] if self._size else None,
            join_ms=since_start(joined_at),
            http_ms=since_start(answered_at),
            ice_ms=rounded((transport.ice_connected_at - answered_at) * 1000),
            dtls_ms=rounded((transport.dtls_connected_at - transport.ice_connected_at) * 1000),
            first_packet_ms=since_start(first_packet_at),
            first_frame_ms=since_start(self._first_frame_at),
            first_decoded_ms=since_start(self._first_decoded_at),
            fps=rounded(_frame_rate(self._shown, stopped)),
            frames=video.frames,
            frames_decoded=self._decoded,
            frames_dropped=video.frames_dropped,
            decode_errors=self._decode_errors,
            key_frames=video.key_frames,
            key_requests=self._viewer.key_requests,
            freezes=self._freezes.freezes,
            freeze_ms=round(self._freezes.freeze_s * 1000, 1),
            longest_gap_ms=round(self._freezes.longest_gap_s * 1000, 1),
            rtt_ms=rounded(sum(rtts) / len(rtts)) if rtts else None,
            rtt_min_ms=rounded(min(rtts, default=None)),
            rtt_max_ms=rounded(max(rtts, default=None)),
            jitter_ms=rounded(self._viewer.jitter_ms("video")),
            packets=video.packets,
            packets_missed=video.missed,
            packets_lost=video.lost,
            loss_before_percent=round(100 * video.missed / max(1, video.expected), 3),
            loss_after_percent=round(100 * video.lost / max(1, video.expected), 3),
            nacks=video.nacks,
            retransmissions=video.retransmissions,
            duplicates=video.duplicates,
            video_kbps=round(video.octets * 8 / 1000 / playing_s, 1),
            audio_kbps=round(audio.octets * 8 / 1000 / playing_s, 1),
            audio_packets=audio.packets,
            audio_lost=audio.lost,
            audio_jitter_ms=rounded(self._viewer.jitter_ms("audio")),
            delay_ms=rounded(percentile(self._delays, 0.5)),
            delay_p95_ms=rounded(percentile(self._delays, 0.95)),
            clock_reads=len(self._delays),
            capture_delay_ms=rounded(percentile(self._capture_delays, 0.5)),
            data_channel_open_ms=rounded(ping.open_ms) if ping else None,
            data_channel_rtt_ms=rounded(ping.rtt_ms) if ping else None,
        )


def _offered(kind: Kind, mid: str, payloads: tuple[Payload, ...]) -> OfferedMedia:
    return OfferedMedia(
        kind=kind,
        mid=mid,
        direction="recvonly",
        payloads=payloads,
        extensions=_EXTENSION_NUMBERS,
    )


def _frame_rate(shown: list[float], stopped: float) -> float | None:
    """
    Frames per second from a second after the first one to the end, or of all if that is short.
    """
    if len(shown) < 2:
        return None
    start = shown[0] + (SETTLE_S if stopped - shown[0] > 2 * SETTLE_S else 0.0)
    span = stopped - start
    return sum(1 for moment in shown if moment > start) / span if span > 0 else None
