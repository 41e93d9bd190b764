"""The door to the Rust data plane: typed verbs down, events up in batches."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable
from dataclasses import asdict
from typing import Any, Protocol

from edge.config import DataPlaneConfig
from edge.model import Handle, IceCredentials, Layer, PublisherSpec, SubscriberSpec
from edge.server.stats import PlaneStats, read_layer, read_stats

Tier = int
"""Degradation tier, 0 to 4."""


class Plane(Protocol):
    """What the engine calls of `edge._dataplane.DataPlane`; its stub says what each verb does."""

    def ports(self) -> list[int]: ...
    def event_fd(self) -> int: ...
    def open_session(self, worker: int, ice: str) -> int: ...
    def restart_ice(self, session: int, ice: str) -> None: ...
    def send(self, session: int, datagram: bytes) -> None: ...
    def set_keys(self, session: int, profile: str, local: bytes, remote: bytes) -> None: ...
    def add_publisher(self, session: int, stream: int, spec: str) -> None: ...
    def add_subscriber(self, session: int, stream: int, spec: str) -> None: ...
    def select_layer(self, session: int, selection: str) -> None: ...
    def set_tier(self, stream: int | None, tier: Any) -> None: ...
    def request_keyframe(self, stream: int) -> None: ...
    def remove(self, session: int) -> None: ...
    def remove_stream(self, stream: int) -> None: ...
    def poll_events(self) -> list[tuple[str, int, Any]]: ...
    def stats(self) -> str: ...
    def session_stats(self, session: int) -> str | None: ...
    def close(self) -> None: ...


class Listener(Protocol):
    """Who hears what the data plane says; `edge.server.driver.Driver` does."""

    def on_datagram(self, handle: Handle, datagram: bytes) -> None: ...
    def on_path_selected(self, handle: Handle, address: str, protocol: str) -> None: ...
    def on_consent_lapsed(self, handle: Handle) -> None: ...
    def on_media(self, stream: int, handle: Handle, flowing: bool) -> None: ...
    def on_layers(self, stream: int, layers: tuple[Layer, ...], fmtp: str) -> None: ...
    def on_first_frame(self, handle: Handle, seconds: float) -> None: ...
    def on_layer_switched(self, handle: Handle, rid: str) -> None: ...
    def on_stopped(self, worker: int, reason: str) -> None: ...


def open_plane(config: DataPlaneConfig) -> Plane:
    """Bind the sockets and start the workers. Raises OSError or ValueError."""
    from edge._dataplane import DataPlane

    return DataPlane(config.model_dump_json())


class Engine:
    """Typed verbs over a data plane, and the dispatch of its events on the running loop."""

    def __init__(self, plane: Plane) -> None:
        self._plane = plane
        self._ports = tuple(plane.ports())
        self._loads = [0] * len(self._ports)
        self._workers: dict[Handle, int] = {}
        self._listener: Listener | None = None

    @property
    def ports(self) -> tuple[int, ...]:
        """UDP port of each worker."""
        return self._ports

    def listen(self, listener: Listener) -> None:
        """Deliver events to the listener from now on; needs a running loop."""
        self._listener = listener
        asyncio.get_running_loop().add_reader(self._plane.event_fd(), self.deliver)

    def choose_worker(self) -> int:
        """The worker with the fewest sessions."""
        return min(range(len(self._loads)), key=self._loads.__getitem__)

    def open_session(self, worker: int, local: IceCredentials, remote: IceCredentials) -> Handle:
        """Open a session on a worker."""
        handle = Handle(self._plane.open_session(worker, _ice(local, remote)))
        self._workers[handle] = worker
        self._loads[worker] += 1
        return handle

    def restart_ice(self, handle: Handle, local: IceCredentials, remote: IceCredentials) -> None:
        """Take new credentials beside the old ones."""
        self._plane.restart_ice(handle, _ice(local, remote))

    def send(self, handle: Handle, datagram: bytes) -> None:
        """Send a DTLS datagram."""
        self._plane.send(handle, datagram)

    def set_keys(self, handle: Handle, profile: str, local: bytes, remote: bytes) -> None:
        """Hand down SRTP keys (key followed by salt)."""
        self._plane.set_keys(handle, profile, local, remote)

    def add_publisher(self, handle: Handle, stream: int, spec: PublisherSpec) -> None:
        """Make the session the publisher of the stream."""
        self._plane.add_publisher(handle, stream, json.dumps(asdict(spec)))

    def add_subscriber(self, handle: Handle, stream: int, spec: SubscriberSpec) -> None:
        """Send the stream to the session."""
        self._plane.add_subscriber(handle, stream, json.dumps(asdict(spec)))

    def select_layer(
        self,
        handle: Handle,
        *,
        rid: str | None = None,
        max_rank: int | None = None,
        max_temporal: int | None = None,
        paused: bool = False,
    ) -> None:
        """Set the player's own wish; without arguments the bandwidth estimate decides."""
        wish = {"rid": rid, "max_rank": max_rank, "max_temporal": max_temporal, "paused": paused}
        self._plane.select_layer(handle, json.dumps(wish))

    def set_tier(self, stream: int | None, tier: Tier) -> None:
        """Set the degradation tier of one stream, or of all."""
        self._plane.set_tier(stream, tier)

    def remove(self, handle: Handle) -> None:
        """End a session in the data plane."""
        worker = self._workers.pop(handle, None)
        if worker is not None:
            self._loads[worker] -= 1
            self._plane.remove(handle)

    def remove_stream(self, stream: int) -> None:
        """Forget a stream and its rings."""
        self._plane.remove_stream(stream)

    def stats(self) -> PlaneStats:
        """Counters and gauges now. Raises ValueError if they are unreadable."""
        return read_stats(json.loads(self._plane.stats()))

    def session_stats(self, handle: Handle) -> dict[str, Any] | None:
        """Counters of one session."""
        text = self._plane.session_stats(handle)
        return None if text is None else dict(json.loads(text))

    def close(self) -> None:
        """Stop delivering and stop the workers."""
        if self._listener is not None:
            self._listener = None
            asyncio.get_running_loop().remove_reader(self._plane.event_fd())
        self._plane.close()

    def deliver(self) -> None:
        """Take the waiting events and tell the listener."""
        if self._listener is None:
            return
        for name, number, detail in self._plane.poll_events():
            _EVENTS[name](self._listener, number, detail)


def _ice(local: IceCredentials, remote: IceCredentials) -> str:
    return json.dumps(
        {
            "local_ufrag": local.ufrag,
            "local_pwd": local.pwd,
            "remote_ufrag": remote.ufrag,
            "remote_pwd": remote.pwd,
        }
    )


def _layers(listener: Listener, stream: int, detail: str) -> None:
    items = [item for item in json.loads(detail) if item.get("kind", "video") == "video"]
    layers = sorted((read_layer(item).layer for item in items), key=lambda layer: layer.rank)
    fmtp = next((item["fmtp"] for item in items if item.get("fmtp")), "")
    listener.on_layers(stream, tuple(layers), fmtp)


_EVENTS: dict[str, Callable[[Listener, int, Any], None]] = {
    "dtls": lambda to, number, detail: to.on_datagram(Handle(number), detail),
    "path_selected": lambda to, number, detail: to.on_path_selected(Handle(number), *detail),
    "consent_lapsed": lambda to, number, _: to.on_consent_lapsed(Handle(number)),
    "publishing": lambda to, number, detail: to.on_media(number, Handle(detail), True),
    "idle": lambda to, number, detail: to.on_media(number, Handle(detail), False),
    "layers": _layers,
    "first_frame": lambda to, number, detail: to.on_first_frame(Handle(number), detail),
    "layer_switched": lambda to, number, detail: to.on_layer_switched(Handle(number), detail),
    "stopped": lambda to, number, detail: to.on_stopped(number, detail),
}
