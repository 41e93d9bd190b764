"""The process: start, refusal to start, SIGTERM once and twice."""

from __future__ import annotations

import json
import os
import queue
import signal
import subprocess
import sys
import threading
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest

from .running import SDP, offer

ENVIRONMENT = {
    **{name: value for name, value in os.environ.items() if not name.startswith("EDGE_")},
    "EDGE_HTTP__PORT": "0",
    "EDGE_HTTP__HOST": "127.0.0.1",
    "EDGE_DATA_PLANE__PORT": "0",
    "EDGE_DATA_PLANE__BIND": "127.0.0.1",
    "EDGE_DATA_PLANE__RECEIVE_BUFFER_BYTES": "262144",
    "EDGE_DATA_PLANE__SEND_BUFFER_BYTES": "262144",
}


class Process:
    """`edge serve`, with its log as JSON lines."""

    def __init__(self, process: subprocess.Popen[str]) -> None:
        self.process = process
        self._lines: queue.Queue[dict[str, Any]] = queue.Queue()
        threading.Thread(target=self._read, daemon=True).start()
        self.port = self.event("edge_started")["port"]

    def event(self, name: str) -> dict[str, Any]:
        """The next log line of this name."""
        while True:
            line = self._lines.get(timeout=30)
            if line["event"] == name:
                return line

    def post(self, path: str, body: str) -> int:
        """Status of a POST with an offer."""
        url = f"http://127.0.0.1:{self.port}{path}"
        request = urllib.request.Request(url, data=body.encode(), headers=SDP)
        opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
        try:
            with opener.open(request, timeout=10) as response:
                return int(response.status)
        except urllib.error.HTTPError as error:
            with error:
                return error.code

    def _read(self) -> None:
        assert self.process.stderr is not None
        for line in self.process.stderr:
            self._lines.put(json.loads(line))


@contextmanager
def serving(**environment: str) -> Iterator[Process]:
    with subprocess.Popen(
        [sys.executable, "-m", "edge", "serve", "--insecure-open"],
        env={**ENVIRONMENT, **environment}, stderr=subprocess.PIPE, text=True,
    ) as process:  # fmt: skip
        try:
            yield Process(process)
        finally:
            process.kill()


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_an_idle_edge_ends_at_a_signal(number: signal.Signals) -> None:
    with serving() as edge:
        assert edge.post("/whip/t1", offer("sendonly")) == 201
        edge.process.send_signal(number)
        # A studio does not hold up the end: it is closed and goes elsewhere.
        assert edge.event("session_closed")["reason"] == "shut_down"
        assert edge.process.wait(10) == 0


def test_a_drain_waits_for_players_until_the_deadline_or_a_second_signal() -> None:
    async def join(port: int) -> Any:
        from aiohttp import ClientSession
        from aiortc import RTCConfiguration, RTCPeerConnection, RTCSessionDescription
        from aiortc.mediastreams import AudioStreamTrack

        peers = []
        async with ClientSession(f"http://127.0.0.1:{port}") as client:
            for path in ("/whip/t1", "/whep/t1?wait=5"):
                pc = RTCPeerConnection(RTCConfiguration(iceServers=[]))
                if path == "/whip/t1":
                    pc.addTrack(AudioStreamTrack())
                else:
                    pc.addTransceiver("audio", "recvonly")
                await pc.setLocalDescription(await pc.createOffer())
                async with client.post(path, data=pc.localDescription.sdp, headers=SDP) as response:
                    assert response.status == 201
                    answer = RTCSessionDescription(await response.text(), "answer")
                await pc.setRemoteDescription(answer)
                while pc.connectionState != "connected":
                    await asyncio.sleep(0.005)
                peers.append(pc)
        return peers

    import asyncio

    async def run() -> None:
        with serving(EDGE_DRAIN__DEADLINE_S="30") as edge:
            peers = await join(edge.port)
            edge.process.terminate()
            await asyncio.to_thread(edge.event, "drain_started")
            assert await asyncio.to_thread(edge.post, "/whep/t1", offer("recvonly")) == 503
            assert edge.process.poll() is None
            edge.process.terminate()
            assert await asyncio.to_thread(edge.process.wait, 5) == 1
            for pc in peers:
                await pc.close()
        with serving(EDGE_DRAIN__DEADLINE_S="0.5") as edge:
            peers = await join(edge.port)
            edge.process.terminate()
            await asyncio.to_thread(edge.event, "drain_deadline_reached")
            assert await asyncio.to_thread(edge.process.wait, 10) == 0
            for pc in peers:
                await pc.close()

    asyncio.run(run())


@pytest.mark.parametrize(
    ("environment", "status", "text"),
    [
        ({}, 2, "no keys and no jwks"),
        ({"EDGE_HTTP__PROT": "1"}, 2, "did you mean port?"),
        (
            {"EDGE_AUTH__INSECURE_OPEN": "true", "EDGE_DATA_PLANE__BIND": "203.0.113.77"},
            1,
            "203.0.113.77",
        ),
    ],
)
def test_a_start_that_cannot_be(environment: dict[str, str], status: int, text: str) -> None:
    done = subprocess.run(
        [sys.executable, "-m", "edge", "serve"],
        env={**ENVIRONMENT, **environment}, capture_output=True, text=True, timeout=30, check=False,
    )  # fmt: skip
    assert done.returncode == status
    assert text in done.stderr
    assert "Traceback" not in done.stderr


def test_commands_start_fast_and_say_what_they_are() -> None:
    script = "import sys, edge.__main__; print('aiortc' in sys.modules, 'av' in sys.modules)"
    done = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, timeout=30, check=True
    )
    assert done.stdout.split() == ["False", "False"]
    done = subprocess.run(
        [sys.executable, "-m", "edge", "--help"],
        capture_output=True,
        text=True,
        timeout=30,
        check=True,
    )
    for command in ("serve", "push", "watch", "check-host", "token"):
        assert command in done.stdout
