"""Configuration: file, environment, and every bad key at once."""

from __future__ import annotations

from pathlib import Path

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st
from pydantic import BaseModel

from edge.config import EdgeConfig
from edge.errors import EdgeError, ErrorCode
from edge.server.settings import load, parse

SAMPLE = Path(__file__).parents[3] / "edge.sample.yaml"


def problems(text: str, environment: dict[str, str] | None = None) -> list[str]:
    with pytest.raises(EdgeError) as caught:
        parse(text, environment or {})
    assert caught.value.code is ErrorCode.CONFIG_INVALID
    found = caught.value.extra["problems"]
    assert isinstance(found, list)
    return found


def test_the_sample_holds_the_defaults_and_every_section() -> None:
    assert load(SAMPLE, {}) == EdgeConfig()
    written = yaml.safe_load(SAMPLE.read_text())
    assert set(written) == set(EdgeConfig.model_fields)
    for name, section in written.items():
        if isinstance(section, dict) and name != "redirect":
            known = set(type(getattr(EdgeConfig(), name)).model_fields)
            optional = {"public_url", "tls_cert_file", "tls_key_file", "jwks", "audience", "issuer"}
            assert known - set(section) <= optional | {"playout_delay_ms"}, name


def test_every_field_is_documented() -> None:
    def check(model: type) -> None:
        for name, field in model.model_fields.items():  # type: ignore[attr-defined]
            if isinstance(field.default, BaseModel):
                check(type(field.default))
            else:
                assert field.description, f"{model.__name__}.{name}"

    check(EdgeConfig)


def test_the_environment_overrides_the_file() -> None:
    environment = {
        "EDGE_HTTP__PORT": "9000",
        "EDGE_ANNOUNCE__ADDRESSES": "[192.0.2.1, '2001:db8::1']",
        "EDGE_AUTH__INSECURE_OPEN": "true",
        # Kubernetes sets these for a service named edge.
        "EDGE_PORT": "tcp://10.0.0.1:8080",
        "EDGE_SERVICE_HOST": "10.0.0.1",
        "PATH": "/bin",
    }
    config = parse("http: {port: 8081, host: 127.0.0.1}", environment)
    assert (config.http.port, config.http.host) == (9000, "127.0.0.1")
    assert config.announce.addresses == ("192.0.2.1", "2001:db8::1")
    assert config.auth.insecure_open


def test_every_bad_key_is_named_at_once() -> None:
    text = """
http: {prot: 8080, port: 99999}
data_plain: {}
limits: {max_sessions: 0}
"""
    found = problems(text, {"EDGE_LOG__LEVEL": "loud", "EDGE_STREAMS__GRACE": "5"})
    assert sorted(line.split(":")[0] for line in found) == [
        "data_plain",
        "http.port",
        "http.prot",
        "limits.max_sessions",
        "log.level (from EDGE_LOG__LEVEL)",
        "streams.grace (from EDGE_STREAMS__GRACE)",
    ]
    assert "data_plain: unknown key (did you mean data_plane?)" in found
    assert "http.prot: unknown key (did you mean port?)" in found


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("[1]", "mapping"),
        ("a: [", "not YAML"),
        ("http: {tls_cert_file: x}", "belong together"),
        ("data_plane: {min_bitrate_bps: 9000000}", "min_bitrate_bps"),
        ("data_plane: {workers: 2, pin_cpus: [1]}", "one CPU per worker"),
        ("limits: {max_sessions: 9000}", "above data_plane.max_sessions"),
        ("auth: {keys: [{kid: a, algorithm: HS256}]}", "exactly one of"),
        ("auth: {keys: [{kid: a, algorithm: RS256, secret: x}]}", "HS256 only"),
        ("auth: {keys: [{kid: a, algorithm: none, secret: x}]}", "auth.keys.0.algorithm"),
        ("http: 5", "http"),
        ("region: Not A Region", "region"),
    ],
)
def test_what_is_refused(text: str, problem: str) -> None:
    assert any(problem in line for line in problems(text))


def test_a_secret_is_not_repeated() -> None:
    text = "auth: {keys: [{kid: a, algorithm: HS256, secret: [hunter2]}]}"
    assert "hunter2" not in str(problems(text))


def test_a_file_that_is_not_there(tmp_path: Path) -> None:
    with pytest.raises(EdgeError, match="No such file"):
        load(tmp_path / "none.yaml", {})


KEYS = st.sampled_from(["http", "auth", "port", "keys", "limits", "x", "ice_servers", "urls"])
TREES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(KEYS, inner, max_size=3),
    max_leaves=8,
)


@given(
    TREES,
    st.dictionaries(
        st.sampled_from(["EDGE_HTTP__PORT", "EDGE_X__Y__Z", "EDGE___"]),
        st.text("[]{}a:1 ", max_size=5),
    ),
)
def test_any_tree_is_a_configuration_or_config_invalid(
    tree: object, environment: dict[str, str]
) -> None:
    """Invariant: a configuration, or EdgeError with problems, nothing else."""
    try:
        parse(yaml.safe_dump(tree), environment)
    except EdgeError as error:
        assert error.extra["problems"]


@given(st.text(max_size=40))
def test_any_text_is_a_configuration_or_config_invalid(text: str) -> None:
    """Invariant: as above."""
    try:
        parse(text, {})
    except EdgeError as error:
        assert error.extra["problems"]
