"""Tokens: several keys, rotation, and everything that must be refused."""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import time
from pathlib import Path
from typing import Any

import jwt
import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa

from edge.config import AuthConfig
from edge.errors import EdgeError, ErrorCode, PeerError
from edge.server import mint
from edge.server.tokens import Verifier, jwk_of, thumbprint
from edge.signaling.grant import OPEN, Grant

ED = ed25519.Ed25519PrivateKey.generate()
EC = ec.generate_private_key(ec.SECP256R1())
RSA = rsa.generate_private_key(65537, 2048)
SECRET = "s" * 32
KEYS: dict[str, Any] = {"EdDSA": ED, "ES256": EC, "RS256": RSA}
CLAIMS = {"scope": "watch", "stream": "t1"}


def pem(key: Any) -> bytes:
    public: bytes = key.public_key().public_bytes(
        serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo
    )
    return public


def sign(key: Any, algorithm: str, kid: str | None = "k", **claims: Any) -> str:
    body = {**CLAIMS, "exp": time.time() + 60, **claims}
    body = {name: value for name, value in body.items() if value is not None}
    return jwt.encode(body, key, algorithm, headers={"kid": kid} if kid else None)


def verify(config: dict[str, Any], *tokens: str | None) -> list[Grant | ErrorCode]:
    async def run() -> list[Grant | ErrorCode]:
        verifier = Verifier(AuthConfig.model_validate(config))
        await verifier.start()
        results: list[Grant | ErrorCode] = []
        for token in tokens:
            try:
                results.append(await verifier.verify(token))
            except PeerError as error:
                results.append(error.code)
        return results

    return asyncio.run(run())


@pytest.fixture
def config(tmp_path: Path) -> dict[str, Any]:
    keys: list[dict[str, Any]] = [{"kid": "HS256", "algorithm": "HS256", "secret": SECRET}]
    for algorithm, key in KEYS.items():
        path = tmp_path / f"{algorithm}.pem"
        path.write_bytes(pem(key))
        keys.append({"kid": algorithm, "algorithm": algorithm, "file": str(path)})
    return {"keys": keys}


@pytest.mark.parametrize("algorithm", ["HS256", *KEYS])
def test_each_algorithm_with_its_key(config: dict[str, Any], algorithm: str) -> None:
    token = sign(KEYS.get(algorithm, SECRET), algorithm, kid=algorithm)
    without_kid = sign(KEYS.get(algorithm, SECRET), algorithm, kid=None)
    for grant in verify(config, token, without_kid):
        assert isinstance(grant, Grant)
        assert grant.streams == ("t1",)


def test_what_is_refused(config: dict[str, Any]) -> None:
    invalid, expired = ErrorCode.INVALID_TOKEN, ErrorCode.EXPIRED_TOKEN
    cases: list[tuple[str | None, ErrorCode]] = [
        (None, ErrorCode.MISSING_TOKEN),
        ("", ErrorCode.MISSING_TOKEN),
        ("rubbish", invalid),
        ("a.b.c", invalid),
        (sign(ED, "EdDSA", kid="EdDSA", exp=time.time() - 60), expired),
        (sign(ED, "EdDSA", kid="EdDSA", exp=None), invalid),
        (sign(ED, "EdDSA", kid="EdDSA", nbf=time.time() + 600), invalid),
        (sign(ED, "EdDSA", kid="unknown"), invalid),
        (sign(ed25519.Ed25519PrivateKey.generate(), "EdDSA", kid="EdDSA"), invalid),
        # Neither no algorithm nor another one than the key's.
        (jwt.encode({**CLAIMS, "exp": time.time() + 60}, "", "none", headers={"kid": "EdDSA"}), invalid),
        (sign(SECRET, "HS256", kid="EdDSA"), invalid),
        (sign(SECRET * 2, "HS384", kid="HS256"), invalid),
    ]  # fmt: skip
    assert verify(config, *(token for token, _ in cases)) == [code for _, code in cases]


def test_leeway_audience_and_issuer(config: dict[str, Any]) -> None:
    just_over = sign(ED, "EdDSA", kid="EdDSA", exp=time.time() - 3)
    assert isinstance(verify({**config, "leeway_s": 30}, just_over)[0], Grant)
    strict = {**config, "audience": "edge", "issuer": "login"}
    good = sign(ED, "EdDSA", kid="EdDSA", aud="edge", iss="login")
    bad = sign(ED, "EdDSA", kid="EdDSA", aud="other", iss="login")
    assert isinstance(verify(strict, good)[0], Grant)
    assert verify(strict, bad, sign(ED, "EdDSA", kid="EdDSA")) == [ErrorCode.INVALID_TOKEN] * 2
    assert isinstance(verify(config, bad)[0], Grant)


def test_insecure_open_lets_everybody_in() -> None:
    assert verify({"insecure_open": True}, None, "rubbish") == [OPEN, OPEN]


@pytest.mark.parametrize(
    ("key", "problem"),
    [
        (None, "no keys"),
        ({"kid": "k", "algorithm": "HS256", "secret": "short"}, "32 bytes"),
        ({"kid": "k", "algorithm": "EdDSA", "file": "/nonexistent"}, "No such file"),
        ({"kid": "k", "algorithm": "EdDSA", "file": __file__}, "not a PEM key"),
    ],
)
def test_unusable_keys_stop_the_start(key: dict[str, Any] | None, problem: str) -> None:
    with pytest.raises(EdgeError, match=problem) as caught:
        Verifier(AuthConfig.model_validate({"keys": [key] if key else []}))
    assert caught.value.code is ErrorCode.CONFIG_INVALID


def test_a_key_of_another_kind_stops_the_start(tmp_path: Path) -> None:
    path = tmp_path / "key.pem"
    path.write_bytes(pem(EC))
    key = {"kid": "k", "algorithm": "EdDSA", "file": str(path)}
    with pytest.raises(EdgeError, match="not one of EdDSA"):
        Verifier(AuthConfig.model_validate({"keys": [key]}))


def jwks(*keys: tuple[str, Any], extra: list[Any] | None = None) -> str:
    entries = [{**jwk_of(key.public_key()), "kid": kid} for kid, key in keys]
    return json.dumps({"keys": [*entries, *(extra or [])]})


def test_a_jwks_file_rotates(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "jwks.json"
    path.write_text(jwks(("one", ED), extra=[{"kty": "XX"}, {"kty": "OKP", "use": "enc"}, 5]))
    clock = [1000.0]
    monkeypatch.setattr("edge.server.tokens.time.monotonic", lambda: clock[0])

    async def run() -> None:
        verifier = Verifier(AuthConfig(jwks=str(path)))
        await verifier.start()
        new = sign(EC, "ES256", kid="two")
        await verifier.verify(sign(ED, "EdDSA", kid="one"))
        with pytest.raises(PeerError):
            await verifier.verify(new)
        path.write_text(jwks(("two", EC)))
        # Too soon to look again: an unknown kid must not make a request each time.
        with pytest.raises(PeerError):
            await verifier.verify(new)
        clock[0] += 11
        await verifier.verify(new)
        with pytest.raises(PeerError):
            await verifier.verify(sign(ED, "EdDSA", kid="one"))
        # The source is broken: the keys of before are kept.
        path.write_text("{")
        clock[0] += 1000
        await verifier.verify(new)

    asyncio.run(run())


def test_a_jwks_from_a_url() -> None:
    from aiohttp import web
    from aiohttp.test_utils import TestServer

    async def run() -> None:
        answers = [web.Response(status=500), web.Response(text=jwks(("one", RSA)))]
        app = web.Application()

        async def keys(_: web.Request) -> web.Response:
            return answers.pop(0)

        app.router.add_get("/jwks", keys)
        async with TestServer(app) as server:
            verifier = Verifier(AuthConfig(jwks=str(server.make_url("/jwks"))))
            token = sign(RSA, "RS256", kid="one")
            with pytest.raises(PeerError) as caught:
                await verifier.verify(token)
            assert caught.value.code is ErrorCode.KEYS_UNAVAILABLE
            verifier._jwks._read_at = -100.0  # type: ignore[union-attr]
            assert (await verifier.verify(token)).streams == ("t1",)
            assert answers == []

    asyncio.run(run())


def arguments(*words: str) -> argparse.Namespace:
    parser = argparse.ArgumentParser()
    mint.add_arguments(parser)
    return parser.parse_args(words)


def test_keys_are_made_once_and_tokens_minted(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    directory = tmp_path / "keys"
    words = ["--init", str(directory), "--scope", "watch", "--stream", "t1", "--ttl", "90s"]
    assert mint.run(arguments(*words)) == 0
    first = (directory / "key.jwk").read_bytes()
    assert os.stat(directory / "key.jwk").st_mode & 0o777 == 0o600
    assert mint.run(arguments(*words, "--take-over")) == 0
    assert (directory / "key.jwk").read_bytes() == first
    plain, taking = capsys.readouterr().out.split()
    one, two = verify({"jwks": str(directory / "jwks.json")}, plain, taking)
    assert isinstance(one, Grant) and isinstance(two, Grant)
    assert (one.may_take_over, two.may_take_over) == (False, True)
    assert one.expires_wall == pytest.approx(time.time() + 90, abs=10)


@pytest.mark.parametrize("algorithm", ["EdDSA", "ES256", "RS256"])
def test_pem_keys_mint_with_their_thumbprint(tmp_path: Path, algorithm: str) -> None:
    path = tmp_path / "key.pem"
    path.write_bytes(
        KEYS[algorithm].private_bytes(
            serialization.Encoding.PEM,
            serialization.PrivateFormat.PKCS8,
            serialization.NoEncryption(),
        )
    )
    token = mint.mint(mint.read_key(path), arguments("--scope", "ops"))
    kid = thumbprint(jwk_of(KEYS[algorithm].public_key()))
    key = {"kid": kid, "algorithm": algorithm, "file": str(path)}
    assert isinstance(verify({"keys": [key]}, token)[0], Grant)


def test_the_thumbprint_of_rfc_8037() -> None:
    jwk = {"kty": "OKP", "crv": "Ed25519", "x": "11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo"}
    assert thumbprint(jwk) == "kPrK_qmxVWaYVA9wwBF6Iuo3vVzz7TxHCTwXBygrS4k"


def test_mint_says_what_is_missing(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert mint.run(arguments("--scope", "ops")) == 2
    short = tmp_path / "short"
    short.write_text("x")
    assert mint.run(arguments("--scope", "ops", "--key", str(short))) == 2
    assert "32 bytes" in capsys.readouterr().err
    assert mint.run(arguments("--init", str(tmp_path / "d"))) == 0
    with pytest.raises(SystemExit):
        arguments("--ttl", "soon")
