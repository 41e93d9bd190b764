"""What is relied on outside its own guarantees: private parts of aiortc, and names in two languages."""

from __future__ import annotations

import inspect
import re
from importlib.metadata import version
from pathlib import Path

import pytest
from aiortc import rtcdtlstransport, rtcsctptransport
from aiortc.rtcdtlstransport import RTCCertificate, RTCDtlsTransport, SRTPProtectionProfile, State
from aiortc.rtcsctptransport import RTCSctpTransport

from edge.errors import DropCode

EDGE = Path(__file__).parents[1] / "edge"

DTLS_ATTRIBUTES = {
    "_data_receiver", "_role", "_rtp_header_extensions_map", "_rtp_router", "_ssl", "_state", "encrypted",
}  # fmt: skip
"""Instance attributes of RTCDtlsTransport that `edge/server/transport.py` reads, sets or deletes."""

DTLS_METHODS = {
    "_set_role": ["self", "role"],
    "_set_state": ["self", "state"],
    "_setup_srtp": ["self"],
    "_validate_peer_identity": ["self", "remoteParameters"],
    "_send_data": ["self", "data"],
    "_register_data_receiver": ["self", "receiver"],
    "_unregister_data_receiver": ["self", "receiver"],
}
SCTP_METHODS = {
    "_handle_data": ["self", "data"],
    "start": ["self", "remoteCaps", "remotePort"],
    "stop": ["self"],
}
WAITS = re.compile(r"asyncio\.(sleep|wait|wait_for|gather|Event|Queue)\b|\.result\(")
"""What would make a coroutine of SCTP suspend: `transport._run` runs them to their end at once."""


def parameters(owner: type, name: str) -> list[str]:
    return list(inspect.signature(getattr(owner, name)).parameters)


def test_aiortc_is_the_version_that_was_read() -> None:
    assert version("aiortc") == "1.16.0"


def test_dtls_attributes() -> None:
    source = inspect.getsource(RTCDtlsTransport.__init__)
    for name in DTLS_ATTRIBUTES:
        assert re.search(rf"self\.{name}\b", source), name
    assert {state.name for state in State} == {"NEW", "CONNECTING", "CONNECTED", "CLOSED", "FAILED"}


@pytest.mark.parametrize("name", DTLS_METHODS)
def test_dtls_methods(name: str) -> None:
    assert parameters(RTCDtlsTransport, name) == DTLS_METHODS[name]


def test_what_fails_sets_the_state() -> None:
    for name in ("_validate_peer_identity", "_setup_srtp"):
        assert "State.FAILED" in inspect.getsource(getattr(RTCDtlsTransport, name))


def test_certificate_and_profiles() -> None:
    assert parameters(RTCCertificate, "_create_ssl_context") == ["self", "srtp_profiles"]
    assert parameters(SRTPProtectionProfile, "get_key_and_salt") == ["self", "src", "idx"]
    for name in ("SRTP_AEAD_AES_128_GCM", "SRTP_AEAD_AES_256_GCM", "SRTP_AES128_CM_SHA1_80"):
        assert getattr(rtcdtlstransport, name).openssl_profile == name.encode()


@pytest.mark.parametrize("name", SCTP_METHODS)
def test_sctp_methods(name: str) -> None:
    assert parameters(RTCSctpTransport, name) == SCTP_METHODS[name]


def test_sctp_never_waits() -> None:
    source = inspect.getsource(rtcsctptransport)
    assert not WAITS.search(source)
    awaited = set(re.findall(r"await ([\w.]+)\(", source))
    assert all(call.startswith(("self._", "self.__transport._send_data")) for call in awaited), (
        awaited
    )


def test_sctp_keeps_its_channels_and_asks_for_the_role() -> None:
    assert "self._data_channels" in inspect.getsource(RTCSctpTransport.__init__)
    assert 'self.transport._role == "server"' in inspect.getsource(RTCSctpTransport)
    assert '.emit("datachannel", channel)' in inspect.getsource(RTCSctpTransport)


def test_drop_codes_are_the_same_in_both_languages() -> None:
    source = (EDGE / "dataplane" / "src" / "error.rs").read_text()
    assert set(re.findall(r'=> "(\w+)"', source)) == set(DropCode)


def test_only_one_module_opens_each_door() -> None:
    doors = {"aiortc": "server/transport.py", "edge._dataplane": "server/engine.py"}
    for library, door in doors.items():
        pattern = re.compile(rf"^\s*(from|import) {re.escape(library)}\b", re.MULTILINE)
        found = {
            str(path.relative_to(EDGE))
            for path in EDGE.rglob("*.py")
            if "client" not in path.parts and "node_modules" not in path.parts
            and pattern.search(path.read_text())
        }  # fmt: skip
        assert found == {door}
