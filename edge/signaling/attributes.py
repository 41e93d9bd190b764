"""Values of the SDP attributes that the edge understands; readers take the text after the colon.

Readers raise ValueError with the form that was expected; `edge.signaling.sdp.parse` adds the line.
What peers are known to get wrong without harm (short candidates, host names, unknown payload types,
`setup:holdconn`) is read, not refused.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import lru_cache
from types import MappingProxyType

_RTPMAP = re.compile(r"(0|[1-9][0-9]{0,2}) +([^\s/]+)/([0-9]{1,9})(?:/([0-9]{1,3}))?")
_EXTMAP = re.compile(
    r"(0|[1-9][0-9]{0,3})(?:/(sendrecv|sendonly|recvonly|inactive))? +(\S+)(?: .*)?"
)
_RID = re.compile(r"([A-Za-z0-9_-]{1,255}) +(send|recv)(?: +(\S.*))?")
_SSRC = re.compile(r"([0-9]{1,10})(?: +([^\s:]+)(?::(.*))?)?")
_FINGERPRINT = re.compile(r"(\S+) +([0-9A-Fa-f]{2}(?::[0-9A-Fa-f]{2})*)")
_SCTPMAP = re.compile(r"([0-9]{1,5}) +(\S+)(?: .*)?")
_TOKEN = re.compile(r"[^\s]{1,256}")
_SETUPS = ("actpass", "active", "passive", "holdconn")


@dataclass(frozen=True, slots=True, kw_only=True)
class RtpMap:
    """`a=rtpmap` (RFC 8866, section 6.6)."""

    payload_type: int
    encoding: str
    clock_rate: int
    channels: int | None


@dataclass(frozen=True, slots=True, kw_only=True)
class ExtMap:
    """`a=extmap` (RFC 8285, section 5); extension attributes are not kept."""

    id: int
    direction: str | None
    uri: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Rid:
    """`a=rid` (RFC 8851, section 10): restrictions by lower-case name, `pt` apart from others."""

    id: str
    direction: str
    payload_types: tuple[int, ...]
    restrictions: tuple[tuple[str, str], ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class SimulcastStream:
    """One stream of `a=simulcast` (RFC 8853, section 5.1): its alternatives as (rid, paused)."""

    alternatives: tuple[tuple[str, bool], ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class SsrcAttribute:
    """`a=ssrc` (RFC 5576, section 4.1)."""

    ssrc: int
    name: str
    value: str


@dataclass(frozen=True, slots=True, kw_only=True)
class SsrcGroup:
    """`a=ssrc-group` (RFC 5576, section 4.2)."""

    semantics: str
    ssrcs: tuple[int, ...]


@lru_cache(1024)
def rtpmap(value: str) -> RtpMap:
    """Read `<pt> <encoding>/<clock>[/<channels>]`."""
    match = _RTPMAP.fullmatch(value)
    if match is None or int(match[1]) > 127:
        raise ValueError("a=rtpmap needs '<pt> <encoding>/<clock>'")
    return RtpMap(
        payload_type=int(match[1]),
        encoding=match[2],
        clock_rate=int(match[3]),
        channels=int(match[4]) if match[4] else None,
    )


def fmtp(value: str) -> tuple[str, str]:
    """Read `<format> <parameters>`; the format need not be one of the m= line."""
    form, _, parameters = value.partition(" ")
    if not form:
        raise ValueError("a=fmtp needs '<pt> <parameters>'")
    return form, parameters.strip()


@lru_cache(1024)
def fmtp_parameters(parameters: str) -> Mapping[str, str]:
    """Split `a=1;b=2` into a mapping with lower-case names; a part without `=` has no value."""
    pairs = (part.partition("=") for part in parameters.split(";") if part.strip())
    return MappingProxyType({name.strip().lower(): value.strip() for name, _, value in pairs})


@lru_cache(1024)
def rtcp_fb(value: str) -> tuple[str, str]:
    """Read `<pt or *> <feedback>`; the feedback keeps its parameter (`nack pli`), lower case."""
    words = value.lower().split()
    if len(words) < 2:
        raise ValueError("a=rtcp-fb needs '<pt> <feedback>'")
    return words[0], " ".join(words[1:])


@lru_cache(1024)
def extmap(value: str) -> ExtMap:
    """Read `<id>[/<direction>] <uri> [attributes]`."""
    match = _EXTMAP.fullmatch(value)
    if match is None:
        raise ValueError("a=extmap needs '<id> <uri>'")
    return ExtMap(id=int(match[1]), direction=match[2], uri=match[3])


def rid(value: str) -> Rid:
    """Read `<id> send|recv [pt=<list>;<restriction>=<value>...]`."""
    match = _RID.fullmatch(value)
    if match is None:
        raise ValueError("a=rid needs '<id> send' or '<id> recv'")
    restrictions = dict(fmtp_parameters(match[3] or ""))
    pt_list = restrictions.pop("pt", "")
    return Rid(
        id=match[1],
        direction=match[2],
        payload_types=tuple(int(pt) for pt in pt_list.split(",") if is_number(pt, 127)),
        restrictions=tuple(restrictions.items()),
    )


def simulcast(value: str) -> dict[str, tuple[SimulcastStream, ...]]:
    """Read `send <streams> [recv <streams>]`, also with the `rid=` prefix of early drafts."""
    words = value.split()
    if len(words) not in (2, 4) or any(word not in ("send", "recv") for word in words[::2]):
        raise ValueError("a=simulcast needs 'send <rids>' or 'recv <rids>'")
    return {word: _streams(rids) for word, rids in zip(words[::2], words[1::2], strict=True)}


def ssrc(value: str) -> SsrcAttribute:
    """Read `<ssrc> <attribute>[:<value>]`."""
    match = _SSRC.fullmatch(value)
    if match is None or not is_number(match[1], 0xFFFFFFFF):
        raise ValueError("a=ssrc needs '<ssrc> <attribute>'")
    return SsrcAttribute(ssrc=int(match[1]), name=(match[2] or "").lower(), value=match[3] or "")


def ssrc_group(value: str) -> SsrcGroup:
    """Read `<semantics> <ssrc>...`."""
    words = value.split()
    if not words or not all(is_number(word, 0xFFFFFFFF) for word in words[1:]):
        raise ValueError("a=ssrc-group needs '<semantics> <ssrc>...'")
    return SsrcGroup(semantics=words[0].upper(), ssrcs=tuple(map(int, words[1:])))


def fingerprint(value: str) -> tuple[str, str]:
    """Read `<hash> <hex>`: the hash in lower case, the digest in upper case."""
    match = _FINGERPRINT.fullmatch(value)
    if match is None:
        raise ValueError("a=fingerprint needs '<hash> <hexadecimal bytes with colons>'")
    return match[1].lower(), match[2].upper()


def setup(value: str) -> str:
    """Read the DTLS role (RFC 4145, section 4)."""
    if value.lower() not in _SETUPS:
        raise ValueError("a=setup needs one of " + ", ".join(_SETUPS))
    return value.lower()


def group(value: str) -> tuple[str, tuple[str, ...]]:
    """Read `<semantics> <mid>...` (RFC 5888, section 5)."""
    words = value.split()
    if not words:
        raise ValueError("a=group needs '<semantics> <mid>...'")
    return words[0].upper(), tuple(words[1:])


def sctpmap(value: str) -> tuple[int, str]:
    """Read `<port> <protocol> [streams]` of the drafts before RFC 8841."""
    match = _SCTPMAP.fullmatch(value)
    if match is None or not is_number(match[1], 65535):
        raise ValueError("a=sctpmap needs '<port> webrtc-datachannel'")
    return int(match[1]), match[2]


def sctp_port(value: str) -> int:
    """Read the SCTP port (RFC 8841, section 5)."""
    if not is_number(value, 65535):
        raise ValueError("a=sctp-port needs a number up to 65535")
    return int(value)


def max_message_size(value: str) -> int:
    """Read the largest message in bytes, 0 for any (RFC 8841, section 6)."""
    if not re.fullmatch(r"[0-9]{1,19}", value):
        raise ValueError("a=max-message-size needs a number of bytes")
    return int(value)


def token(value: str) -> str:
    """Read one word (`mid`, `ice-ufrag`, `ice-pwd`); 256 is the longest password of RFC 8839."""
    if not _TOKEN.fullmatch(value):
        raise ValueError("a=mid, a=ice-ufrag and a=ice-pwd need one word of 1 to 256 characters")
    return value


def is_number(text: str, largest: int) -> bool:
    """Whether the text is a plain decimal number of at most `largest`, without leading zeros."""
    plain = text.isascii() and text.isdigit() and (text[0] != "0" or len(text) == 1)
    return plain and len(text) <= 10 and int(text) <= largest


def _streams(rids: str) -> tuple[SimulcastStream, ...]:
    streams = rids.removeprefix("rid=").split(";")
    alternatives = (stream.split(",") for stream in streams if stream)
    return tuple(
        SimulcastStream(
            alternatives=tuple(
                (name.removeprefix("~"), name.startswith("~")) for name in names if name
            )
        )
        for names in alternatives
    )


READERS: Mapping[str, Callable[[str], object]] = MappingProxyType(
    {
        "rtpmap": rtpmap,
        "fmtp": fmtp,
        "rtcp-fb": rtcp_fb,
        "extmap": extmap,
        "rid": rid,
        "simulcast": simulcast,
        "ssrc": ssrc,
        "ssrc-group": ssrc_group,
        "fingerprint": fingerprint,
        "setup": setup,
        "group": group,
        "sctpmap": sctpmap,
        "sctp-port": sctp_port,
        "max-message-size": max_message_size,
        "mid": token,
        "ice-ufrag": token,
        "ice-pwd": token,
    }
)
"""What `parse` checks; other attributes pass through as they are."""
