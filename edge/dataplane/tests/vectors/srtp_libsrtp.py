"""Writes `srtp_libsrtp.txt`: packets protected by libsrtp (pylibsrtp 1.0, libsrtp 2.7).

Each line is profile, kind, rollover counter, keying, plain packet, protected packet, in hex.
Run it as `python srtp_libsrtp.py > srtp_libsrtp.txt`.
"""

import hashlib
import struct

from pylibsrtp import Policy, Session

PROFILES = {
    "SRTP_AEAD_AES_128_GCM": (Policy.SRTP_PROFILE_AEAD_AES_128_GCM, 28),
    "SRTP_AEAD_AES_256_GCM": (Policy.SRTP_PROFILE_AEAD_AES_256_GCM, 44),
    "SRTP_AES128_CM_SHA1_80": (Policy.SRTP_PROFILE_AES128_CM_SHA1_80, 30),
}


def noise(name: str, size: int) -> bytes:
    """Bytes that are the same on every run."""
    return hashlib.shake_128(name.encode()).digest(size)


def rtp(sequence: int, size: int) -> bytes:
    """An RTP packet with a one-byte header extension and `size` bytes of payload."""
    header = struct.pack("!BBHII", 0x90, 96, sequence, 90 * sequence, 0x5501A0B2)
    extension = struct.pack("!HH", 0xBEDE, 1) + bytes([0x32, 1, 2, 3])
    return header + extension + noise(f"rtp {sequence} {size}", size)


def receiver_report(blocks: int) -> bytes:
    """A receiver report with `blocks` report blocks."""
    header = struct.pack("!BBHI", 0x80 | blocks, 201, 1 + 6 * blocks, 0x4D617273)
    return header + noise(f"rr {blocks}", 24 * blocks)


def main() -> None:
    """Prints all vectors."""
    for name, (profile, keying_len) in PROFILES.items():
        keying = noise(name, keying_len)
        policy = Policy(key=keying, ssrc_type=Policy.SSRC_ANY_OUTBOUND, srtp_profile=profile)
        session = Session(policy)
        rollover, last = 0, 65_530
        for sequence in [65_530, 65_534, 65_535, 0, 1, 32_767, 65_535, 7]:
            rollover += sequence < last
            last = sequence
            plain = rtp(sequence, 0 if sequence == 1 else sequence % 1201)
            print(name, "rtp", rollover, keying.hex(), plain.hex(), session.protect(plain).hex())
        for blocks in [0, 1, 3]:
            plain = receiver_report(blocks)
            protected = session.protect_rtcp(plain)
            print(name, "rtcp", 0, keying.hex(), plain.hex(), protected.hex())


if __name__ == "__main__":
    main()
