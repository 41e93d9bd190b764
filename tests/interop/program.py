"""Other programs as subprocesses: their output is kept, waited for, and they end by their own pid."""

from __future__ import annotations

import os
import signal
import subprocess
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import Self, TypeVar

ROOT = Path(__file__).resolve().parents[2]
"""The checkout: commands run here."""

LONGEST_LINE = 400
"""Characters of a line that a failure's report shows."""

_POLL_S = 0.02

T = TypeVar("T")


def until(what: str, found: Callable[[], T | None], timeout_s: float = 10.0) -> T:
    """Ask until the answer is neither None nor false. Raises AssertionError after the timeout."""
    deadline = time.monotonic() + timeout_s
    while True:
        answer = found()
        if answer is not None and answer is not False:
            return answer
        if time.monotonic() > deadline:
            raise AssertionError(f"not within {timeout_s:g} s: {what}")
        time.sleep(_POLL_S)


class Program:
    """A running program. Its standard output and error are one list of lines."""

    def __init__(
        self,
        command: Sequence[str],
        *,
        cwd: Path = ROOT,
        environment: Mapping[str, str] | None = None,
    ) -> None:
        self.command = list(command)
        self.lines: list[str] = []
        self._changed = threading.Condition()
        self.process = subprocess.Popen(
            self.command,
            cwd=cwd,
            env={**os.environ, "PYTHONUNBUFFERED": "1", **(environment or {})},
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            errors="replace",
            start_new_session=True,
        )
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.end()
        if error is not None:
            print(self.log())

    @property
    def running(self) -> bool:
        """Whether it has not ended."""
        return self.process.poll() is None

    def log(self, last: int = 60) -> str:
        """Its last lines, for a failure's report."""
        name = " ".join(self.command)[:200]
        return f"--- {name} (status {self.process.poll()})\n" + "\n".join(
            line[:LONGEST_LINE] for line in self.lines[-last:]
        )

    def line(self, wanted: Callable[[str], bool], timeout_s: float = 15.0, after: int = 0) -> str:
        """The first line from number `after` on that is wanted. Raises AssertionError."""
        deadline = time.monotonic() + timeout_s
        seen = after
        with self._changed:
            while True:
                for line in self.lines[seen:]:
                    if wanted(line):
                        return line
                seen = len(self.lines)
                left = deadline - time.monotonic()
                if left <= 0 or not self._reader.is_alive():
                    break
                self._changed.wait(min(left, 0.2))
        for line in self.lines[seen:]:
            if wanted(line):
                return line
        raise AssertionError(f"the line did not come\n{self.log()}")

    def wait(self, timeout_s: float) -> int:
        """Its exit status. Raises AssertionError when it does not end."""
        try:
            status = self.process.wait(timeout_s)
        except subprocess.TimeoutExpired:
            raise AssertionError(f"did not end within {timeout_s:g} s\n{self.log()}") from None
        self._reader.join(5)
        return status

    def send(self, number: signal.Signals) -> None:
        """Send it a signal."""
        self.process.send_signal(number)

    def end(self) -> None:
        """End it politely, then not."""
        for number in (signal.SIGINT, signal.SIGKILL):
            if not self.running:
                break
            self.process.send_signal(number)
            try:
                self.process.wait(5)
            except subprocess.TimeoutExpired:
                continue
        self._reader.join(5)
        if self.process.stdout is not None:
            self.process.stdout.close()

    def _read(self) -> None:
        assert self.process.stdout is not None
        for line in self.process.stdout:
            with self._changed:
                self.lines.append(line.rstrip("\n"))
                self._changed.notify_all()
