"""Every way in which a peer, an operator or the node can be told no: a closed list of codes."""

from __future__ import annotations

from collections.abc import Mapping
from enum import StrEnum
from typing import Self


class ErrorCode(StrEnum):
    """A stable snake_case code, the HTTP status that carries it, and whether a retry helps."""

    status: int
    retryable: bool

    def __new__(cls, value: str, status: int, retryable: bool = False) -> Self:
        code = str.__new__(cls, value)
        code._value_ = value
        code.status = status
        code.retryable = retryable
        return code

    # The request itself.
    MALFORMED_REQUEST = "malformed_request", 400
    MALFORMED_SDP = "malformed_sdp", 400
    MALFORMED_FRAGMENT = "malformed_fragment", 400
    METHOD_NOT_ALLOWED = "method_not_allowed", 405
    BODY_TOO_LARGE = "body_too_large", 413
    UNSUPPORTED_CONTENT_TYPE = "unsupported_content_type", 415
    NOT_FOUND = "not_found", 404

    # What the offer wants.
    UNSUPPORTED_CODEC = "unsupported_codec", 406
    UNACCEPTABLE_OFFER = "unacceptable_offer", 422

    # Who asks, and for what.
    MISSING_TOKEN = "missing_token", 401
    INVALID_TOKEN = "invalid_token", 401
    EXPIRED_TOKEN = "expired_token", 401
    SCOPE_MISSING = "scope_missing", 403
    STREAM_FORBIDDEN = "stream_forbidden", 403

    # The state of streams and sessions.
    STREAM_NOT_FOUND = "stream_not_found", 404, True
    SESSION_NOT_FOUND = "session_not_found", 404
    LAYER_NOT_FOUND = "layer_not_found", 404
    STREAM_CONFLICT = "stream_conflict", 409, True
    ETAG_MISMATCH = "etag_mismatch", 412
    ETAG_REQUIRED = "etag_required", 428

    # The state of the node.
    TOO_MANY_REQUESTS = "too_many_requests", 429, True
    NODE_FULL = "node_full", 503, True
    DRAINING = "draining", 503, True
    NOT_READY = "not_ready", 503, True
    KEYS_UNAVAILABLE = "keys_unavailable", 503, True

    # The operator's side.
    CONFIG_INVALID = "config_invalid", 500
    INTERNAL_ERROR = "internal_error", 500, True


class DropCode(StrEnum):
    """Why the data plane dropped a datagram: the codes of `edge/dataplane/src/error.rs`."""

    UNKNOWN_PROTOCOL = "unknown_protocol"
    UNKNOWN_SOURCE = "unknown_source"
    UNKNOWN_USER = "unknown_user"
    BAD_INTEGRITY = "bad_integrity"
    MALFORMED = "malformed"
    NOT_AUTHENTIC = "not_authentic"
    REPLAYED = "replayed"
    UNKNOWN_TRACK = "unknown_track"


class EdgeError(Exception):
    """Something that has a code: `detail` is for a person, `extra` for a program."""

    def __init__(
        self,
        code: ErrorCode,
        detail: str,
        headers: Mapping[str, str] | None = None,
        **extra: object,
    ) -> None:
        super().__init__(f"{code}: {detail}")
        self.code = code
        self.detail = detail
        self.headers = dict(headers or {})
        self.extra = extra


class PeerError(EdgeError):
    """The peer broke a rule or asked for what is not there: answered, counted, logged at info."""
