"""`edge token`: keys and tokens for development, tests and probes."""

from __future__ import annotations

import argparse
import json
import os
import re
import sys
import time
from pathlib import Path
from typing import Any

import jwt
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from edge.server.tokens import algorithm_of, jwk_of, key_of, thumbprint
from edge.signaling.grant import Scope

_UNITS = {"s": 1, "m": 60, "h": 3600, "d": 86_400}


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the options of `edge token`."""
    scopes = [scope.value for scope in Scope]
    parser.add_argument(
        "--init", type=Path, metavar="DIR", help="make a key pair in DIR unless it is there"
    )
    parser.add_argument("--key", type=Path, help="private key: PEM, JWK, or an HS256 secret")
    parser.add_argument("--kid", help="key id (default: the key's thumbprint)")
    parser.add_argument(
        "--scope", action="append", choices=scopes, default=[], help="may be repeated"
    )
    parser.add_argument(
        "--stream", action="append", default=[], help="stream pattern; may be repeated"
    )
    parser.add_argument(
        "--ttl", type=seconds, default=3600, help="life time, such as 90s, 15m, 1h, 30d"
    )
    parser.add_argument("--take-over", action="store_true", help="may replace a live publisher")
    parser.add_argument("--subject", default="", help="who it is for")


def run(args: argparse.Namespace) -> int:
    """Make keys, or print a token."""
    if args.init is not None:
        print(f"public keys: {init_keys(args.init)}", file=sys.stderr)
        args.key = args.key or args.init / "key.jwk"
        if not args.scope:
            return 0
    if args.key is None or not args.scope:
        print("edge token: --key and --scope are needed (or --init DIR)", file=sys.stderr)
        return 2
    try:
        print(mint(read_key(args.key), args))
    except (OSError, ValueError, jwt.PyJWTError) as error:
        print(f"edge token: {args.key}: {error}", file=sys.stderr)
        return 2
    return 0


def init_keys(directory: Path) -> Path:
    """Make `key.jwk` (private, mode 600) and `jwks.json` (public) unless they exist; return the latter."""
    public = directory / "jwks.json"
    if public.exists() and (directory / "key.jwk").exists():
        return public
    directory.mkdir(parents=True, exist_ok=True)
    key = Ed25519PrivateKey.generate()
    jwk = jwk_of(key.public_key())
    kid = thumbprint(jwk)
    descriptor = os.open(directory / "key.jwk", os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    with os.fdopen(descriptor, "w") as file:
        json.dump({**jwk_of(key), "kid": kid, "alg": "EdDSA"}, file)
    keys = {"keys": [{**jwk, "kid": kid, "alg": "EdDSA", "use": "sig"}]}
    public.write_text(json.dumps(keys, indent=2) + "\n")
    return public


def read_key(path: Path) -> tuple[Any, str | None]:
    """A private key or secret and its id, from PEM, JWK or raw bytes."""
    data = path.read_bytes()
    if data.lstrip().startswith(b"{"):
        jwk = json.loads(data)
        return key_of(jwk), jwk.get("kid")
    if b"-----BEGIN" in data:
        return serialization.load_pem_private_key(data, password=None), None
    return data.strip(), None


def mint(key: tuple[Any, str | None], args: argparse.Namespace) -> str:
    """Sign a token with the claims that the arguments name. Raises ValueError."""
    signer, kid = key
    algorithm = algorithm_of(signer)
    if algorithm is None:
        raise ValueError("not an Ed25519, P-256, RSA (2048) or HS256 (32 bytes) key")
    if kid is None and algorithm != "HS256":
        kid = thumbprint(jwk_of(signer.public_key()))
    kid = args.kid or kid
    now = int(time.time())
    claims = {
        "scope": " ".join(args.scope),
        "stream": args.stream or ["*"],
        "iat": now,
        "exp": now + args.ttl,
        "sub": args.subject,
    }
    if args.take_over:
        claims["take_over"] = True
    return jwt.encode(claims, signer, algorithm, headers={"kid": kid} if kid else None)


def seconds(text: str) -> int:
    """Read `90s`, `15m`, `1h`, `30d`, or plain seconds."""
    match = re.fullmatch(r"(\d+)([smhd]?)", text)
    if match is None:
        raise argparse.ArgumentTypeError(f"{text!r} is not a duration such as 90s, 15m, 1h or 30d")
    return int(match[1]) * _UNITS[match[2] or "s"]
