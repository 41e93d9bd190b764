"""DTLS records as bytes: how they share datagrams, and which curve a certificate in them is on."""

from __future__ import annotations

MTU = 1200
"""Largest DTLS datagram: fits every path that WebRTC media fits (RFC 8831, section 5)."""

_CURVES = {
    bytes.fromhex("06052b81040021"): "secp224r1",
    bytes.fromhex("06052b81040023"): "secp521r1",
    bytes.fromhex("06052b8104000a"): "secp256k1",
    bytes.fromhex("06082a8648ce3d030101"): "secp192r1",
    bytes.fromhex("06092b2403030208010107"): "brainpoolP256r1",
}
"""Elliptic curves that OpenSSL refuses in TLS, by the DER of their object identifier."""


def datagrams(records: bytes) -> list[bytes]:
    """Split a run of DTLS records into datagrams of whole records, `MTU` bytes at most."""
    out: list[bytes] = []
    start = end = 0
    while end < len(records):
        size = _record_size(records, end)
        if end > start and end + size - start > MTU:
            out.append(records[start:end])
            start = end
        end += size
    if start < len(records):
        out.append(records[start:])
    return out


def _record_size(records: bytes, at: int) -> int:
    """Length of the record at a position, header included; the rest if it cannot be told."""
    first = records[at]
    if first & 0xE0 == 0x20:
        # DTLS 1.3 unified header (RFC 9147, section 4): S = 0x08, L = 0x04.
        header = 1 + (2 if first & 0x08 else 1) + (2 if first & 0x04 else 0)
        if not first & 0x04:
            return len(records) - at
        return header + int.from_bytes(records[at + header - 2 : at + header], "big")
    return 13 + int.from_bytes(records[at + 11 : at + 13], "big")


def explain(reasons: list[str], seen: list[bytes]) -> str:
    """What went wrong in the handshake, with the curve and the remedy where that is it."""
    reason = ", ".join(reasons) or "DTLS handshake failed"
    curve = next((name for oid, name in _CURVES.items() if any(oid in data for data in seen)), None)
    if curve is None or "curve" not in reason:
        return reason
    return (
        f"{reason}: the peer's certificate is on the curve {curve}, which TLS no longer allows; "
        "give the sender a P-256 certificate (FFmpeg: -cert_file and -key_file)"
    )
