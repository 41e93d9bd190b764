"""Verifies bearer tokens (RFC 7519) against several keys at once, and mints them for development."""

from __future__ import annotations

import asyncio
import base64
import hashlib
import json
import time
import warnings
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import aiohttp
import jwt
import structlog
from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa
from jwt.algorithms import ECAlgorithm, OKPAlgorithm, RSAAlgorithm

from edge.config import AuthConfig, KeyConfig
from edge.errors import EdgeError, ErrorCode, PeerError
from edge.signaling.grant import OPEN, Grant, grant_of

MIN_SECRET_BYTES = 32
"""RFC 7518, section 3.2: an HS256 key is at least as long as its hash."""

UNKNOWN_KID_REFRESH_S = 10.0
"""An unknown kid reads the JWKS again, but not more often than this."""

JWKS_TIMEOUT_S = 5.0
"""A JWKS server that needs longer is taken as absent, and the keys of before are kept."""

log = structlog.get_logger()


@dataclass(frozen=True, slots=True, kw_only=True)
class VerificationKey:
    """One key and the only algorithm it may be used with, so that a token cannot choose."""

    kid: str
    algorithm: str
    key: Any


class Verifier:
    """Turns tokens into grants."""

    def __init__(self, config: AuthConfig) -> None:
        """Read the keys. Raises EdgeError `config_invalid` for unusable or missing ones."""
        self._config = config
        self._keys = tuple(_configured(key) for key in config.keys)
        self._jwks = Jwks(config.jwks, config.jwks_refresh_s) if config.jwks else None
        if not self._keys and self._jwks is None and not config.insecure_open:
            raise _invalid("auth: no keys and no jwks; add one, or say --insecure-open")

    @property
    def open(self) -> bool:
        """Whether everybody may do everything."""
        return self._config.insecure_open

    async def start(self) -> None:
        """Read the JWKS for the first time; a failure is logged and tried again when needed."""
        if self._jwks is not None:
            await self._jwks.keys(time.monotonic())

    async def verify(self, token: str | None) -> Grant:
        """The grant of a token. Raises PeerError with the code of what is wrong."""
        if self.open:
            return OPEN
        if not token:
            raise PeerError(ErrorCode.MISSING_TOKEN, "a bearer token is needed")
        try:
            header = jwt.get_unverified_header(token)
        except jwt.PyJWTError as error:
            raise _refused(f"not a token: {error}") from error
        kid = header.get("kid")
        if not isinstance(kid, str) and kid is not None:
            raise _refused("kid must be a string")
        return grant_of(self._claims(token, await self._candidates(kid)))

    async def _candidates(self, kid: str | None) -> list[VerificationKey]:
        keys = [*self._keys]
        if self._jwks is not None:
            now = time.monotonic()
            keys += await self._jwks.keys(now)
            if kid is not None and all(key.kid != kid for key in keys):
                keys += await self._jwks.keys(now, unknown_kid=True)
            if not keys:
                raise PeerError(
                    ErrorCode.KEYS_UNAVAILABLE, "no key set could be read yet", {"Retry-After": "2"}
                )
        found = keys if kid is None else [key for key in keys if key.kid == kid]
        if not found:
            raise _refused("the key id is not known here")
        return found

    def _claims(self, token: str, keys: Iterable[VerificationKey]) -> Mapping[str, Any]:
        problem = "no key fits"
        for key in keys:
            try:
                claims: Mapping[str, Any] = jwt.decode(
                    token,
                    key.key,
                    algorithms=[key.algorithm],
                    leeway=self._config.leeway_s,
                    audience=self._config.audience,
                    issuer=self._config.issuer,
                    options={"require": ["exp"], "verify_aud": self._config.audience is not None},
                )
                return claims
            except jwt.ExpiredSignatureError as error:
                raise PeerError(ErrorCode.EXPIRED_TOKEN, "the token has expired") from error
            except jwt.InvalidSignatureError:
                problem = "the signature is wrong"
            except (jwt.PyJWTError, ValueError, TypeError) as error:
                problem = str(error)
        raise _refused(problem)


class Jwks:
    """A key set from a file or URL: cached, read again by age or for an unknown kid, kept on failure."""

    def __init__(self, source: str, refresh_s: float) -> None:
        self._source = source
        self._refresh_s = refresh_s
        self._keys: tuple[VerificationKey, ...] = ()
        self._read_at: float | None = None
        self._lock = asyncio.Lock()

    async def keys(self, now: float, *, unknown_kid: bool = False) -> tuple[VerificationKey, ...]:
        """The keys, read again when they are old, or when one is missing."""
        if self._due(now, unknown_kid):
            async with self._lock:
                if self._due(now, unknown_kid):
                    self._read_at = now
                    await self._read()
        return self._keys

    def _due(self, now: float, unknown_kid: bool) -> bool:
        if self._read_at is None:
            return True
        limit = min(UNKNOWN_KID_REFRESH_S, self._refresh_s) if unknown_kid else self._refresh_s
        if not self._keys:
            limit = min(limit, 1.0)
        return now - self._read_at >= limit

    async def _read(self) -> None:
        try:
            document = json.loads(await self._text())
            keys = tuple(_of_jwk(item) for item in document["keys"] if _usable(item))
        except (
            OSError,
            ValueError,
            KeyError,
            TypeError,
            aiohttp.ClientError,
            jwt.PyJWTError,
        ) as error:
            log.warning("jwks_unreadable", source=self._source, problem=str(error) or repr(error))
            return
        self._keys = keys
        log.info("jwks_read", source=self._source, kids=[key.kid for key in keys])

    async def _text(self) -> str:
        if not self._source.startswith(("http://", "https://")):
            return await asyncio.to_thread(Path(self._source).read_text, encoding="utf-8")
        timeout = aiohttp.ClientTimeout(total=JWKS_TIMEOUT_S)
        async with (
            aiohttp.ClientSession(timeout=timeout, raise_for_status=True) as client,
            client.get(self._source) as response,
        ):
            return await response.text()


def thumbprint(jwk: Mapping[str, Any]) -> str:
    """The key's own id (RFC 7638)."""
    members = {"OKP": ("crv", "kty", "x"), "EC": ("crv", "kty", "x", "y"), "RSA": ("e", "kty", "n")}
    picked = {name: jwk[name] for name in members.get(jwk["kty"], ("k", "kty"))}
    digest = hashlib.sha256(json.dumps(picked, separators=(",", ":"), sort_keys=True).encode())
    return base64.urlsafe_b64encode(digest.digest()).rstrip(b"=").decode()


def _configured(config: KeyConfig) -> VerificationKey:
    try:
        data = config.file.read_bytes() if config.file else (config.secret or "").encode()
    except OSError as error:
        raise _invalid(f"auth.keys {config.kid}: {error}") from error
    if config.algorithm == "HS256":
        secret = data.strip()
        if len(secret) < MIN_SECRET_BYTES:
            raise _invalid(
                f"auth.keys {config.kid}: an HS256 secret needs {MIN_SECRET_BYTES} bytes"
            )
        return VerificationKey(kid=config.kid, algorithm="HS256", key=secret)
    try:
        key = _public(data)
    except (ValueError, UnsupportedAlgorithm) as error:
        raise _invalid(f"auth.keys {config.kid}: not a PEM key: {error}") from error
    if algorithm_of(key) != config.algorithm:
        raise _invalid(f"auth.keys {config.kid}: the key is not one of {config.algorithm}")
    return VerificationKey(kid=config.kid, algorithm=config.algorithm, key=key)


def _public(pem: bytes) -> Any:
    if b"PRIVATE" in pem:
        return serialization.load_pem_private_key(pem, password=None).public_key()
    return serialization.load_pem_public_key(pem)


def algorithm_of(key: object) -> str | None:
    """The algorithm that a public or private key is used with here."""
    if isinstance(key, ed25519.Ed25519PublicKey | ed25519.Ed25519PrivateKey):
        return "EdDSA"
    if isinstance(key, ec.EllipticCurvePublicKey | ec.EllipticCurvePrivateKey):
        return "ES256" if key.curve.name == "secp256r1" else None
    if isinstance(key, rsa.RSAPublicKey | rsa.RSAPrivateKey):
        return "RS256" if key.key_size >= 2048 else None
    return "HS256" if isinstance(key, bytes) and len(key) >= MIN_SECRET_BYTES else None


def jwk_of(key: object) -> dict[str, Any]:
    """A key as JWK without `kid`."""
    algorithm: Any = {"EdDSA": OKPAlgorithm, "ES256": ECAlgorithm, "RS256": RSAAlgorithm}[
        algorithm_of(key) or ""
    ]
    return dict(json.loads(algorithm.to_jwk(key)))


def key_of(jwk: Mapping[str, Any]) -> Any:
    """The key of a JWK. Raises PyJWTError, ValueError or KeyError."""
    with warnings.catch_warnings():
        # Too short secrets are refused right after, by their length.
        warnings.simplefilter("ignore", jwt.warnings.InsecureKeyLengthWarning)
        return jwt.PyJWK(dict(jwk)).key


def _usable(jwk: Any) -> bool:
    """Whether a JWKS entry is a signature key of a kind we verify with; others may stand beside it."""
    try:
        return jwk.get("use", "sig") == "sig" and algorithm_of(key_of(jwk)) is not None
    except (jwt.PyJWTError, ValueError, KeyError, AttributeError):
        return False


def _of_jwk(jwk: Mapping[str, Any]) -> VerificationKey:
    key = key_of(jwk)
    algorithm = algorithm_of(key)
    assert algorithm is not None
    return VerificationKey(kid=str(jwk.get("kid") or thumbprint(jwk)), algorithm=algorithm, key=key)


def _refused(detail: str) -> PeerError:
    return PeerError(ErrorCode.INVALID_TOKEN, detail)


def _invalid(detail: str) -> EdgeError:
    return EdgeError(ErrorCode.CONFIG_INVALID, detail)
