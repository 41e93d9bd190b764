"""What verified claims allow."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from edge.errors import ErrorCode, PeerError
from edge.model import StreamId
from edge.signaling.grant import OPEN, Grant, Scope, grant_of


def refusal(grant: Grant, scope: Scope, stream: str | None = None) -> ErrorCode | None:
    try:
        grant.require(scope, None if stream is None else StreamId(stream))
    except PeerError as error:
        return error.code
    return None


@pytest.mark.parametrize(
    ("claim", "stream", "allowed"),
    [
        ("t1", "t1", True),
        ("t1", "t10", False),
        ("t1", "T1", False),
        ("t*", "t10~top", True),
        ("t1~*", "t1", False),
        (["t1", "t1~*"], "t1~top", True),
        ("t1 t2", "t2", True),
        ("*", "anything", True),
        ((), "t1", False),
    ],
)
def test_streams_are_patterns_over_the_whole_name(
    claim: object, stream: str, allowed: bool
) -> None:
    grant = grant_of({"exp": 10, "scope": "watch", "stream": claim})
    expected = None if allowed else ErrorCode.STREAM_FORBIDDEN
    assert refusal(grant, Scope.WATCH, stream) is expected


def test_a_scope_is_needed_and_foreign_ones_are_ignored() -> None:
    grant = grant_of({"exp": 10, "scope": "watch email", "stream": "*"})
    assert grant.scopes == {Scope.WATCH}
    assert refusal(grant, Scope.PUBLISH, "t1") is ErrorCode.SCOPE_MISSING
    assert refusal(grant, Scope.OPS) is ErrorCode.SCOPE_MISSING


def test_take_over_must_be_true_itself() -> None:
    assert grant_of({"exp": 1, "take_over": True}).may_take_over
    assert not grant_of({"exp": 1, "take_over": "yes"}).may_take_over
    assert not OPEN.may_take_over


@pytest.mark.parametrize(
    "claims",
    [
        {},
        {"exp": "soon"},
        {"exp": True},
        {"exp": 1, "scope": 7},
        {"exp": 1, "stream": [1]},
        {"exp": 1, "sub": 5},
    ],
)
def test_malformed_claims_are_refused(claims: dict[str, object]) -> None:
    with pytest.raises(PeerError) as caught:
        grant_of(claims)
    assert caught.value.code is ErrorCode.INVALID_TOKEN


VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=3), inner),
    max_leaves=5,
)
CLAIMS = st.dictionaries(st.sampled_from(["exp", "scope", "stream", "take_over", "sub"]), VALUES)


@given(CLAIMS)
def test_any_claims_give_a_grant_or_a_peer_error(claims: dict[str, object]) -> None:
    """Invariant: a grant or PeerError, nothing else."""
    try:
        grant = grant_of(claims)
    except PeerError:
        return
    assert grant.expires_wall is not None
