"""What WHIP and WHEP share: endpoints that take offers, and the resources of sessions (RFC 9725)."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping

from aiohttp import web
from multidict import CIMultiDict

from edge.config import IceServer
from edge.errors import ErrorCode, PeerError
from edge.model import Role, StreamId
from edge.server.gateway import GATEWAY
from edge.server.records import SessionRecord
from edge.signaling.fragment import CONTENT_TYPE as FRAGMENT
from edge.signaling.fragment import parse_fragment
from edge.signaling.grant import Scope
from edge.signaling.negotiate import Offer, read_offer

SDP = "application/sdp"
SCOPES = {Role.PUBLISHER: Scope.PUBLISH, Role.SUBSCRIBER: Scope.WATCH}
PREFIXES = {Role.PUBLISHER: "whip", Role.SUBSCRIBER: "whep"}

_STREAM = re.compile(r"[A-Za-z0-9_.-]{1,64}(~[A-Za-z0-9_.-]{1,64})?")


def stream_of(request: web.Request) -> StreamId:
    """The stream in the URL: a table, or `table~camera`. Raises PeerError `malformed_request`."""
    return stream_name(request.match_info["stream"])


def stream_name(name: str) -> StreamId:
    """Check a stream's name. Raises PeerError `malformed_request`."""
    if not _STREAM.fullmatch(name):
        raise PeerError(
            ErrorCode.MALFORMED_REQUEST,
            "a stream is named by up to 64 letters, digits, _ . or -, and may have a ~camera",
        )
    return StreamId(name)


async def body_of(request: web.Request, content_type: str, code: ErrorCode) -> str:
    """The body as text. Raises PeerError 415, 413 (by aiohttp's limit) or `code`."""
    if request.content_type != content_type:
        accept = "Accept-Patch" if request.method == "PATCH" else "Accept-Post"
        raise PeerError(
            ErrorCode.UNSUPPORTED_CONTENT_TYPE,
            f"the content type must be {content_type}",
            {accept: content_type},
            supported=[content_type],
        )
    body = await request.read()
    try:
        return body.decode("utf-8")
    except UnicodeDecodeError as error:
        raise PeerError(code, f"not UTF-8 at byte {error.start}") from error


async def json_of(request: web.Request) -> object:
    """The JSON body, None when it is empty. Raises PeerError."""
    if request.content_type not in ("application/json", "application/octet-stream"):
        raise PeerError(
            ErrorCode.UNSUPPORTED_CONTENT_TYPE,
            "the content type must be application/json",
            {"Accept-Post": "application/json"},
            supported=["application/json"],
        )
    body = await request.read()
    if not body.strip():
        return None
    try:
        value: object = json.loads(body)
    except (ValueError, RecursionError) as error:
        raise PeerError(ErrorCode.MALFORMED_REQUEST, f"not JSON: {error}") from error
    return value


async def offer_of(request: web.Request) -> Offer:
    """The offer in a POST. Raises PeerError."""
    return read_offer(await body_of(request, SDP, ErrorCode.MALFORMED_SDP))


def created(request: web.Request, record: SessionRecord, links: list[str]) -> web.Response:
    """201 with the answer (RFC 9725, section 4.2). The Location has no query: OBS would drop it."""
    headers: CIMultiDict[str] = CIMultiDict(
        {
            "Location": location(record),
            "ETag": f'"{record.etag}"',
            "Accept-Patch": FRAGMENT,
            "Cache-Control": "no-store",
        }
    )
    for link in (*links, *ice_links(request.app[GATEWAY].config.ice_servers)):
        headers.add("Link", link)
    return typed(201, SDP, record.take_answer(), headers)


def typed(status: int, content_type: str, text: str, headers: Mapping[str, str]) -> web.Response:
    """An answer whose Content-Type has no charset, which some clients compare as a whole."""
    found: CIMultiDict[str] = CIMultiDict(headers)
    found["Content-Type"] = content_type
    return web.Response(status=status, body=text.encode(), headers=found)


def location(record: SessionRecord) -> str:
    """Absolute path of a session's resource."""
    return f"/{PREFIXES[record.role]}/{record.stream.name}/{record.id}"


def ice_links(servers: tuple[IceServer, ...]) -> list[str]:
    """Link headers for STUN and TURN servers (RFC 9725, section 4.6)."""
    links = []
    for server in servers:
        for url in server.urls:
            link = f'<{url}>; rel="ice-server"'
            if server.username is not None:
                credential = server.credential or ""
                link += f'; username="{server.username}"; credential="{credential}"'
                link += '; credential-type="password"'
            links.append(link)
    return links


async def record_of(request: web.Request, role: Role) -> SessionRecord:
    """The session of a resource URL. Raises PeerError."""
    gateway = request.app[GATEWAY]
    stream = stream_of(request)
    await gateway.access.check_resource(request, SCOPES[role], stream)
    try:
        return gateway.driver.session(stream, request.match_info["session"], role)
    except PeerError as error:
        raise gateway.access.unknown_resource(request, error) from error


async def patch(request: web.Request, role: Role) -> web.Response:
    """Trickle ICE: 204, or 200 after an ICE restart (RFC 9725, section 4.3)."""
    record = await record_of(request, role)
    text = await body_of(request, FRAGMENT, ErrorCode.MALFORMED_FRAGMENT)
    # Several If-Match lines are one list (RFC 9110, section 5.3).
    tags = request.headers.getall("If-Match", [])
    patched = request.app[GATEWAY].driver.patch(
        record, ", ".join(tags) if tags else None, parse_fragment(text)
    )
    headers = {"ETag": f'"{patched.etag}"'}
    if patched.body is None:
        return web.Response(status=204, headers=headers)
    return typed(200, FRAGMENT, patched.body, headers)


async def delete(request: web.Request, role: Role) -> web.Response:
    """200: OBS warns at anything else."""
    record = await record_of(request, role)
    request.app[GATEWAY].driver.delete(record)
    return web.Response(status=200)


async def options(_request: web.Request) -> web.Response:
    """What may be posted here (RFC 9725, section 4.2); CORS headers come with every answer."""
    return web.Response(status=200, headers={"Accept-Post": SDP, "Allow": "POST, OPTIONS"})


async def options_resource(_request: web.Request) -> web.Response:
    """What may be done with a session."""
    return web.Response(
        status=200, headers={"Accept-Patch": FRAGMENT, "Allow": "PATCH, DELETE, OPTIONS"}
    )
