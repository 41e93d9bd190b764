"""GStreamer's webrtcbin: publishes and plays."""

from __future__ import annotations

import json
import subprocess
from pathlib import Path
from typing import Any

import pytest

from .edges import Edge, report, watch, watched
from .program import Program

pytestmark = pytest.mark.timeout(60)

PYTHON = "/usr/bin/python3"
"""The system's: GObject introspection comes with the distribution, not from a package registry."""

SCRIPT = Path(__file__).with_name("gstreamer_peer.py")
PROBE = """
import gi
for name in ("Gst", "GstWebRTC", "GstSdp"):
    gi.require_version(name, "1.0")
from gi.repository import Gst, GstWebRTC, GstSdp
Gst.init(None)
for name in ("webrtcbin", "nicesink", "dtlsenc", "srtpenc", "x264enc", "avdec_h264", "opusenc"):
    assert Gst.ElementFactory.find(name), f"no element {name}"
"""


@pytest.fixture(scope="module", autouse=True)
def gstreamer() -> None:
    """Skips without GStreamer's WebRTC elements and their Python bindings."""
    if not Path(PYTHON).exists():
        pytest.skip(f"{PYTHON} does not exist")
    probe = subprocess.run(
        [PYTHON, "-c", PROBE], capture_output=True, text=True, timeout=30, check=False
    )
    if probe.returncode:
        reason = probe.stderr.strip().splitlines()[-1]
        pytest.skip(f"GStreamer's webrtcbin cannot be used from {PYTHON}: {reason}")


def peer(role: str, url: str, seconds: float) -> Program:
    """The script, running."""
    return Program([PYTHON, str(SCRIPT), role, url, str(seconds)])


def result(program: Program) -> dict[str, Any]:
    """What it printed at its end."""
    status = program.wait(30)
    assert status == 0, program.log()
    found: dict[str, Any] = json.loads(program.line(lambda line: line.startswith("{"), 1))
    return found


def test_webrtcbin_publishes(edge_server: Edge) -> None:
    with peer("publish", edge_server.whip("gst"), 6) as program:
        edge_server.wait_live("gst")
        played = watched(watch(edge_server.whep("gst"), 3), 20)
        facts = result(program)
    assert (played["width"], played["height"]) == (320, 240)
    assert played["frames_decoded"] > 60
    assert played["decode_errors"] == 0
    assert played["audio_packets"] > 90
    assert facts["delete_status"] == 200


def test_webrtcbin_plays(edge_server: Edge) -> None:
    with edge_server.push("to-gst", "--size", "320x240"):
        edge_server.wait_live("to-gst")
        with peer("play", edge_server.whep("to-gst"), 5) as program:
            facts = result(program)
    report("GStreamer plays", facts["decoded"])
    assert facts["decoded"]["video"] > 60
    assert facts["decoded"]["audio"] > 90
    assert facts["delete_status"] == 200
