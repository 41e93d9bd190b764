"""
One received RTP stream: order, gaps, requests for repair, and frames.

Nothing here reads a clock: every method is given the monotonic time. Packets are released in order;
a gap is asked for (NACK) until it is filled or too old, and a gap given up breaks decoding until a
frame comes at which it can start.
"""

from __future__ import annotations

from dataclasses import dataclass

from edge.client import rtp
from edge.client.depacketize import Depacketize, Picture
from edge.client.rtcp import ReportBlock

NACK_DELAY_S = 0.005
"""How long a packet may be late by reordering before it is asked for."""

NACK_INTERVAL_S = 0.06
"""Between repeated requests when the round trip is not known or shorter."""

GIVE_UP_S = 0.6
"""Age at which a gap is given up; players of live tables do not wait longer."""

_RESTART_DISTANCE = 3000


@dataclass(slots=True, kw_only=True)
class ReceiveCounters:
    """What happened to the packets and frames of one kind of media, over all its streams."""

    packets: int = 0
    octets: int = 0
    duplicates: int = 0
    retransmissions: int = 0
    """Packets that came as RTX."""
    missed: int = 0
    """Packets absent long enough to be asked for: loss before repair."""
    lost: int = 0
    """Packets given up: loss after repair."""
    expected: int = 0
    nacks: int = 0
    """NACK entries sent, repetitions included."""
    frames: int = 0
    """Complete frames from which, and from the ones before, a decoder can make a picture."""
    key_frames: int = 0
    frames_dropped: int = 0
    """Frames that were cut, or came between a cut and the next key frame."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Frame:
    """One complete, decodable frame."""

    picture: Picture
    timestamp: int
    arrival: float
    """When its last packet came (monotonic seconds)."""
    capture_ntp: int | None = None
    """abs-capture-time of its first packet, 64-bit NTP."""


@dataclass(slots=True)
class _Gap:
    since: float
    asked_at: float = 0.0
    asks: int = 0


class StreamReceiver:
    """
    The receiving state of one SSRC.
    """

    def __init__(
        self,
        ssrc: int,
        clock_rate: int,
        depacketize: Depacketize,
        counters: ReceiveCounters,
        *,
        nack: bool,
        capture_time_id: int | None = None,
    ) -> None:
        self.ssrc = ssrc
        self.counters = counters
        self.needs_key = True
        """Whether decoding cannot go on, or start, without a key frame."""
        self.jitter = 0.0
        """Interarrival jitter in units of the RTP clock (RFC 3550, section 6.4.1)."""
        self._clock_rate = clock_rate
        self._depacketize = depacketize
        self._nack = nack
        self._capture_time_id = capture_time_id
        self._highest: int | None = None
        self._first = 0
        self._next = 0
        self._waiting: dict[int, tuple[rtp.RtpPacket, float]] = {}
        self._gaps: dict[int, _Gap] = {}
        self._partial: list[tuple[rtp.RtpPacket, float]] = []
        self._transit: float | None = None
        self._dropped_time: int | None = None
        self._reported = (0, 0)
        self._received = 0
        self._last_sr: tuple[int, float] | None = None

    def receive(self, packet: rtp.RtpPacket, now: float, *, repaired: bool = False) -> None:
        """
        Take in a packet of this stream, or its retransmission with the original number restored.
        """
        if self._highest is None:
            if repaired:
                return
            self._highest = self._next = self._first = packet.sequence
            self.counters.expected += 1
        sequence = rtp.extend(packet.sequence, self._highest)
        if abs(sequence - self._highest) > _RESTART_DISTANCE:
            self._restart(sequence)
        if sequence < self._next or sequence in self._waiting:
            self.counters.duplicates += 1
            return
        if sequence > self._highest:
            self._open_gaps(sequence, now)
        self._gaps.pop(sequence, None)
        self._waiting[sequence] = (packet, now)
        self._received += 1
        self.counters.packets += 1
        self.counters.octets += len(packet.payload)
        if not repaired:
            self._measure_jitter(packet.timestamp, now)

    def frames(self, now: float) -> list[Frame]:
        """
        Frames that are complete now, in order; gives up gaps that are too old.
        """
        frames: list[Frame] = []
        while True:
            while self._next in self._waiting:
                self._release(*self._waiting.pop(self._next), frames)
                self._next += 1
            gap = self._gaps.get(self._next)
            if gap is None or now - gap.since < GIVE_UP_S:
                return frames
            while self._next in self._gaps:
                del self._gaps[self._next]
                self._next += 1
                self.counters.lost += 1
            self._cut()

    def sequences_to_request(self, now: float, rtt_s: float | None) -> tuple[int, ...]:
        """
        Numbers to NACK now; each comes again after a round trip without answer.
        """
        pause = max(NACK_INTERVAL_S, 1.2 * (rtt_s or 0.0))
        due = []
        for sequence, gap in self._gaps.items():
            if now - gap.since < NACK_DELAY_S or (gap.asks and now - gap.asked_at < pause):
                continue
            self.counters.missed += gap.asks == 0
            gap.asks += 1
            gap.asked_at = now
            if self._nack:
                due.append(sequence & 0xFFFF)
        self.counters.nacks += len(due)
        return tuple(due)

    def note_sender_report(self, ntp: int, now: float) -> None:
        """
        Remember a sender report, for the round trip of its sender.
        """
        self._last_sr = (ntp >> 16 & 0xFFFFFFFF, now)

    def report(self, now: float) -> ReportBlock | None:
        """
        The report block due now, or ``None`` before the first packet.
        """
        if self._highest is None:
            return None
        expected = self._highest - self._first + 1
        before_expected, before_received = self._reported
        span = expected - before_expected
        lost_now = max(0, span - (self._received - before_received))
        self._reported = (expected, self._received)
        last_sr, since = self._last_sr or (0, now)
        return ReportBlock(
            ssrc=self.ssrc,
            fraction_lost=min(255, lost_now * 256 // span) if span > 0 else 0,
            lost=expected - self._received,
            highest_sequence=self._highest & 0xFFFFFFFF,
            jitter=int(self.jitter),
            last_sr=last_sr,
            delay_since_sr=int((now - since) * 65536) if last_sr else 0,
        )

    @property
    def jitter_ms(self) -> float:
        """
        Interarrival jitter in milliseconds.
        """
        return self.jitter * 1000 / self._clock_rate

    def abandon(self) -> None:
        """
        Decoding failed: wait for a key frame.
        """
        self.needs_key = True

    def _restart(self, sequence: int) -> None:
        # The sender started over (RFC 3550, appendix A.1): nothing before can be waited for.
        self._waiting.clear()
        self._gaps.clear()
        self._highest = self._next = self._first = sequence
        self._received, self._reported = 0, (0, 0)
        self._cut()

    def _open_gaps(self, sequence: int, now: float) -> None:
        assert self._highest is not None
        for absent in range(self._highest + 1, sequence):
            self._gaps[absent] = _Gap(now)
        self.counters.expected += sequence - self._highest
        self._highest = sequence

    def _measure_jitter(self, timestamp: int, now: float) -> None:
        transit = now * self._clock_rate - timestamp
        if self._transit is not None:
            distance = abs(transit - self._transit)
            if distance < self._clock_rate * 10:  # not across a wrap of the timestamp
                self.jitter += (distance - self.jitter) / 16
        self._transit = transit

    def _release(self, packet: rtp.RtpPacket, arrival: float, frames: list[Frame]) -> None:
        if self._partial and self._partial[0][0].timestamp != packet.timestamp:
            self._finish(frames)
        if packet.payload:  # else padding, which belongs to no frame
            self._partial.append((packet, arrival))
        if packet.marker and self._partial:
            self._finish(frames)

    def _finish(self, frames: list[Frame]) -> None:
        packets, self._partial = self._partial, []
        first = packets[0][0]
        try:
            picture = self._depacketize([packet.payload for packet, _ in packets])
        except ValueError:
            self._drop(first.timestamp)
            self.needs_key = True
            return
        if self.needs_key and not picture.key:
            self._drop(first.timestamp)
            return
        self.needs_key = False
        self.counters.frames += 1
        self.counters.key_frames += picture.key
        frames.append(
            Frame(
                picture=picture,
                timestamp=first.timestamp,
                arrival=max(arrival for _, arrival in packets),
                capture_ntp=self._capture_ntp(first),
            )
        )

    def _capture_ntp(self, packet: rtp.RtpPacket) -> int | None:
        value = packet.extensions.get(self._capture_time_id or 0, b"")
        return int.from_bytes(value[:8], "big") if len(value) >= 8 else None

    def _drop(self, timestamp: int) -> None:
        # What comes before the first key frame was not meant for this player, and both halves of a
        # frame that a gap cut are one frame.
        if self.counters.frames and timestamp != self._dropped_time:
            self.counters.frames_dropped += 1
        self._dropped_time = timestamp

    def _cut(self) -> None:
        if self._partial:
            self._drop(self._partial[0][0].timestamp)
            self._partial = []
        self.needs_key = True
