"""MediaMTX pulls a stream from our WHEP endpoint and serves it over RTSP."""

from __future__ import annotations

import json
import os
import socket
import subprocess
import time
from contextlib import closing
from pathlib import Path

import av
import pytest

from bench.peers.mediamtx import build

from .edges import Edge, report
from .program import ROOT, Program, until

pytestmark = [pytest.mark.timeout(600), pytest.mark.long]

SECONDS = 4


@pytest.fixture(scope="module")
def mediamtx() -> Path:
    """The program, built on first use. Skips when it cannot be."""
    given = os.environ.get("EDGE_MEDIAMTX")
    if given:
        return Path(given)
    try:
        return build(ROOT / ".cache" / "bench")
    except FileNotFoundError:
        pytest.skip("go is not installed, MediaMTX cannot be built")
    except subprocess.CalledProcessError as error:
        pytest.skip(f"MediaMTX cannot be built: {(error.stderr or b'')[-200:]!r}")


def free_port() -> int:
    """A TCP port that nobody has now."""
    with closing(socket.socket()) as sock:
        sock.bind(("127.0.0.1", 0))
        return int(sock.getsockname()[1])


def test_mediamtx_pulls_a_stream(edge_server: Edge, mediamtx: Path, tmp_path: Path) -> None:
    rtsp_port = free_port()
    whep = edge_server.whep("table").replace("http://", "whep://")
    config = {
        "rtmp": False,
        "hls": False,
        "webrtc": False,
        "srt": False,
        "rtspAddress": f"127.0.0.1:{rtsp_port}",
        "rtspTransports": ["tcp"],
        "paths": {"table": {"source": whep}},
    }
    path = tmp_path / "mediamtx.yml"
    path.write_text(json.dumps(config))  # JSON is YAML
    with edge_server.push("table", "--size", "640x360"):
        edge_server.wait_live("table")
        with Program([str(mediamtx), str(path)], cwd=tmp_path) as program:
            program.line(
                lambda line: "stream is available and online" in line or "2 tracks" in line
            )
            pictures, packets = read(f"rtsp://127.0.0.1:{rtsp_port}/table")
        until("its session is gone", lambda: len(edge_server.sessions("table")) == 1, 30)
    report("MediaMTX pulls", {"pictures": pictures, "audio_packets": packets, "seconds": SECONDS})
    assert pictures > 0.9 * 30 * (SECONDS - 1)
    assert packets > 0.9 * 50 * (SECONDS - 1)


def read(url: str) -> tuple[int, int]:
    """Pictures decoded and audio packets read from a URL in a few seconds."""
    pictures = packets = 0
    with av.open(url, options={"rtsp_transport": "tcp"}, timeout=10) as source:
        until_s = time.monotonic() + SECONDS
        for packet in source.demux():
            if packet.stream.type == "video":
                pictures += len(packet.decode())
            else:
                packets += 1
            if time.monotonic() > until_s:
                break
    return pictures, packets
