"""The one timer that a driver keeps per machine."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable


class Timer:
    """Calls back when a machine's deadline is due. Times are monotonic seconds."""

    __slots__ = ("_call", "_deadline", "_handle")

    def __init__(self, call: Callable[[], None]) -> None:
        self._call = call
        self._deadline: float | None = None
        self._handle: asyncio.TimerHandle | None = None

    def set(self, deadline: float | None) -> None:
        """Take the machine's deadline of now; None stops the timer."""
        if deadline == self._deadline:
            return
        self.cancel()
        if deadline is not None:
            self._deadline = deadline
            delay = max(0.0, deadline - time.monotonic())
            self._handle = asyncio.get_running_loop().call_later(delay, self._ring)

    def cancel(self) -> None:
        """Stop. Idempotent."""
        if self._handle is not None:
            self._handle.cancel()
        self._handle = self._deadline = None

    def _ring(self) -> None:
        # A loop's clock is coarser than ours: a machine asked too early says the same deadline again.
        self._handle = self._deadline = None
        self._call()
