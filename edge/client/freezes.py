"""
Freezes as WebRTC counts them (webrtc-stats, ``freezeCount``).

One is a gap between two frames of at least three times the mean gap, and 150 ms more than it.
"""

from __future__ import annotations

from collections import deque

_WINDOW_FRAMES = 30
_EXTRA_S = 0.15


class FreezeDetector:
    """
    Counts freezes from the times at which frames are shown (monotonic seconds).
    """

    def __init__(self) -> None:
        self.freezes = 0
        self.freeze_s = 0.0
        self.longest_gap_s = 0.0
        self._gaps: deque[float] = deque(maxlen=_WINDOW_FRAMES)
        self._last: float | None = None

    def frame(self, at: float) -> bool:
        """
        A frame was shown; returns whether the gap before it was a freeze.
        """
        gap, self._last = 0.0 if self._last is None else at - self._last, at
        frozen = self._is_freeze(gap)
        if frozen:
            self._count(gap)
        self.longest_gap_s = max(self.longest_gap_s, gap)
        self._gaps.append(gap)
        return frozen

    def end(self, at: float) -> bool:
        """
        Watching ends; returns whether the picture was frozen just then.
        """
        gap = 0.0 if self._last is None else at - self._last
        self.longest_gap_s = max(self.longest_gap_s, gap)
        if self._is_freeze(gap):
            self._count(gap)
            return True
        return False

    def _is_freeze(self, gap: float) -> bool:
        # The first gap has nothing to be compared with; index 0 is the start of the row.
        known = list(self._gaps)[1:] if len(self._gaps) < _WINDOW_FRAMES else list(self._gaps)
        if not known:
            return False
        mean = sum(known) / len(known)
        return gap >= max(3 * mean, mean + _EXTRA_S)

    def _count(self, gap: float) -> None:
        self.freezes += 1
        self.freeze_s += gap
