"""WHIP and WHEP over HTTP: one resource from POST to DELETE (RFC 9725, draft-ietf-wish-whep)."""

from __future__ import annotations

import json
from dataclasses import dataclass
from types import TracebackType
from typing import Self
from urllib.parse import urljoin, urlsplit

import aiohttp

from edge.client.failure import ClientError

_REDIRECTS = (301, 302, 307, 308)
_MAX_REDIRECTS = 5
_MAX_BODY_BYTES = 65536
_RETRIED = (404, 408, 409, 425, 429)
"""Client errors that time may cure: a stream not live yet, an old session not closed yet."""


def checked_url(text: str) -> str:
    """
    The URL if a client can use it; raises `ClientError` saying why not.
    """
    parts = urlsplit(text)
    try:
        port_is_valid = parts.port is None or parts.port > 0
    except ValueError:
        port_is_valid = False
    if parts.scheme not in ("http", "https") or not parts.hostname or not port_is_valid:
        raise ClientError(f"not a WHIP or WHEP address: {text!r} (want http(s)://HOST/PATH)")
    return text


def host_of(url: str) -> str:
    """
    The host of a checked URL, without port or brackets.
    """
    return urlsplit(url).hostname or ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Established:
    """What the edge said when it took the offer."""

    answer: str
    location: str
    """Absolute URL of the session, for DELETE."""
    etag: str
    links: tuple[str, ...]
    """Link headers as they came (ICE servers, extensions)."""


class Signalling:
    """
    One HTTP conversation about one session.
    """

    def __init__(self, token: str | None = None, timeout_s: float = 10.0) -> None:
        self._headers = {"Authorization": f"Bearer {token}"} if token else {}
        self._http = aiohttp.ClientSession(timeout=aiohttp.ClientTimeout(total=timeout_s))

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        await self._http.close()

    async def offer(self, url: str, sdp: str) -> Established:
        """
        POST an offer, following redirects, and return what the edge agreed to.

        Raises `ClientError` with the detail of the problem document (RFC 9457) if it refused.
        """
        for _ in range(_MAX_REDIRECTS + 1):
            try:
                async with self._http.post(
                    url,
                    data=sdp.encode(),
                    headers={**self._headers, "Content-Type": "application/sdp"},
                    allow_redirects=False,
                ) as response:
                    if response.status not in _REDIRECTS:
                        return await _established(url, response)
                    url = _redirected(url, response)
            except (aiohttp.ClientError, TimeoutError) as error:
                reason = str(error) or type(error).__name__
                raise ClientError(f"cannot reach {url}: {reason}", retry=True) from error
        raise ClientError(f"more than {_MAX_REDIRECTS} redirects, last to {url}")

    async def delete(self, location: str) -> None:
        """
        End the session; a failure is of no use to anybody here and is ignored.
        """
        try:
            async with self._http.delete(location, headers=self._headers):
                pass
        except (aiohttp.ClientError, TimeoutError):
            pass


def _redirected(url: str, response: aiohttp.ClientResponse) -> str:
    target = urljoin(url, response.headers.get("Location", ""))
    if urlsplit(url).scheme == "https" and urlsplit(target).scheme != "https":
        raise ClientError(f"{url} redirects to plain HTTP ({target}); the token stays here")
    return checked_url(target)


async def _established(url: str, response: aiohttp.ClientResponse) -> Established:
    body = await response.content.read(_MAX_BODY_BYTES)
    text = body.decode(errors="replace")
    if response.status != 201:
        raise _refusal(url, response, text)
    location = response.headers.get("Location")
    if not location:
        raise ClientError(f"{url} answered 201 without a Location")
    return Established(
        answer=text,
        location=urljoin(url, location),
        etag=response.headers.get("ETag", ""),
        links=tuple(response.headers.getall("Link", ())),
    )


def _refusal(url: str, response: aiohttp.ClientResponse, text: str) -> ClientError:
    status = response.status
    retry_after = response.headers.get("Retry-After", "")
    return ClientError(
        f"{url} refused with {status} {response.reason or ''}: {problem_detail(text)}",
        retry=status >= 500 or status in _RETRIED,
        retry_after_s=float(retry_after) if retry_after.isdigit() else 0.0,
    )


def problem_detail(text: str) -> str:
    """
    The readable part of a refusal: the detail of a problem document, or the start of the body.
    """
    try:
        document = json.loads(text)
    except ValueError:
        return text.strip()[:200] or "no reason given"
    if not isinstance(document, dict):
        return text.strip()[:200]
    words = [document.get(key) for key in ("detail", "title", "error", "code")]
    found = [word for word in words if isinstance(word, str) and word]
    return " ".join(found[:1]) + (f" ({document['code']})" if "code" in document else "")
