"""What happens while watching, noted as it happens and summed up at the end."""

from __future__ import annotations

from dataclasses import dataclass, field

from edge.client import rtp
from edge.client.decoder import Decoded
from edge.client.freezes import FreezeDetector
from edge.client.ping import Ping
from edge.client.receiver import Frame
from edge.client.report import WatchResult, percentile, rounded
from edge.client.testcard import clock_delay_ms
from edge.client.viewer import Viewer
from edge.model import CodecName

SETTLE_S = 1.0
"""Left out of frame rate and delays: a joining player gets the past in a burst."""

_NTP_UNIT_S = 1 / (1 << 32)


@dataclass(slots=True, kw_only=True)
class Moments:
    """When the session came how far (monotonic seconds)."""

    started: float = 0.0
    answered: float = 0.0
    ice: float = 0.0
    dtls: float = 0.0
    first_frame: float | None = None
    first_decoded: float | None = None
    stopped: float = 0.0

    def since_start_ms(self, moment: float | None) -> float | None:
        """
        Milliseconds from the POST to a moment.
        """
        return None if moment is None else rounded((moment - self.started) * 1000)


@dataclass(slots=True, kw_only=True)
class Measurements:
    """
    Everything that a `Viewer` does not count itself.
    """

    decoding: bool
    moments: Moments = field(default_factory=Moments)
    codec: CodecName | None = None
    _freezes: FreezeDetector = field(default_factory=FreezeDetector)
    _size: tuple[int, int] | None = None
    _shown: list[float] = field(default_factory=list)
    _decoded: int = 0
    _decode_errors: int = 0
    _delays_ms: list[float] = field(default_factory=list)
    _capture_delays_ms: list[float] = field(default_factory=list)
    _rtts_ms: list[float] = field(default_factory=list)

    def note_frame(self, frame: Frame, codec: CodecName, now: float, wall_s: float) -> None:
        """
        A complete frame came.
        """
        self.codec = codec
        if self.moments.first_frame is None:
            self.moments.first_frame = now
        if frame.capture_ntp is not None and self._settled(now):
            captured_s = frame.capture_ntp * _NTP_UNIT_S - rtp.NTP_EPOCH_OFFSET_S
            self._capture_delays_ms.append((wall_s - captured_s) * 1000)
        if not self.decoding:
            self._show(now)

    def note_decoded(self, decoded: Decoded, now: float, wall_s: float) -> None:
        """
        The decoder made a picture, or failed to.
        """
        if decoded.error:
            self._decode_errors += 1
            return
        if self.moments.first_decoded is None:
            self.moments.first_decoded = now
        self._decoded += 1
        self._size = (decoded.width, decoded.height)
        if decoded.clock_ms is not None and self._settled(now):
            self._delays_ms.append(clock_delay_ms(decoded.clock_ms, wall_s))
        self._show(now)

    def note_rtt(self, rtt_s: float | None) -> None:
        """
        The round trip last measured; the same value again is the same measurement.
        """
        if rtt_s is not None and (not self._rtts_ms or self._rtts_ms[-1] != rtt_s * 1000):
            self._rtts_ms.append(rtt_s * 1000)

    def note_end(self, now: float) -> None:
        """
        Watching ended; a picture that stands still now is a freeze too.
        """
        self.moments.stopped = now
        self._freezes.end(now)

    def result(
        self, viewer: Viewer, ping: Ping | None, *, url: str, ended: str, srtp_profile: str
    ) -> WatchResult:
        """
        The record of all that was noted.
        """
        at, rtts = self.moments, self._rtts_ms
        video, audio = viewer.counters["video"], viewer.counters["audio"]
        playing_s = max(0.001, at.stopped - (viewer.first_packet_at or at.stopped))
        width, height = self._size or (None, None)
        return WatchResult(
            url=url,
            ended=ended,
            watched_s=round(at.stopped - at.started, 2),
            srtp_profile=srtp_profile,
            codec=self.codec,
            width=width,
            height=height,
            join_ms=at.since_start_ms(at.first_decoded if self.decoding else at.first_frame),
            http_ms=at.since_start_ms(at.answered),
            ice_ms=rounded((at.ice - at.answered) * 1000),
            dtls_ms=rounded((at.dtls - at.ice) * 1000),
            first_packet_ms=at.since_start_ms(viewer.first_packet_at),
            first_frame_ms=at.since_start_ms(at.first_frame),
            first_decoded_ms=at.since_start_ms(at.first_decoded),
            fps=rounded(_frame_rate(self._shown, at.stopped)),
            frames=video.frames,
            frames_decoded=self._decoded,
            frames_dropped=video.frames_dropped,
            decode_errors=self._decode_errors,
            key_frames=video.key_frames,
            key_requests=viewer.key_requests,
            freezes=self._freezes.freezes,
            freeze_ms=round(self._freezes.freeze_s * 1000, 1),
            longest_gap_ms=round(self._freezes.longest_gap_s * 1000, 1),
            rtt_ms=rounded(sum(rtts) / len(rtts)) if rtts else None,
            rtt_min_ms=rounded(min(rtts, default=None)),
            rtt_max_ms=rounded(max(rtts, default=None)),
            jitter_ms=rounded(viewer.jitter_ms("video")),
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
            audio_jitter_ms=rounded(viewer.jitter_ms("audio")),
            delay_ms=rounded(percentile(self._delays_ms, 0.5)),
            delay_p95_ms=rounded(percentile(self._delays_ms, 0.95)),
            clock_reads=len(self._delays_ms),
            capture_delay_ms=rounded(percentile(self._capture_delays_ms, 0.5)),
            data_channel_open_ms=rounded(ping.open_ms) if ping else None,
            data_channel_rtt_ms=rounded(ping.rtt_ms) if ping else None,
        )

    def _settled(self, now: float) -> bool:
        return self.moments.first_frame is not None and now > self.moments.first_frame + SETTLE_S

    def _show(self, now: float) -> None:
        self._shown.append(now)
        self._freezes.frame(now)


def _frame_rate(shown: list[float], stopped: float) -> float | None:
    """
    Frames per second from a second after the first one to the end, or of all if that is short.
    """
    if len(shown) < 2:
        return None
    start = shown[0] + (SETTLE_S if stopped - shown[0] > 2 * SETTLE_S else 0.0)
    span = stopped - start
    return sum(1 for moment in shown if moment > start) / span if span > 0 else None
