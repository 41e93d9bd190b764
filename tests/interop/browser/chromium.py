"""Chromium without a screen, driven over its debugging pipe: pages, keys, sizes, screenshots."""

from __future__ import annotations

import json
import os
import queue
import shutil
import signal
import subprocess
import tempfile
import threading
from pathlib import Path
from typing import Any

from .page import Page

COMMAND = os.environ.get("CHROMIUM") or shutil.which("chromium") or shutil.which("google-chrome")

_FLAGS = (
    "--headless",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--disable-extensions",
    "--disable-dev-shm-usage",
    # Several windows share one browser: none of them is to be slowed down for being behind another.
    "--disable-background-timer-throttling",
    "--disable-backgrounding-occluded-windows",
    "--disable-renderer-backgrounding",
    "--autoplay-policy=no-user-gesture-required",
    "--use-fake-ui-for-media-stream",
    "--use-fake-device-for-media-stream",
)


class Chromium:
    """A browser with a profile of its own."""

    def __init__(self) -> None:
        assert COMMAND is not None
        self._profile = Path(tempfile.mkdtemp(prefix="edge-chromium-"))
        commands_out, commands_in = os.pipe()
        replies_out, replies_in = os.pipe()
        self.process = subprocess.Popen(
            # The pipe is read from descriptor 3 and written to 4 (--remote-debugging-pipe).
            [
                "bash",
                "-c",
                f'exec "$0" "$@" 3<&{commands_out} 4>&{replies_in}',
                COMMAND,
                *_FLAGS,
                "--remote-debugging-pipe",
                f"--user-data-dir={self._profile}",
                "about:blank",
            ],
            pass_fds=(commands_out, replies_in),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            start_new_session=True,
        )
        os.close(commands_out)
        os.close(replies_in)
        self._commands, self._replies = commands_in, replies_out
        self._lock = threading.Lock()
        self._number = 0
        self._waiting: dict[int, queue.SimpleQueue[dict[str, Any]]] = {}
        self._pages: dict[str, Page] = {}
        self._reader = threading.Thread(target=self._read, name="chromium", daemon=True)
        self._reader.start()
        self.call("Browser.getVersion")

    def page(self, url: str, *, width: int = 1280, height: int = 800) -> Page:
        """A new window that shows a URL, in a session of its own: no storage is shared."""
        context = self.call("Target.createBrowserContext")["browserContextId"]
        target = self.call(
            "Target.createTarget", url="about:blank", browserContextId=context, newWindow=True
        )["targetId"]
        session = self.call("Target.attachToTarget", targetId=target, flatten=True)["sessionId"]
        page = Page(self, session, target)
        self._pages[session] = page
        page.prepare(width, height)
        page.go(url)
        return page

    def call(
        self, method: str, session: str | None = None, timeout_s: float = 20.0, **params: Any
    ) -> Any:
        """One command of the DevTools protocol. Raises AssertionError when it is refused."""
        answer: queue.SimpleQueue[dict[str, Any]] = queue.SimpleQueue()
        with self._lock:
            self._number += 1
            number = self._number
            self._waiting[number] = answer
            message = {"id": number, "method": method, "params": params}
            if session is not None:
                message["sessionId"] = session
            os.write(self._commands, json.dumps(message).encode() + b"\0")
        try:
            reply = answer.get(timeout=timeout_s)
        except queue.Empty:
            raise AssertionError(f"Chromium did not answer {method}") from None
        finally:
            self._waiting.pop(number, None)
        assert "error" not in reply, f"{method}: {reply['error']}"
        return reply["result"]

    def close(self) -> None:
        """End the browser and everything it started."""
        os.close(self._commands)
        try:
            self.process.wait(5)
        except subprocess.TimeoutExpired:
            # The session's processes are all ours.
            os.killpg(self.process.pid, signal.SIGKILL)
            self.process.wait(5)
        self._reader.join(5)
        os.close(self._replies)
        shutil.rmtree(self._profile, ignore_errors=True)

    def _read(self) -> None:
        buffer = b""
        while chunk := os.read(self._replies, 1 << 16):
            *messages, buffer = (buffer + chunk).split(b"\0")
            for message in messages:
                self._take(json.loads(message))

    def _take(self, message: dict[str, Any]) -> None:
        waiting = self._waiting.get(message.get("id", 0))
        if waiting is not None:
            waiting.put(message)
        elif message.get("sessionId") in self._pages:
            self._pages[message["sessionId"]].note(message["method"], message["params"])
