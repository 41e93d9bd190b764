"""What a studio sends: a test card, or any file, device or address that PyAV opens."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol

from edge.model import CodecName, Kind


@dataclass(frozen=True, slots=True, kw_only=True)
class AccessUnit:
    """One coded picture or audio packet, ready to be sent."""

    kind: Kind
    data: bytes
    media_time_s: float
    """Even time on the source's own line, for RTP timestamps."""
    wall_s: float
    """Unix time of capture."""
    key: bool = True
    rid: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class VideoSettings:
    """How to encode, when encoding is needed."""

    codec: CodecName
    size: tuple[int, int] | None
    """``None`` keeps the source's size."""
    fps: float
    bitrate_bps: int
    gop_s: float
    rids: tuple[str, ...] = ("",)
    """One encoding each; the second at half, the third at a quarter of the size."""

    def layer(self, rank: int, size: tuple[int, int]) -> tuple[tuple[int, int], int]:
        """
        Size and bit rate of an encoding; a quarter of the pixels gets under a third of the bits.
        """
        width, height = (max(16, (side >> rank) // 2 * 2) for side in size)
        return (width, height), max(50_000, int(self.bitrate_bps * 0.3**rank))


@dataclass(frozen=True, slots=True, kw_only=True)
class SourceFormat:
    """What the source will send, as the offer needs it."""

    codec: CodecName | None
    """``None`` without video."""
    profile: str
    """``profile-level-id`` for H.264, else empty."""
    has_audio: bool
    summary: str
    """One line for the user, saying what is passed through and what is encoded."""


Sink = Callable[[AccessUnit], None]


class Source(Protocol):
    """Produces access units in real time, on a thread of its own."""

    @property
    def format(self) -> SourceFormat: ...

    def run(self, sink: Sink, stop: threading.Event) -> None:
        """
        Produce until stopped or at the end; raises `ClientError` when the source fails.
        """

    def request_key_frame(self, rid: str) -> None:
        """
        Ask for a key frame on the encoding named; a source that cannot ignores it.
        """


class KeyFrameRequests:
    """
    Requests from the event loop to an encoding thread, at most two a second per encoding.
    """

    def __init__(self, min_interval_s: float = 0.5) -> None:
        self._min_interval_s = min_interval_s
        self._wanted: set[str] = set()
        self._served: dict[str, float] = {}
        self._lock = threading.Lock()

    def ask(self, rid: str) -> None:
        """
        Remember the wish; it is granted as soon as the interval allows.
        """
        with self._lock:
            self._wanted.add(rid)

    def take(self, rid: str, now: float) -> bool:
        """
        Whether the next picture of this encoding must be a key frame.
        """
        with self._lock:
            served = self._served.get(rid)
            if rid not in self._wanted or (served and now - served < self._min_interval_s):
                return False
            self._wanted.discard(rid)
            self._served[rid] = now
            return True


class Pacer:
    """
    Turns media time into moments on the monotonic clock.
    """

    def __init__(self, stop: threading.Event) -> None:
        self._stop = stop
        self._start = time.monotonic()

    def wait_until(self, media_time_s: float) -> float:
        """
        Sleep until the media time comes; returns how late it is (seconds, 0 if on time).
        """
        ahead = self._start + media_time_s - time.monotonic()
        if ahead > 0:
            self._stop.wait(ahead)
            return 0.0
        return -ahead

    def shift(self, by_s: float) -> None:
        """
        Move the line later, after the source itself stood still.
        """
        self._start += by_s
