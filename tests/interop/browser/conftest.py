"""Fixtures: one browser for all tests here, and a studio page that publishes the test card."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from ..edges import Edge
from ..program import ROOT
from .chromium import COMMAND, Chromium
from .page import Page

PAGES = ROOT / "edge" / "web" / "dist"

STUDIO_FPS = 15
"""Three layers are encoded in software: half the usual rate leaves time for the tests."""

OpenPage = Callable[..., Page]


@pytest.fixture(scope="session")
def chromium() -> Iterator[Chromium]:
    """Chromium, if this machine has one."""
    if COMMAND is None:
        pytest.skip("there is no chromium (Debian: apt install chromium)")
    if not (PAGES / "index.html").is_file():
        pytest.skip("the pages are not built (npm ci && npm run build in edge/web)")
    browser = Chromium()
    yield browser
    browser.close()


@pytest.fixture
def open_page(chromium: Chromium) -> Iterator[OpenPage]:
    """Opens windows, which close with the test; a page must not have thrown anything."""
    pages: list[Page] = []

    def show(url: str, *, width: int = 1280, height: int = 800) -> Page:
        pages.append(chromium.page(url, width=width, height=height))
        return pages[-1]

    yield show
    errors = [error for page in pages for error in page.errors]
    for page in pages:
        page.close()
    assert errors == []


@pytest.fixture(scope="module")
def studio(edge_server: Edge, chromium: Chromium) -> Iterator[Page]:
    """A studio page that publishes the test card in three layers as stream `card`."""
    page = chromium.page(studio_url(edge_server, "card"))
    page.until("window.edgeStudio?.stats().state === 'live'")
    edge_server.wait_live("card", layers=3, timeout_s=40)
    yield page
    page.close()


@pytest.fixture(scope="session")
def pictures(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Where screenshots go: a directory that EDGE_SCREENSHOTS names, or one that is thrown away."""
    named = os.environ.get("EDGE_SCREENSHOTS")
    return Path(named) if named else tmp_path_factory.mktemp("pictures")


def studio_url(edge: Edge, stream: str, **options: str) -> str:
    """A studio page that starts by itself."""
    query = {
        # Smaller pictures have fewer layers in Chromium.
        "size": "960x540",
        "fps": str(STUDIO_FPS),
        "source": "testcard",
        "autostart": "1",
        "stream": stream,
        **options,
    }
    return f"{edge.url}/studio?" + "&".join(f"{key}={value}" for key, value in query.items())
