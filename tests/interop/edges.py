"""The edge under test, as its users start it: `edge serve` with a file, `edge push`, `edge watch`."""

from __future__ import annotations

import json
import os
import sys
import urllib.error
import urllib.request
from collections.abc import Mapping
from dataclasses import dataclass
from email.message import Message
from pathlib import Path
from typing import Any

import yaml

from .program import Program, until

_CLIENT = (sys.executable, "-m", "edge")


@dataclass(frozen=True, slots=True, kw_only=True)
class Reply:
    """What the API answered."""

    status: int
    headers: Message
    body: str

    def json(self) -> Any:
        """The body as JSON."""
        return json.loads(self.body)


class Edge:
    """`edge serve` on free ports of the loopback. Everybody may do everything, unless told not to."""

    def __init__(
        self, directory: Path, *, open_to_all: bool = True, **sections: Mapping[str, Any]
    ) -> None:
        self.token = ""
        settings: dict[str, dict[str, Any]] = {
            "http": {"host": "127.0.0.1", "port": 0},
            "data_plane": {"bind": "127.0.0.1", "port": 0},
        }
        for name, section in sections.items():
            settings.setdefault(name, {}).update(section)
        path = directory / "edge.yaml"
        path.write_text(yaml.safe_dump(settings))
        command = [*_CLIENT, "serve", "--config", str(path)]
        self.program = Program([*command, "--insecure-open"] if open_to_all else command)
        started = json.loads(self.program.line(lambda line: '"edge_started"' in line, 20))
        self.url = f"http://127.0.0.1:{started['port']}"
        self.udp_ports: tuple[int, ...] = tuple(started["udp_ports"])
        until("/readyz is 200", lambda: self.request("GET", "/readyz").status == 200)

    def close(self) -> None:
        """End it."""
        self.program.end()

    def whip(self, stream: str) -> str:
        """Where to publish."""
        return f"{self.url}/whip/{stream}"

    def whep(self, stream: str) -> str:
        """Where to play."""
        return f"{self.url}/whep/{stream}"

    def request(self, method: str, path: str, body: object = None) -> Reply:
        """One request to the API, with a JSON body if any."""
        data = None if body is None else json.dumps(body).encode()
        headers = {} if data is None else {"Content-Type": "application/json"}
        if self.token:
            headers["Authorization"] = f"Bearer {self.token}"
        request = urllib.request.Request(self.url + path, data=data, method=method, headers=headers)
        try:
            with urllib.request.urlopen(request, timeout=10) as answer:
                return Reply(
                    status=answer.status, headers=answer.headers, body=answer.read().decode()
                )
        except urllib.error.HTTPError as error:
            with error:
                return Reply(status=error.code, headers=error.headers, body=error.read().decode())

    def stream(self, name: str) -> dict[str, Any] | None:
        """A row of `GET /v1/streams`."""
        rows = self.request("GET", "/v1/streams").json()["streams"]
        return next((row for row in rows if row["stream"] == name), None)

    def sessions(self, stream: str | None = None) -> list[dict[str, Any]]:
        """Rows of `GET /v1/sessions`."""
        rows = self.request("GET", "/v1/sessions").json()["sessions"]
        return [row for row in rows if stream in (None, row["stream"])]

    def metric(self, name: str, **labels: str) -> float:
        """Sum of the samples of a metric that have these labels."""
        total = 0.0
        for line in self.request("GET", "/metrics").body.splitlines():
            head, _, value = line.rpartition(" ")
            found, _, rest = head.partition("{")
            if found == name and all(f'{key}="{text}"' in rest for key, text in labels.items()):
                total += float(value)
        return total

    def wait_live(self, stream: str, *, layers: int = 1, timeout_s: float = 15.0) -> None:
        """Until a stream has a publisher and that many measured video layers."""

        def live() -> bool:
            row = self.stream(stream)
            active = [] if row is None else [layer for layer in row["layers"] if layer["active"]]
            return len(active) >= layers and all(layer["width"] for layer in active)

        try:
            until(f"{stream} is live with {layers} layers", live, timeout_s)
        except AssertionError as error:
            raise AssertionError(
                f"{error}; it is {self.stream(stream)}\n{self.program.log()}"
            ) from None

    def resident_kib(self) -> int:
        """Resident memory of the process in KiB."""
        status = Path(f"/proc/{self.program.process.pid}/status").read_text()
        return int(
            next(line for line in status.splitlines() if line.startswith("VmRSS")).split()[1]
        )

    def push(self, stream: str, *options: str) -> Program:
        """`edge push` to a stream: a small test card unless the options say otherwise."""
        size = () if "--size" in options else ("--size", "320x184")
        return push(self.whip(stream), *size, *options)


def push(url: str, *options: str) -> Program:
    """`edge push`, running."""
    return Program([*_CLIENT, "push", url, "--quiet", *options])


def watch(url: str, seconds: float, *options: str) -> Program:
    """`edge watch`, running; `watched` waits for its result."""
    return Program([*_CLIENT, "watch", url, "--duration", f"{seconds:g}", "--json", *options])


def watched(program: Program, timeout_s: float) -> dict[str, Any]:
    """What `edge watch` measured."""
    try:
        program.wait(timeout_s)
    finally:
        program.end()
    for line in reversed(program.lines):
        if line.startswith("{"):
            result: dict[str, Any] = json.loads(line)
            report(program.command[4], result)
            return result
    raise AssertionError(program.log())


def report(name: str, figures: Mapping[str, object]) -> None:
    """Print figures, and append them to the file that INTEROP_FIGURES names."""
    text = json.dumps({"name": name, "test": os.environ.get("PYTEST_CURRENT_TEST"), **figures})
    print(text)
    path = os.environ.get("INTEROP_FIGURES")
    if path:
        with Path(path).open("a") as file:
            file.write(text + "\n")
