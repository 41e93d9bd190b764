"""What a verified token allows: scopes, streams, until when. Pure; `edge.server.tokens` verifies."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from fnmatch import fnmatchcase
from typing import Any

from edge.errors import ErrorCode, PeerError
from edge.model import StreamId


class Scope(StrEnum):
    """The four things a token can be for."""

    PUBLISH = "publish"
    WATCH = "watch"
    ROUNDS = "rounds"
    OPS = "ops"


@dataclass(frozen=True, slots=True, kw_only=True)
class Grant:
    """A token's permissions.

    `streams` are shell patterns over the whole stream name, case-sensitive: `*` any characters,
    `?` one character, `[ab]` one of these. `t1*` covers the table t1 and its cameras `t1~top`,
    and also t10: write `t1` and `t1~*` for one table only.
    """

    scopes: frozenset[Scope]
    streams: tuple[str, ...] = ()
    expires_wall: float | None = None
    """Unix time at which sessions of this grant end; None never ends (insecure-open only)."""
    may_take_over: bool = False
    """Whether a publisher may replace the one that is live."""
    subject: str = ""

    def require(self, scope: Scope, stream: StreamId | None = None) -> None:
        """Raise PeerError `scope_missing` or `stream_forbidden` unless both are covered."""
        if scope not in self.scopes:
            raise PeerError(
                ErrorCode.SCOPE_MISSING, f"the token lacks the scope {scope}", required=scope
            )
        if stream is not None and not self.covers(stream):
            raise PeerError(ErrorCode.STREAM_FORBIDDEN, f"the token is not for the stream {stream}")

    def covers(self, stream: StreamId) -> bool:
        """Whether one of the patterns matches the stream's name."""
        return any(fnmatchcase(stream, pattern) for pattern in self.streams)


OPEN = Grant(scopes=frozenset(Scope), streams=("*",), may_take_over=False)
"""Everybody's grant on an insecure-open edge. Even there a live publisher is not pushed aside."""


def grant_of(claims: Mapping[str, Any]) -> Grant:
    """Read verified claims.

    `scope`: space-separated words or a list; `stream`: one pattern or a list; `take_over`: bool;
    `exp` (required) and `sub` as in RFC 7519. Unknown scope words are ignored, since one token
    may serve several services. Raises PeerError `invalid_token`.
    """
    expires = claims.get("exp")
    if not isinstance(expires, int | float) or isinstance(expires, bool):
        raise _invalid("exp is missing")
    known = {scope.value for scope in Scope}
    words = _words(claims, "scope")
    subject = claims.get("sub", "")
    if not isinstance(subject, str):
        raise _invalid("sub must be a string")
    return Grant(
        scopes=frozenset(Scope(word) for word in words if word in known),
        streams=_words(claims, "stream"),
        expires_wall=float(expires),
        may_take_over=claims.get("take_over") is True,
        subject=subject,
    )


def _words(claims: Mapping[str, Any], name: str) -> tuple[str, ...]:
    value = claims.get(name, ())
    if isinstance(value, str):
        return tuple(value.split())
    if isinstance(value, list | tuple) and all(isinstance(item, str) for item in value):
        return tuple(value)
    raise _invalid(f"{name} must be a string or a list of strings")


def _invalid(detail: str) -> PeerError:
    return PeerError(ErrorCode.INVALID_TOKEN, detail)
