"""`edge serve`: runs the gateway until it is told to end."""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import gc
import os
import signal
import ssl
import sys
from collections.abc import Callable
from pathlib import Path

import structlog
import uvloop
from aiohttp import web

from edge.config import EdgeConfig, HttpConfig
from edge.errors import EdgeError
from edge.model import Role
from edge.server import app as composition
from edge.server import log as logs
from edge.server import settings
from edge.server.gateway import GATEWAY, Gateway

DRAIN_POLL_S = 0.2
"""How often a draining process looks whether its last player has left."""

GC_THRESHOLDS = (5_000, 10, 20)
"""Allocations per collection of the youngest generation, and collections per older one. A closed
session leaves some thirty objects in cycles: with 50,000 the hour's soak grew by 3 KiB a session."""

MAIN_THREAD_NICE = 5
"""Niceness of the thread that answers requests: a third of the weight of a worker."""

log = structlog.get_logger()


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the options of `edge serve`."""
    parser.add_argument(
        "--config", type=Path, help="YAML file; EDGE_SECTION__KEY variables override it"
    )
    parser.add_argument(
        "--insecure-open", action="store_true", help="no tokens: everybody may do everything"
    )


def run(args: argparse.Namespace) -> int:
    """Serve. Exit status 2 for a bad configuration, 1 for a failure, 0 after a regular end."""
    environment = dict(os.environ)
    if args.insecure_open:
        environment["EDGE_AUTH__INSECURE_OPEN"] = "true"
    try:
        config = settings.load(args.config, environment)
        logs.configure(config.log)
        return uvloop.run(serve(config))
    except EdgeError as error:
        problems = error.extra.get("problems", [error.detail])
        assert isinstance(problems, list)
        for problem in problems:
            print(f"edge: {problem}", file=sys.stderr)
        return 2
    except OSError as error:
        print(f"edge: {error}", file=sys.stderr)
        return 1


async def serve(config: EdgeConfig, ready: Callable[[int], None] | None = None) -> int:
    """Run until a signal or a dead worker. `ready` is told the API's port once it listens."""
    application = composition.build(config)
    gateway = application[GATEWAY]
    runner = web.AppRunner(application, access_log=None, handle_signals=False, shutdown_timeout=1.0)
    await runner.setup()
    ending = Ending(gateway)
    try:
        _leave_room_for_media()
        site = web.TCPSite(
            runner, config.http.host, config.http.port, ssl_context=_tls(config.http), backlog=1024
        )
        await site.start()
        port = runner.addresses[0][1]
        url = (
            config.http.public_url
            or f"http{'s' if config.http.tls_cert_file else ''}://localhost:{port}"
        )
        log.info("edge_started", url=url, port=port, **composition.describe(application))
        if ready is not None:
            ready(port)
        return await ending.wait()
    finally:
        await runner.cleanup()
        log.info("edge_stopped")


class Ending:
    """What ends the process: SIGTERM drains, a second one or SIGINT ends at once, a dead worker too."""

    def __init__(self, gateway: Gateway) -> None:
        self._gateway = gateway
        self._draining = asyncio.Event()
        self._over = asyncio.Event()
        self._status = 0
        gateway.driver.on_stopped_worker = self._worker_stopped
        loop = asyncio.get_running_loop()
        loop.add_signal_handler(signal.SIGTERM, self._terminate)
        loop.add_signal_handler(signal.SIGINT, self._over.set)

    async def wait(self) -> int:
        """Return the exit status when it is time to end."""
        drain = asyncio.create_task(self._drain())
        try:
            await self._over.wait()
        finally:
            drain.cancel()
        return self._status

    async def _drain(self) -> None:
        await self._draining.wait()
        deadline_s = self._gateway.config.drain.deadline_s
        try:
            async with asyncio.timeout(deadline_s):
                while self._players():
                    await asyncio.sleep(DRAIN_POLL_S)
        except TimeoutError:
            log.warning("drain_deadline_reached", sessions=len(self._gateway.driver.sessions))
        self._over.set()

    def _players(self) -> int:
        """A studio does not hold up the end: once it is closed it goes to another edge."""
        return sum(record.role is Role.SUBSCRIBER for record in self._gateway.driver.sessions)

    def _terminate(self) -> None:
        if self._draining.is_set():
            log.warning("ended_at_once")
            sys.stderr.flush()
            os._exit(1)
        log.info("drain_started", sessions=len(self._gateway.driver.sessions))
        self._gateway.draining = True
        self._gateway.driver.announce_reconnect()
        self._draining.set()

    def _worker_stopped(self, worker: int, reason: str) -> None:
        self._gateway.stopped = f"worker {worker} stopped: {reason}"
        self._status = 1
        self._over.set()


def _leave_room_for_media() -> None:
    """Keep Python out of the way of the workers, which share the node's cores with it.

    The collector goes through all living objects now and then, which with a thousand sessions is a
    pause of milliseconds in the middle of joins: what lives since the start is set apart, and the
    rest is looked at less often. The main thread is less urgent than packets; on Linux a thread
    has a priority of its own, and the workers were started before this.
    """
    gc.collect()
    gc.freeze()
    gc.set_threshold(*GC_THRESHOLDS)
    with contextlib.suppress(OSError):
        os.setpriority(os.PRIO_PROCESS, 0, MAIN_THREAD_NICE)


def _tls(config: HttpConfig) -> ssl.SSLContext | None:
    if config.tls_cert_file is None:
        return None
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    context.load_cert_chain(config.tls_cert_file, config.tls_key_file)
    return context
