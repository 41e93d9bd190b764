"""What can go wrong between a client and an edge, as one exception."""

from __future__ import annotations


class ClientError(Exception):
    """
    Something the user or the edge must change; the message is printed as it is.

    ``retry`` says whether the same attempt may succeed later, ``retry_after_s`` how long the edge
    asked to be left alone (RFC 9110, section 10.2.3).
    """

    def __init__(self, message: str, *, retry: bool = False, retry_after_s: float = 0.0) -> None:
        super().__init__(message)
        self.retry = retry
        self.retry_after_s = retry_after_s
