"""Two of our own transports connected over loopback, one of them in the place of the edge."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from edge.client.description import Answer, AnsweredMedia, RemoteCandidate
from edge.client.transport import Transport
from edge.model import ExtensionName

EXTENSIONS: dict[ExtensionName, int] = {"mid": 1, "transport_cc": 4, "abs_capture_time": 6}

VIDEO = AnsweredMedia(
    kind="video",
    mid="1",
    accepted=True,
    payload_types=(96, 97),
    encodings={96: "VP8/90000", 97: "rtx/90000"},
    fmtp={97: "apt=96"},
    extensions=EXTENSIONS,
)


def description_of(transport: Transport, *, server: bool, media: AnsweredMedia = VIDEO) -> Answer:
    """
    What the other side must know about a transport; ``server`` is the other side's DTLS role.
    """
    algorithm, digest = transport.fingerprint.split(" ")
    words = transport.ice.candidates("127.0.0.1")[0].split()
    candidate = RemoteCandidate(
        address=words[4], port=int(words[5]), transport="udp", priority=int(words[3])
    )
    return Answer(
        ice=transport.ice.local,
        fingerprints=((algorithm, digest),),
        dtls_role="server" if server else "client",
        candidates=(candidate,),
        media=(media,),
    )


@asynccontextmanager
async def connected(one: Transport, other: Transport) -> AsyncIterator[None]:
    """
    Connect both and close both.
    """
    try:
        await asyncio.gather(
            one.connect(description_of(other, server=False)),
            other.connect(description_of(one, server=True)),
        )
        yield
    finally:
        await one.close()
        await other.close()
