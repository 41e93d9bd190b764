"""RTP header extensions (RFC 8285): their URIs, and which of an offer are answered."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from types import MappingProxyType

from edge.model import ExtensionName
from edge.signaling.attributes import ExtMap, extmap
from edge.signaling.sdp import Body

EXTENSION_URIS: Mapping[ExtensionName, str] = MappingProxyType(
    {
        "mid": "urn:ietf:params:rtp-hdrext:sdes:mid",
        "rid": "urn:ietf:params:rtp-hdrext:sdes:rtp-stream-id",
        "repaired_rid": "urn:ietf:params:rtp-hdrext:sdes:repaired-rtp-stream-id",
        "transport_cc": "http://www.ietf.org/id/draft-holmer-rmcat-transport-wide-cc-extensions-01",
        "abs_send_time": "http://www.webrtc.org/experiments/rtp-hdrext/abs-send-time",
        "abs_capture_time": "http://www.webrtc.org/experiments/rtp-hdrext/abs-capture-time",
        "audio_level": "urn:ietf:params:rtp-hdrext:ssrc-audio-level",
        "video_orientation": "urn:3gpp:video-orientation",
        "playout_delay": "http://www.webrtc.org/experiments/rtp-hdrext/playout-delay",
        "dependency_descriptor": "https://aomediacodec.github.io/av1-rtp-spec/"
        "#dependency-descriptor-rtp-header-extension",
    }
)

_NAMES = {uri: name for name, uri in EXTENSION_URIS.items()}
_MIRROR = {"sendonly": "recvonly", "recvonly": "sendonly", "sendrecv": "sendrecv"}
_ONE_BYTE_IDS = range(1, 15)
_TWO_BYTE_IDS = range(1, 256)


@dataclass(frozen=True, slots=True, kw_only=True)
class Extension:
    """One extension as it is answered."""

    name: ExtensionName
    id: int
    direction: str | None
    """The edge's direction where the offer gave one."""

    def __str__(self) -> str:
        """The value of `a=extmap`."""
        direction = f"/{self.direction}" if self.direction else ""
        return f"{self.id}{direction} {EXTENSION_URIS[self.name]}"


def accept_extensions(
    session: Body, section: Body, wanted: Collection[ExtensionName], *, offerer_sends: bool
) -> tuple[Extension, ...]:
    """The wanted extensions of an offer under the offerer's ids.

    Ids above 14 need two-byte headers and so `a=extmap-allow-mixed` (RFC 8285, section 6);
    encrypted extensions (RFC 6904) have a URI of their own, which is not known here.
    """
    mixed = session.has("extmap-allow-mixed") or section.has("extmap-allow-mixed")
    ids = _TWO_BYTE_IDS if mixed else _ONE_BYTE_IDS
    needed = "sendonly" if offerer_sends else "recvonly"
    found: dict[ExtensionName, Extension] = {}
    taken: set[int] = set()
    for entry in (*map(extmap, section.values("extmap")), *map(extmap, session.values("extmap"))):
        name = _NAMES.get(entry.uri)
        if name is None or name not in wanted or name in found:
            continue
        if entry.id in ids and entry.id not in taken and _usable(entry, needed):
            found[name] = Extension(
                name=name, id=entry.id, direction=_MIRROR.get(entry.direction or "")
            )
            taken.add(entry.id)
    return tuple(found.values())


def _usable(entry: ExtMap, needed: str) -> bool:
    return entry.direction in (None, "sendrecv", needed)
