"""SDP as a list of lines with typed views (RFC 8866). Keeps what it does not know.

Invariant: `parse` returns a description or raises PeerError, nothing else, and
`parse(x.serialize()) == x`.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from functools import lru_cache
from itertools import pairwise

from edge.errors import ErrorCode, PeerError
from edge.signaling import attributes

MAX_BYTES = 64 * 1024
"""Largest description read; a browser's offer with every codec is about 10 KiB."""
MAX_SECTIONS = 64
"""Most m= lines; an offer to this edge has three."""
MAX_ATTRIBUTES = 512
"""Most a= lines in one section; Chromium's video section has about 150."""

CACHED_LINES = 2_048
"""Lines remembered as checked: players with one browser offer the same codecs in the same words."""
CACHED_LINE_LENGTH = 256
"""Longer lines are not remembered, so that nobody fills the memory with them."""
_COMMON = ("rtpmap:", "fmtp:", "rtcp-fb:", "extmap:")
"""Attributes that say what a browser can do. Others hold passwords and numbers of one session."""

_LINE = re.compile(r"([A-Za-z])=(.*)", re.DOTALL)
_CONTROL = re.compile(r"[\x00-\x08\x0b-\x1f\x7f]")
_PORT = re.compile(r"([0-9]{1,5})(?:/([0-9]{1,5}))?")


@dataclass(frozen=True, slots=True, kw_only=True)
class Line:
    """One line: its type letter and the text after the equals sign."""

    kind: str
    value: str
    number: int = field(default=0, compare=False)
    """Where it stood in the text read, from 1; 0 for lines that were made here."""

    def __str__(self) -> str:
        return f"{self.kind}={self.value}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Body:
    """The lines of the session part or below one m= line, with attributes found by name."""

    lines: tuple[Line, ...] = ()
    _attributes: dict[str, list[str]] = field(init=False, repr=False, compare=False)
    """Values by lower-case name: a browser's section is asked some twenty times."""

    def __post_init__(self) -> None:
        found: dict[str, list[str]] = {}
        for line in self.lines:
            if line.kind == "a":
                name, value = _attribute(line.value)
                if name in found:
                    found[name].append(value)
                else:
                    found[name] = [value]
        object.__setattr__(self, "_attributes", found)

    def values(self, name: str) -> tuple[str, ...]:
        """The values of all attributes of this name, in order."""
        return tuple(self._attributes.get(name, ()))

    def first(self, name: str) -> str | None:
        """The value of the first attribute of this name; an empty string for a flag."""
        return next(iter(self._attributes.get(name, ())), None)

    def has(self, name: str) -> bool:
        """Whether an attribute of this name stands here."""
        return name in self._attributes


@dataclass(frozen=True, slots=True, kw_only=True)
class MediaSection:
    """One m= line and what is below it."""

    media: str
    port: int
    port_count: int = 1
    protocol: str
    formats: tuple[str, ...]
    body: Body
    number: int = field(default=0, compare=False)

    @property
    def mid(self) -> str | None:
        """The section's name in groups (RFC 5888)."""
        return self.body.first("mid")

    def __str__(self) -> str:
        port = f"{self.port}/{self.port_count}" if self.port_count != 1 else str(self.port)
        return f"m={' '.join((self.media, port, self.protocol, *self.formats))}"


@dataclass(frozen=True, slots=True, kw_only=True)
class SessionDescription:
    """A whole description: the session part, then its media sections."""

    body: Body
    media: tuple[MediaSection, ...] = ()

    def serialize(self) -> str:
        """The text with CRLF line ends (RFC 8866, section 5)."""
        lines = [str(line) for line in self.body.lines]
        for section in self.media:
            lines.append(str(section))
            lines.extend(str(line) for line in section.body.lines)
        return "".join(f"{line}\r\n" for line in lines)

    def __str__(self) -> str:
        return self.serialize()


def parse(text: str) -> SessionDescription:
    """Read a description, lines ending in CRLF or LF. Raises PeerError(MALFORMED_SDP)."""
    lines = read_lines(text, ErrorCode.MALFORMED_SDP)
    if not lines or str(lines[0]) != "v=0":
        raise refusal(
            ErrorCode.MALFORMED_SDP,
            lines[0].number if lines else 1,
            "a description starts with 'v=0'",
        )
    body, media = split_sections(lines, ErrorCode.MALFORMED_SDP)
    _refuse_repeated_mids(media)
    return SessionDescription(body=body, media=media)


def read_lines(text: str, code: ErrorCode) -> list[Line]:
    """Split a text into lines and check the attributes known; blank lines are left out."""
    if len(text) > MAX_BYTES or len(text.encode(errors="surrogatepass")) > MAX_BYTES:
        raise PeerError(code, f"the description is larger than {MAX_BYTES} bytes")
    raw = ((number, line.rstrip("\r \t")) for number, line in enumerate(text.split("\n"), 1))
    return [_read_line(line, number, code) for number, line in raw if line]


def split_sections(lines: list[Line], code: ErrorCode) -> tuple[Body, tuple[MediaSection, ...]]:
    """Part the lines at the m= lines, within the limits on sections and attributes."""
    starts = [index for index, line in enumerate(lines) if line.kind == "m"]
    if len(starts) > MAX_SECTIONS:
        raise refusal(
            code, lines[starts[MAX_SECTIONS]].number, f"more than {MAX_SECTIONS} m= lines"
        )
    media = tuple(
        _read_section(lines[start], lines[start + 1 : end], code)
        for start, end in pairwise([*starts, len(lines)])
    )
    return _read_body(lines[: starts[0]] if starts else lines, code), media


def refusal(code: ErrorCode, number: int, reason: str) -> PeerError:
    """The error for a line, named in the detail and in `line`."""
    return PeerError(code, f"line {number}: {reason}", line=number)


def _read_line(text: str, number: int, code: ErrorCode) -> Line:
    try:
        check = _check_common if _is_common(text[2:]) else _check
        kind, value = check(text)
    except ValueError as error:
        raise refusal(code, number, str(error)) from None
    return Line(kind=kind, value=value, number=number)


def _check(text: str) -> tuple[str, str]:
    """The type and value of a line whose attribute, if known, can be read. Raises ValueError."""
    match = _LINE.fullmatch(text)
    if match is None or _CONTROL.search(text):
        raise ValueError("a line needs '<type>=<value>' without control characters")
    kind, value = match[1], match[2]
    if kind == "a":
        name, _, argument = value.partition(":")
        reader = attributes.READERS.get(name.lower())
        if reader is not None:
            reader(argument.strip())
    return kind, value


_check_common = lru_cache(CACHED_LINES)(_check)


@lru_cache(CACHED_LINES)
def _attribute_common(text: str) -> tuple[str, str]:
    name, _, value = text.partition(":")
    return name.lower(), value.strip()


def _attribute(text: str) -> tuple[str, str]:
    """Lower-case name and value of an attribute."""
    if _is_common(text):
        return _attribute_common(text)
    return _attribute_common.__wrapped__(text)


def _is_common(attribute: str) -> bool:
    return len(attribute) <= CACHED_LINE_LENGTH and attribute.startswith(_COMMON)


def _read_section(line: Line, below: list[Line], code: ErrorCode) -> MediaSection:
    words = line.value.split()
    port = _PORT.fullmatch(words[1]) if len(words) >= 4 else None
    if port is None or int(port[1]) > 65535:
        raise refusal(code, line.number, "m= needs '<media> <port> <protocol> <format>...'")
    return MediaSection(
        media=words[0].lower(),
        port=int(port[1]),
        port_count=int(port[2] or 1),
        protocol=words[2],
        formats=tuple(words[3:]),
        body=_read_body(below, code),
        number=line.number,
    )


def _read_body(lines: list[Line], code: ErrorCode) -> Body:
    attribute_lines = [line for line in lines if line.kind == "a"]
    if len(attribute_lines) > MAX_ATTRIBUTES:
        number = attribute_lines[MAX_ATTRIBUTES].number
        raise refusal(code, number, f"more than {MAX_ATTRIBUTES} attributes in one section")
    return Body(lines=tuple(lines))


def _refuse_repeated_mids(media: tuple[MediaSection, ...]) -> None:
    seen: set[str] = set()
    for section in media:
        mid = section.mid
        if mid is not None and mid in seen:
            raise refusal(ErrorCode.MALFORMED_SDP, section.number, f"a=mid:{mid} is used twice")
        if mid is not None:
            seen.add(mid)
