"""`make run`: one edge and a synthetic studio on this machine, with keys of their own.

Keys live in `.cache/demo` below the working directory and are made once. Everything that this
starts ends with it.
"""

from __future__ import annotations

import asyncio
import os
import signal
import sys
import time
from asyncio.subprocess import Process
from pathlib import Path

import aiohttp

KEYS = Path(".cache/demo")
"""Where the development keys are kept between runs."""

READY_TIMEOUT_S = 20.0
"""How long the edge may take to become ready."""

STOP_TIMEOUT_S = 10.0
"""How long a child may take to end before it is killed."""

TOKEN_TTL = "12h"
"""Life of the tokens in the printed URLs."""


def main() -> int:
    """Run until interrupted. Exit status 0 after an interrupt, 1 when a part could not start."""
    try:
        return asyncio.run(_Demo().run())
    except KeyboardInterrupt:
        return 0


class _Demo:
    """The children, and what they are told."""

    def __init__(self) -> None:
        self._children: list[tuple[str, Process]] = []
        self._port = int(os.environ.get("EDGE_HTTP__PORT", "8080"))
        self._stream = os.environ.get("DEMO_STREAM", "demo")
        self._base = f"http://localhost:{self._port}"
        self._started = time.monotonic()

    async def run(self) -> int:
        """Start everything, print the URLs, wait for an interrupt or a child that ends."""
        stop = asyncio.Event()
        loop = asyncio.get_running_loop()
        for number in (signal.SIGINT, signal.SIGTERM):
            loop.add_signal_handler(number, stop.set)
        try:
            return await self._serve(stop)
        finally:
            await self._stop_children()

    async def _serve(self, stop: asyncio.Event) -> int:
        jwks = await self._output("token", "--init", str(KEYS)) and KEYS / "jwks.json"
        environment = {
            "EDGE_AUTH__JWKS": str(jwks or KEYS / "jwks.json"),
            "EDGE_LOG__FORMAT": "console",
            "EDGE_LOG__LEVEL": "warning",
        }
        await self._start("edge", environment, "serve", *self._config())
        if not await self._ready():
            print("demo: the edge did not become ready; its messages are above", file=sys.stderr)
            return 1
        publish = await self._token("publish", "--take-over")
        await self._start(
            "studio",
            {},
            "push",
            f"{self._base}/whip/{self._stream}",
            "--source",
            "testsrc",
            "--quiet",
            "--token",
            publish,
        )
        await self._print_urls(publish)
        return await self._wait(stop)

    def _config(self) -> list[str]:
        file = os.environ.get("EDGE_CONFIG")
        return ["--config", file] if file else []

    async def _print_urls(self, publish: str) -> None:
        watch = await self._token("watch")
        ops = await self._token("ops", "--scope", "watch")
        took = time.monotonic() - self._started
        print(
            f"""
  player   {self._base}/?stream={self._stream}&token={watch}

  studio   {self._base}/studio?stream={self._stream}-2&token={publish}

  ops      {self._base}/ops?token={ops}

  WHIP     {self._base}/whip/{{stream}}      WHEP  {self._base}/whep/{{stream}}
  metrics  {self._base}/metrics

Running stream "{self._stream}" after {took:.1f} s. Ctrl-C ends everything.
""",
            flush=True,
        )

    async def _start(self, name: str, environment: dict[str, str], *words: str) -> None:
        child = await asyncio.create_subprocess_exec(
            sys.executable,
            "-m",
            "edge",
            *words,
            env={**environment, **os.environ},
            start_new_session=True,
        )
        self._children.append((name, child))

    async def _output(self, *words: str) -> str:
        child = await asyncio.create_subprocess_exec(
            sys.executable, "-m", "edge", *words, stdout=asyncio.subprocess.PIPE
        )
        output, _ = await child.communicate()
        if child.returncode != 0:
            raise SystemExit(f"demo: edge {words[0]} failed")
        return output.decode().strip()

    async def _token(self, scope: str, *more: str) -> str:
        return await self._output(
            "token", "--key", str(KEYS / "key.jwk"), "--scope", scope, "--ttl", TOKEN_TTL, *more
        )

    async def _ready(self) -> bool:
        deadline = time.monotonic() + READY_TIMEOUT_S
        async with aiohttp.ClientSession() as http:
            while time.monotonic() < deadline:
                if self._children[0][1].returncode is not None:
                    return False
                try:
                    async with http.get(f"{self._base}/readyz") as answer:
                        if answer.status == 200:
                            return True
                except aiohttp.ClientError:
                    pass
                await asyncio.sleep(0.05)
        return False

    async def _wait(self, stop: asyncio.Event) -> int:
        ends = {asyncio.create_task(child.wait()): name for name, child in self._children}
        stopped = asyncio.create_task(stop.wait())
        done, _ = await asyncio.wait({*ends, stopped}, return_when=asyncio.FIRST_COMPLETED)
        for task in done - {stopped}:
            print(f"demo: {ends[task]} ended with status {task.result()}", file=sys.stderr)
        stopped.cancel()
        return 0 if stopped in done else 1

    async def _stop_children(self) -> None:
        for _, child in reversed(self._children):
            if child.returncode is None:
                child.terminate()
        for name, child in reversed(self._children):
            try:
                await asyncio.wait_for(child.wait(), STOP_TIMEOUT_S)
            except TimeoutError:
                print(f"demo: {name} did not end, killing it", file=sys.stderr)
                child.kill()
                await child.wait()


if __name__ == "__main__":
    sys.exit(main())
