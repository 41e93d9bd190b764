"""DTLS, keys and data channels between our transport and independent ends."""

from __future__ import annotations

import asyncio
import datetime
from collections.abc import Callable

import pytest
from aiortc.rtcdtlstransport import RTCCertificate
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from hypothesis import given
from hypothesis import strategies as st
from OpenSSL import SSL

from edge.server.dtls_records import MTU, datagrams, explain
from edge.server.transport import (
    PROFILES,
    Certificate,
    Channel,
    Transport,
    TransportSpec,
)

KEY_BYTES = {"SRTP_AEAD_AES_128_GCM": 28, "SRTP_AEAD_AES_256_GCM": 44, "SRTP_AES128_CM_SHA1_80": 30}


class Recorder:
    """An owner that keeps what it is told; `wire` is where datagrams go."""

    def __init__(self) -> None:
        self.sent: list[bytes] = []
        self.keys: tuple[str, bytes, bytes] | None = None
        self.events: list[str] = []
        self.channels: list[Channel] = []
        self.messages: list[str | bytes] = []
        self.wire: Callable[[bytes], None] = self.sent.append

    def on_send(self, datagram: bytes) -> None:
        self.wire(datagram)

    def on_keys(self, profile: str, local: bytes, remote: bytes) -> None:
        self.keys = (profile, local, remote)

    def on_connected(self, profile: str) -> None:
        self.events.append("connected")

    def on_failed(self, detail: str) -> None:
        self.events.append(f"failed: {detail}")

    def on_closed(self) -> None:
        self.events.append("closed")

    def on_channel(self, channel: Channel) -> None:
        self.channels.append(channel)

    def on_message(self, channel: Channel, data: str | bytes) -> None:
        self.messages.append(data)


class Far:
    """A plain OpenSSL end, as a peer's stack would be."""

    def __init__(
        self, *, client: bool, profiles: bytes | None = None, context: SSL.Context | None = None
    ) -> None:
        certificate = RTCCertificate.generateCertificate()
        self.fingerprints = tuple((f.algorithm, f.value) for f in certificate.getFingerprints())
        if context is None:
            context = certificate._create_ssl_context(list(PROFILES))
            if profiles is not None:
                context.set_tlsext_use_srtp(profiles)
        self.tls = SSL.Connection(context)
        (self.tls.set_connect_state if client else self.tls.set_accept_state)()

    def step(self) -> bytes:
        """Take the handshake further; what to send."""
        try:
            self.tls.do_handshake()
        except SSL.Error:
            pass
        return self.out()

    def out(self) -> bytes:
        try:
            return self.tls.bio_read(65_536)
        except SSL.Error:
            return b""


def shake(near: Transport, owner: Recorder, far: Far) -> None:
    """Carry datagrams both ways until both are quiet."""
    for _ in range(8):
        flight = far.step()
        for datagram in datagrams(flight):
            near.receive(datagram)
        sent, owner.sent[:] = list(owner.sent), []
        for datagram in sent:
            assert len(datagram) <= MTU
            far.tls.bio_write(datagram)
        if not flight and not sent:
            return


def pair(*, dtls_client: bool = False, **options: object) -> tuple[Transport, Recorder, Far]:
    owner = Recorder()
    far = Far(client=not dtls_client, **options)  # type: ignore[arg-type]
    spec = TransportSpec(dtls_client=dtls_client, fingerprints=far.fingerprints)
    return Transport(Certificate(), spec, owner), owner, far


@pytest.mark.parametrize("dtls_client", [False, True], ids=["server", "client"])
@pytest.mark.parametrize("profile", [None, *KEY_BYTES])
def test_keys_are_exported_and_equal_on_both_ends(dtls_client: bool, profile: str | None) -> None:
    async def run() -> None:
        offered = profile.encode() if profile else None
        near, owner, far = pair(dtls_client=dtls_client, profiles=offered)
        near.start()
        shake(near, owner, far)
        assert owner.events == ["connected"]
        assert owner.keys is not None
        name, local, remote = owner.keys
        # Without a choice of the peer's, the profile that costs the data plane least.
        assert name == (profile or "SRTP_AEAD_AES_128_GCM")
        salt = 14 if "SHA1" in name else 12
        key = KEY_BYTES[name] - salt
        material = far.tls.export_keying_material(b"EXTRACTOR-dtls_srtp", 2 * (key + salt))
        client = material[:key] + material[2 * key : 2 * key + salt]
        server = material[key : 2 * key] + material[2 * key + salt :]
        assert (local, remote) == ((client, server) if dtls_client else (server, client))
        near.close()

    asyncio.run(run())


def test_a_wrong_fingerprint_fails() -> None:
    async def run() -> None:
        owner, far = Recorder(), Far(client=True)
        wrong = (("sha-256", ":".join(["00"] * 32)),)
        near = Transport(Certificate(), TransportSpec(dtls_client=False, fingerprints=wrong), owner)
        shake(near, owner, far)
        assert owner.events == [
            "failed: the certificate does not match the fingerprint in the offer"
        ]
        assert owner.keys is None
        near.close()

    asyncio.run(run())


def test_no_profile_in_common_fails() -> None:
    async def run() -> None:
        near, owner, far = pair(profiles=b"SRTP_AES128_CM_SHA1_32")
        shake(near, owner, far)
        assert owner.events == ["failed: no SRTP profile in common"]

    asyncio.run(run())


@pytest.mark.parametrize("dtls_client", [False, True], ids=["server", "client"])
def test_goodbyes_are_said_and_heard(dtls_client: bool) -> None:
    async def run() -> None:
        near, owner, far = pair(dtls_client=dtls_client)
        near.start()
        shake(near, owner, far)
        far.tls.shutdown()
        near.receive(far.out())
        assert owner.events == ["connected", "closed"]
        near.close()

        other, owner, far = pair(dtls_client=dtls_client)
        other.start()
        shake(other, owner, far)
        other.close()
        other.close()
        far.tls.bio_write(owner.sent[-1])
        with pytest.raises(SSL.ZeroReturnError):
            far.tls.recv(100)

    asyncio.run(run())


def test_a_repeated_last_flight_is_answered_again() -> None:
    async def run() -> None:
        near, owner, far = pair()
        last = b""
        for _ in range(8):
            flight = far.step()
            last = flight or last
            for datagram in datagrams(flight):
                near.receive(datagram)
            if owner.events:
                break
            for datagram in owner.sent:
                far.tls.bio_write(datagram)
            owner.sent.clear()
        assert owner.events == ["connected"]
        # The server's Finished is lost: the peer's timer repeats its flight.
        owner.sent.clear()
        await asyncio.sleep(1.1)
        far.tls.DTLSv1_handle_timeout()
        for datagram in datagrams(far.out()):
            near.receive(datagram)
        assert owner.sent, "a retransmitted flight must be answered"
        shake(near, owner, far)
        assert far.tls.get_state_string() == b"SSL negotiation finished successfully"
        near.close()

    asyncio.run(run())


def test_the_first_hello_is_repeated_quickly() -> None:
    async def run() -> None:
        near, owner, _ = pair(dtls_client=True)
        repeated = asyncio.Event()

        def wire(datagram: bytes) -> None:
            owner.sent.append(datagram)
            if len(owner.sent) == 3:
                repeated.set()

        owner.wire = wire
        near.start()
        # Far less than OpenSSL's own second.
        await asyncio.wait_for(repeated.wait(), 0.6)
        assert owner.sent[0] == owner.sent[1] == owner.sent[2]
        near.close()

    asyncio.run(run())


def test_a_curve_that_tls_refuses_is_named_with_its_remedy() -> None:
    async def run() -> None:
        key = ec.generate_private_key(ec.SECP224R1())
        now = datetime.datetime.now(datetime.UTC)
        name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "ffmpeg")])
        certificate = (
            x509.CertificateBuilder().subject_name(name).issuer_name(name).public_key(key.public_key())
            .serial_number(1).not_valid_before(now).not_valid_after(now + datetime.timedelta(days=1))
            .sign(key, hashes.SHA256())
        )  # fmt: skip
        der = certificate.public_bytes(serialization.Encoding.DER)
        text = explain(["wrong curve"], [der])
        assert "secp224r1" in text and "P-256" in text and "cert_file" in text
        assert explain(["no shared cipher"], []) == "no shared cipher"
        assert explain([], []) == "DTLS handshake failed"

    asyncio.run(run())


def test_data_channels_between_two_of_ours_and_a_flood_of_them() -> None:
    async def run() -> None:
        one, two = Recorder(), Recorder()
        certificate, other = Certificate(), Certificate()
        server = Transport(
            certificate,
            TransportSpec(
                dtls_client=False, fingerprints=tuple(other.fingerprints), sctp_port=5000
            ),
            one,
        )
        client = Transport(
            other,
            TransportSpec(
                dtls_client=True, fingerprints=tuple(certificate.fingerprints), sctp_port=5000
            ),
            two,
        )
        loop = asyncio.get_running_loop()

        def to_client(datagram: bytes) -> None:
            loop.call_soon(client.receive, datagram)

        def to_server(datagram: bytes) -> None:
            loop.call_soon(server.receive, datagram)

        one.wire, two.wire = to_client, to_server
        client.start()
        while one.events != ["connected"] or two.events != ["connected"]:
            await asyncio.sleep(0.005)
        assert server.has_channels
        from aiortc.rtcdatachannel import RTCDataChannel, RTCDataChannelParameters

        sctp = client._sctp
        assert sctp is not None
        opened = [RTCDataChannel(sctp, RTCDataChannelParameters(label=str(n))) for n in range(20)]
        opened[0].on("open", lambda: opened[0].send("hello"))
        while one.messages != ["hello"] or len(one.channels) < 16:
            await asyncio.sleep(0.005)
        assert one.channels[0].send(b"back")
        while sum(channel.readyState == "closed" for channel in opened) < 4:
            await asyncio.sleep(0.005)
        assert len(one.channels) == 16
        server.close()
        client.close()
        assert not one.channels[0].send("late")

    asyncio.run(asyncio.wait_for(run(), 20))


@given(st.lists(st.binary(max_size=80), max_size=8))
def test_rubbish_is_ignored_or_fails_the_session(rubbish: list[bytes]) -> None:
    """Invariant: no exception, no answer longer than a flight, whatever a peer sends."""

    async def run() -> None:
        near, _, _ = pair()
        for datagram in rubbish:
            near.receive(datagram)
        near.close()

    asyncio.run(run())


@given(st.lists(st.integers(0, 1500), max_size=12))
def test_records_are_never_cut(sizes: list[int]) -> None:
    """Invariant: datagrams join to the run, and each is whole records."""
    records = [b"\x16\xfe\xfd" + bytes(8) + size.to_bytes(2, "big") + bytes(size) for size in sizes]
    run = b"".join(records)
    out = datagrams(run)
    assert b"".join(out) == run
    starts = {sum(map(len, records[:index])) for index in range(len(records) + 1)}
    position = 0
    for datagram in out:
        assert position in starts
        position += len(datagram)
        assert len(datagram) <= MTU or datagram in records


@given(st.binary(max_size=4000))
def test_any_bytes_are_split_without_loss(run: bytes) -> None:
    """Invariant: ends, and loses nothing."""
    assert b"".join(datagrams(run)) == run
