"""One window of a browser, as a person uses it."""

from __future__ import annotations

import base64
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Protocol

_POLL_S = 0.05
_KEYS: Mapping[str, tuple[str, int, str]] = {
    "Tab": ("Tab", 9, ""),
    "Enter": ("Enter", 13, "\r"),
    "Space": (" ", 32, " "),
    "ArrowDown": ("ArrowDown", 40, ""),
    "ArrowUp": ("ArrowUp", 38, ""),
}
"""Name of a key to its DOM key, virtual key code and text."""


class Caller(Protocol):
    """Who passes commands of the DevTools protocol on."""

    def call(self, method: str, session: str | None = None, **params: Any) -> Any:
        """One command. Raises AssertionError when it is refused."""


class Page:
    """One window."""

    def __init__(self, browser: Caller, session: str, target: str) -> None:
        self._browser = browser
        self._session = session
        self._target = target
        self.errors: list[str] = []
        """Exceptions that nobody caught, and what the content security policy blocked."""

    def prepare(self, width: int, height: int) -> None:
        """Before the first page is loaded."""
        for domain in ("Page", "Runtime", "Log"):
            self._call(f"{domain}.enable")
        self._call("Emulation.setFocusEmulationEnabled", enabled=True)
        self.resize(width, height)

    def go(self, url: str) -> None:
        """Load a URL, scripts included."""
        result = self._call("Page.navigate", url=url)
        assert "errorText" not in result, f"{url}: {result['errorText']}"
        self.until("document.readyState === 'complete'")

    def resize(self, width: int, height: int) -> None:
        """Give the page another size in CSS pixels."""
        self._call(
            "Emulation.setDeviceMetricsOverride",
            width=width,
            height=height,
            deviceScaleFactor=1,
            mobile=False,
        )

    def evaluate(self, expression: str) -> Any:
        """The JSON value of an expression; promises are waited for."""
        result = self._call(
            "Runtime.evaluate", expression=expression, awaitPromise=True, returnByValue=True
        )
        assert "exceptionDetails" not in result, f"{expression}: {result['exceptionDetails']}"
        return result["result"].get("value")

    def until(self, expression: str, timeout_s: float = 15.0) -> Any:
        """Evaluate until the value is true; returns it. Raises AssertionError."""
        deadline = time.monotonic() + timeout_s
        while True:
            value = self.evaluate(expression)
            if value:
                return value
            if time.monotonic() > deadline:
                raise AssertionError(
                    f"not within {timeout_s:g} s: {expression}\n{self.text()}\n{self.errors}"
                )
            time.sleep(_POLL_S)

    def text(self) -> str:
        """What a person reads."""
        return str(self.evaluate("document.body.innerText"))

    def choose(self, element: str, value: str) -> None:
        """Choose an option of a select element."""
        self.evaluate(
            f"(s => {{ s.value = {value!r}; s.dispatchEvent(new Event('change')); }})"
            f"(document.getElementById({element!r}))"
        )

    def press(self, key: str) -> None:
        """Press and release a key: a letter, or a name such as Tab."""
        name, code, text = _KEYS.get(key) or (key, ord(key.upper()), key)
        for kind in ("keyDown" if text else "rawKeyDown", "keyUp"):
            self._call(
                "Input.dispatchKeyEvent",
                type=kind,
                key=name,
                code=key if key in _KEYS else f"Key{key.upper()}",
                windowsVirtualKeyCode=code,
                text=text if kind == "keyDown" else "",
            )

    def write(self, text: str) -> None:
        """Type into the element that has the focus."""
        self._call("Input.insertText", text=text)

    def focused(self) -> str:
        """Id of the element that has the focus."""
        return str(self.evaluate("document.activeElement?.id ?? ''"))

    def tab_to(self, element: str) -> None:
        """Press Tab until an element has the focus. Raises AssertionError after a whole round."""
        for _ in range(40):
            if self.focused() == element:
                return
            self.press("Tab")
        raise AssertionError(f"#{element} is not reached with Tab")

    def screenshot(self, path: Path) -> None:
        """Write what is seen as PNG."""
        path.write_bytes(
            base64.b64decode(self._call("Page.captureScreenshot", format="png")["data"])
        )

    def close(self) -> None:
        """Close the window; the page gets its `pagehide`."""
        self._browser.call("Target.closeTarget", targetId=self._target)

    def note(self, method: str, params: dict[str, Any]) -> None:
        """Take an event of the protocol."""
        if method == "Runtime.exceptionThrown":
            details = params["exceptionDetails"]
            self.errors.append(str(details.get("exception", {}).get("description", details)))
        elif method == "Log.entryAdded" and params["entry"]["source"] in ("security", "violation"):
            self.errors.append(str(params["entry"]["text"]))

    def _call(self, method: str, **params: Any) -> Any:
        return self._browser.call(method, self._session, **params)
