"""What feedback tells a sender about the path: a receiver's estimate, and bytes acknowledged."""

from __future__ import annotations

from collections import deque

from edge.client import rtcp

_ESTIMATE_WINDOW_S = 1.0


class Estimate:
    """
    What the other side's feedback says of the path: bytes acknowledged per second, and loss.
    """

    def __init__(self) -> None:
        self.remb_bps: int | None = None
        self._sent: dict[int, int] = {}
        self._acknowledged: deque[tuple[float, int]] = deque()
        self._seen = self._missing = 0

    def sent(self, number: int, size: int) -> None:
        """
        Note a packet under its transport-wide number.
        """
        self._sent[number] = size
        if len(self._sent) > 8192:
            for old in list(self._sent)[:4096]:
                del self._sent[old]

    def feedback(self, message: rtcp.TransportFeedback) -> None:
        """
        Take in one transport feedback.
        """
        arrivals = message.feedback.arrivals()
        self._seen += message.feedback.count
        self._missing += message.feedback.count - len(arrivals)
        for number, arrival in arrivals.items():
            size = self._sent.pop(number, None)
            if size is not None:
                self._acknowledged.append((arrival, size))
        while self._acknowledged and (
            self._acknowledged[-1][0] - self._acknowledged[0][0] > _ESTIMATE_WINDOW_S
        ):
            self._acknowledged.popleft()

    def __str__(self) -> str:
        words = []
        if self.remb_bps is not None:
            words.append(f"remb {self.remb_bps / 1000:.0f} kbit/s")
        if len(self._acknowledged) > 1:
            span = self._acknowledged[-1][0] - self._acknowledged[0][0]
            rate = sum(size for _, size in self._acknowledged) * 8 / max(span, 0.1)
            loss = 100 * self._missing / max(1, self._seen)
            words.append(f"acked {rate / 1000:.0f} kbit/s, {loss:.1f} % missing")
        return ", ".join(words) or "none"
