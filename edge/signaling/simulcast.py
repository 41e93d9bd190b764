"""Simulcast of a studio: RIDs (RFC 8851, RFC 8853) and SSRC groups of old senders (RFC 5576)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from edge.signaling import attributes
from edge.signaling.attributes import Rid
from edge.signaling.sdp import Body

MAX_LAYERS = 4
"""Most layers of one track; OBS sends at most four, browsers three."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Ssrcs:
    """SSRCs a section announces."""

    primary: tuple[int, ...]
    rtx: tuple[tuple[int, int], ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class AcceptedLayer:
    """One layer that a studio will send, or may start to."""

    rid: Rid
    paused: bool


def accept_rids(body: Body, payload_type: int) -> tuple[AcceptedLayer, ...]:
    """The layers to receive: of each stream the first alternative that may use the payload type.

    A paused layer (`~`) is accepted as paused: the studio may start it without a new offer, and
    must not be made to start it (Chromium activates what an answer lists without `~`).
    """
    rids = {
        rid.id: rid for rid in map(attributes.rid, body.values("rid")) if rid.direction == "send"
    }
    usable = {
        name: rid
        for name, rid in rids.items()
        if not rid.payload_types or payload_type in rid.payload_types
    }
    streams = attributes.simulcast(body.first("simulcast") or "send ;").get("send", ())
    # RIDs without a=simulcast restrict single streams (RFC 8851, section 5): take the first.
    offered = [stream.alternatives for stream in streams] or [tuple((rid, False) for rid in usable)]
    chosen = (next((pair for pair in pairs if pair[0] in usable), None) for pairs in offered)
    layers: dict[str, AcceptedLayer] = {}
    for name, paused in filter(None, chosen):
        layers.setdefault(name, AcceptedLayer(rid=usable[name], paused=paused))
    return tuple(layers.values())[:MAX_LAYERS]


def simulcast_lines(layers: Sequence[AcceptedLayer], payload_type: int) -> list[str]:
    """The answer to the accepted layers, restrictions repeated (RFC 8851, section 6.3)."""
    lines = [f"rid:{layer.rid.id} recv{_restrictions(layer.rid, payload_type)}" for layer in layers]
    if len(layers) > 1:
        names = (f"~{layer.rid.id}" if layer.paused else layer.rid.id for layer in layers)
        lines.append("simulcast:recv " + ";".join(names))
    return lines


def read_ssrcs(body: Body) -> Ssrcs:
    """Primary SSRCs and their retransmissions: the SIM group's, or else the first announced.

    Without a SIM group further SSRCs are repairs of some kind, never layers.
    """
    groups = [attributes.ssrc_group(value) for value in body.values("ssrc-group")]
    pairs = [group for group in groups if group.semantics != "SIM" and len(group.ssrcs) == 2]
    repairs = {group.ssrcs[1]: group for group in pairs}
    layers = next((group.ssrcs for group in groups if group.semantics == "SIM"), ())
    listed = dict.fromkeys(attributes.ssrc(value).ssrc for value in body.values("ssrc"))
    primary = tuple(ssrc for ssrc in layers or listed if ssrc not in repairs)
    primary = primary[: MAX_LAYERS if layers else 1]
    rtx = ((group.ssrcs[0], ssrc) for ssrc, group in repairs.items() if group.semantics == "FID")
    return Ssrcs(primary=primary, rtx=tuple(pair for pair in rtx if pair[0] in primary))


def _restrictions(rid: Rid, payload_type: int) -> str:
    parts = [f"pt={payload_type}"] if rid.payload_types else []
    parts += [f"{name}={value}" if value else name for name, value in rid.restrictions]
    return " " + ";".join(parts) if parts else ""
