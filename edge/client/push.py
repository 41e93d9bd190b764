"""``edge push``: a studio without OBS."""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import signal
import sys
import threading
import time
from dataclasses import replace

from edge.client.arguments import bitrate, positive, size
from edge.client.card_source import CardSource
from edge.client.failure import ClientError
from edge.client.media_source import MediaSource
from edge.client.publication import Publication
from edge.client.sender import Counters, MediaSender
from edge.client.signalling import Signalling, checked_url
from edge.client.sources import AccessUnit, Source, VideoSettings
from edge.model import CodecName

CODECS: dict[str, CodecName] = {
    "h264": "H264",
    "vp8": "VP8",
    "vp9": "VP9",
    "av1": "AV1",
    "h265": "H265",
}
SIMULCAST_RIDS = ("h", "m", "l")

_BACKOFF_S = (0.5, 8.0)
"""First and longest pause between attempts."""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """
    Declare the arguments of ``edge push``.
    """
    parser.add_argument(
        "url", metavar="URL", help="WHIP endpoint, such as http://HOST:8080/whip/STREAM"
    )
    parser.add_argument(
        "--source",
        default="testsrc",
        help="testsrc (default), a file, /dev/videoN, rtmp://..., rtsp://..., or lavfi:GRAPH",
    )
    parser.add_argument(
        "--simulcast", action="store_true", help="send layers h, m, l (1, 1/2, 1/4 size)"
    )
    parser.add_argument("--codec", choices=sorted(CODECS), default="h264")
    parser.add_argument("--token", help="bearer token with the publish scope")
    parser.add_argument("--quiet", action="store_true", help="no progress line")
    parser.add_argument("--duration", type=positive, metavar="S", help="stop after so many seconds")
    parser.add_argument(
        "--loop", action=argparse.BooleanOptionalAction, default=True, help="repeat a file"
    )
    parser.add_argument(
        "--size", type=size, metavar="WxH", help="default: 1280x720 or the source's own"
    )
    parser.add_argument("--fps", type=positive, default=30.0, help="of the test card (default 30)")
    parser.add_argument(
        "--bitrate", type=bitrate, default=2_500_000, help="of video, such as 2500k or 4M"
    )
    parser.add_argument(
        "--gop", type=positive, default=1.0, metavar="S", help="seconds between key frames"
    )
    parser.add_argument("--no-audio", action="store_true")
    parser.add_argument("--no-reconnect", action="store_true", help="end when the session is lost")


def run(args: argparse.Namespace) -> int:
    """
    Publish until the duration passed, the source ended or a signal came; returns the exit status.
    """
    try:
        return asyncio.run(publish(args))
    except ClientError as error:
        print(f"edge push: {error}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        return 130


async def publish(args: argparse.Namespace) -> int:
    """
    Publish as `run` does, on the running event loop; raises `ClientError` instead of printing it.
    """
    return await _Studio(args).run()


class _Studio:
    """
    One source, published over one session after another.
    """

    def __init__(self, args: argparse.Namespace) -> None:
        self._args = args
        self._url = checked_url(args.url)
        settings = VideoSettings(
            codec=CODECS[args.codec],
            size=args.size,
            fps=args.fps,
            bitrate_bps=args.bitrate,
            gop_s=args.gop,
            rids=SIMULCAST_RIDS if args.simulcast else ("",),
        )
        self._settings = settings
        self._source: Source
        if args.source == "testsrc":
            self._source = CardSource(settings, audio=not args.no_audio)
        else:
            self._source = MediaSource(
                args.source, settings, audio=not args.no_audio, loop=args.loop
            )
        self._format = self._source.format
        self._sender: MediaSender | None = None
        self._stop = asyncio.Event()
        self._stop_source = threading.Event()
        self._source_error: ClientError | None = None
        self._thread: threading.Thread | None = None
        self._was_connected = False

    async def run(self) -> int:
        loop = asyncio.get_running_loop()
        for number in (signal.SIGINT, signal.SIGTERM):
            loop.add_signal_handler(number, self._stop.set)
        _say(self._format.summary)
        if self._args.duration:
            loop.call_later(self._args.duration, self._stop.set)
        pause = _BACKOFF_S[0]
        try:
            while not self._stop.is_set():
                started = time.monotonic()
                error = await self._attempt()
                if error is None:
                    break
                if self._args.no_reconnect or not error.retry:
                    raise error
                if time.monotonic() - started > 10:
                    pause = _BACKOFF_S[0]
                wait = max(pause, error.retry_after_s)
                _say(f"{error}; trying again in {wait:.1f} s")
                await _sleep_unless(self._stop, wait)
                pause = min(pause * 2, _BACKOFF_S[1])
        finally:
            self._stop_source.set()
            if self._thread is not None:
                await asyncio.to_thread(self._thread.join, 5.0)
        if self._source_error is not None:
            raise self._source_error
        if not self._was_connected:
            raise ClientError("never connected")
        return 0

    async def _attempt(self) -> ClientError | None:
        """
        One session from offer to end; returns why it was lost, or nothing when it is time to stop.
        """
        try:
            async with Signalling(self._args.token) as signalling:
                publication = Publication(self._format, self._settings, self._request_key_frame)
                try:
                    await publication.open(signalling, self._url)
                    profile = publication.transport.srtp_profile
                    _say(f"publishing to {publication.location} ({profile})")
                    self._was_connected = True
                    self._sender = publication.sender
                    self._start_source()
                    for rid in self._settings.rids:
                        self._source.request_key_frame(rid)
                    return await self._publish(publication)
                finally:
                    self._sender = None
                    await publication.close(signalling)
        except ClientError as error:
            return error

    async def _publish(self, publication: Publication) -> ClientError | None:
        before, stop = Counters(), asyncio.create_task(self._stop.wait())
        try:
            while True:
                done, _ = await asyncio.wait(
                    (stop, publication.transport.lost),
                    timeout=1.0,
                    return_when=asyncio.FIRST_COMPLETED,
                )
                if stop in done:
                    return None
                if done:
                    return ClientError(publication.transport.lost.result(), retry=True)
                publication.live.report()
                if not self._args.quiet:
                    before = _progress(publication, before)
        finally:
            stop.cancel()

    def _start_source(self) -> None:
        if self._thread is None:
            loop = asyncio.get_running_loop()
            self._thread = threading.Thread(target=self._run_source, args=(loop,), daemon=True)
            self._thread.start()

    def _run_source(self, loop: asyncio.AbstractEventLoop) -> None:
        def sink(unit: AccessUnit) -> None:
            loop.call_soon_threadsafe(self._send, unit)

        try:
            self._source.run(sink, self._stop_source)
        except ClientError as error:
            self._source_error = error
        finally:
            if not self._stop_source.is_set():
                loop.call_soon_threadsafe(self._stop.set)

    def _send(self, unit: AccessUnit) -> None:
        if self._sender is not None:
            self._sender.send(unit)

    def _request_key_frame(self, rid: str) -> None:
        self._source.request_key_frame(rid)


def _progress(publication: Publication, before: Counters) -> Counters:
    """
    Print the line of this second and return the counters for the next.
    """
    sender = publication.live
    now = replace(sender.counters)
    rtt_s = publication.transport.ice.rtt_s or sender.rtt_s
    _say(
        f"fps {now.frames - before.frames:3d}"
        f"  {(now.octets - before.octets) * 8 / 1000:6.0f} kbit/s"
        f"  rtt {'-' if rtt_s is None else f'{rtt_s * 1000:.1f} ms'}"
        f"  lost {now.lost}  nacked {now.nacked}  resent {now.retransmitted}"
        f"  key frames {now.key_frames} ({now.key_requests} asked)"
        f"  remote estimate: {sender.estimate}"
    )
    return now


async def _sleep_unless(event: asyncio.Event, seconds: float) -> None:
    with contextlib.suppress(TimeoutError):
        await asyncio.wait_for(event.wait(), seconds)


def _say(text: str) -> None:
    print(text, file=sys.stderr, flush=True)
