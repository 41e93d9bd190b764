"""Chromium's player page when the bandwidth changes: its feedback is what the estimate is made for."""

from __future__ import annotations

import itertools
import time
from collections.abc import Iterator
from contextlib import ExitStack
from typing import Any

import pytest

from .browser.chromium import COMMAND, Chromium
from .browser.conftest import PAGES
from .browser.page import Page
from .edges import Edge, report
from .front import Front
from .link import Conditions
from .relay import UdpRelay

pytestmark = [pytest.mark.timeout(120), pytest.mark.long]

TOP = 720
STEADY_PICTURES = 90
FAST = Conditions(delay_s=0.02, rate_bps=4e6)
SLOW = Conditions(delay_s=0.02, rate_bps=1e6)

PICTURE = "[...document.querySelectorAll('video')].find(video => video.videoHeight > 0)"
"""The page has a second element, for joining elsewhere before leaving."""

SAMPLER = """
(() => {
  const video = PICTURE;
  window.shown = [];
  const note = (_now, frame) => {
    window.shown.push([frame.presentationTime, frame.height]);
    video.requestVideoFrameCallback(note);
  };
  video.requestVideoFrameCallback(note);
  return true;
})()
""".replace("PICTURE", PICTURE)
STEADY = (
    f"window.shown.length >= {STEADY_PICTURES}"
    f" && window.shown.slice(-{STEADY_PICTURES}).every(([, height]) => height === {TOP})"
)


@pytest.fixture
def page() -> Iterator[Page]:
    """An empty window of a browser of its own."""
    if COMMAND is None:
        pytest.skip("there is no chromium (Debian: apt install chromium)")
    if not (PAGES / "index.html").is_file():
        pytest.skip("the pages are not built (npm ci && npm run build in edge/web)")
    browser = Chromium()
    yield browser.page("about:blank", width=1280, height=800)
    browser.close()


def seconds_to(page: Page, height: str, timeout_s: float) -> float:
    """Seconds by the page's clock until a picture whose height fits comes."""
    since = page.evaluate("performance.now()")
    # A picture that is on the screen already must not count.
    found = f"window.shown.find(([at, height]) => at > {since} && height {height})?.[0]"
    return float(page.until(found, timeout_s) - since) / 1000


def test_the_layer_follows_the_bandwidth(edge_server: Edge, page: Page) -> None:
    port = edge_server.udp_ports[0]
    with ExitStack() as stack:
        relay = stack.enter_context(UdpRelay(("127.0.0.1", port), up=Conditions(delay_s=0.02)))
        relay.set(down=FAST)
        front = stack.enter_context(Front(edge_server.url, {port: relay.port}))
        size = ("--size", "1280x720", "--bitrate", "2500k")
        stack.enter_context(edge_server.push("follow", "--simulcast", *size))
        edge_server.wait_live("follow", layers=3)
        page.go(f"{front.url}/?stream=follow")
        page.until(f"{PICTURE}?.videoHeight > 0")
        joined = time.monotonic()
        page.evaluate(SAMPLER)
        page.until(STEADY, 30)
        to_top_s = time.monotonic() - joined - STEADY_PICTURES / 30
        relay.set(down=SLOW)
        down_s = seconds_to(page, f"< {TOP}", 10)
        seen = page.evaluate("window.shown.length")
        page.until(f"window.shown.length > {seen + 120}", 20)
        settled = set(page.evaluate("window.shown.slice(-60).map(([, height]) => height)"))
        relay.set(down=FAST)
        back_s = seconds_to(page, f"=== {TOP}", 30)
        shown: list[Any] = page.evaluate("window.shown")
    gaps = [two[0] - one[0] for one, two in itertools.pairwise(shown)]
    figures = {"to_top_s": to_top_s, "down_s": down_s, "back_s": back_s}
    report(
        "chromium, rate 4 -> 1 -> 4 Mbit/s",
        {name: round(value, 2) for name, value in figures.items()}
        | {"settled": sorted(settled), "longest_gap_ms": round(max(gaps))}
        | {"overflowed": relay.passed(up=False).overflowed},
    )
    assert down_s <= 2
    assert max(settled) < TOP
    assert back_s <= 15
