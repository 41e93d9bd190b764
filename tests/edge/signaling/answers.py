"""What every answer must be, whatever was offered (RFC 3264, RFC 8285, RFC 9143, RFC 9429)."""

from __future__ import annotations

from edge.signaling.sdp import MediaSection, SessionDescription, parse

DIRECTIONS = ("sendrecv", "sendonly", "recvonly", "inactive")
COMPLEMENTS = {
    "sendrecv": ("sendonly", "recvonly", "inactive"),
    "sendonly": ("recvonly", "inactive"),
    "recvonly": ("sendonly", "inactive"),
    "inactive": ("inactive",),
}


def check_answer(offer_text: str, answer_text: str) -> None:
    """Assert that the answer is one to this offer."""
    offer, answer = parse(offer_text), parse(answer_text)
    assert answer.body.has("ice-lite")
    assert [section.media for section in answer.media] == [section.media for section in offer.media]
    assert [section.mid for section in answer.media] == [section.mid for section in offer.media]
    _check_bundle(offer, answer)
    for offered, answered in zip(offer.media, answer.media, strict=True):
        assert answered.protocol == offered.protocol
        assert answered.port in (0, 9)
        if answered.port:
            assert offered.port or offered.body.has("bundle-only")
            _check_accepted(offer, offered, answered)


def _check_bundle(offer: SessionDescription, answer: SessionDescription) -> None:
    offered = _bundle(offer)
    answered = list(answer.body.values("group"))
    accepted = [section for section in answer.media if section.port]
    assert accepted
    if offered:
        mids = answered[0].split()[1:]
        assert [mid for mid in offered if mid in mids] == mids
        assert sorted(mids) == sorted(section.mid or "" for section in accepted)
    else:
        assert not answered
        assert len(accepted) == 1
    holders = [section for section in accepted if section.body.has("candidate")]
    assert len(holders) == 1
    assert holders[0].mid == (answered[0].split()[1] if offered else accepted[0].mid)
    assert holders[0].body.has("end-of-candidates")
    assert holders[0].body.values("candidate")[0].split()[2] == "udp"


def _bundle(offer: SessionDescription) -> list[str]:
    """The first group that names sections which are there, each once."""
    known = {section.mid for section in offer.media}
    groups = [value.split() for value in offer.body.values("group")]
    named = [
        [mid for mid in dict.fromkeys(mids) if mid in known]
        for semantics, *mids in groups
        if semantics.upper() == "BUNDLE"
    ]
    return next((mids for mids in named if mids), [])


def _check_accepted(
    offer: SessionDescription, offered: MediaSection, answered: MediaSection
) -> None:
    body = answered.body
    for name in ("ice-ufrag", "ice-pwd", "fingerprint", "setup"):
        assert body.has(name)
    assert body.first("setup") in ("active", "passive")
    if answered.media == "application":
        return
    assert body.has("rtcp-mux")
    assert set(answered.formats) <= set(offered.formats)
    theirs = {value.lower() for value in offered.body.values("rtpmap")}
    assert {value.lower() for value in body.values("rtpmap")} <= theirs
    assert {value.split()[0] for value in body.values("rtpmap")} == set(answered.formats)
    _check_feedback(offered, answered)
    _check_extensions(offer, offered, answered)
    direction = _direction(offered) or _section_direction(offer)
    assert _direction(answered) in COMPLEMENTS[direction]


def _check_feedback(offered: MediaSection, answered: MediaSection) -> None:
    theirs = {value.lower() for value in offered.body.values("rtcp-fb")}
    for value in answered.body.values("rtcp-fb"):
        assert value in theirs or f"* {value.split(maxsplit=1)[1]}" in theirs


def _check_extensions(
    offer: SessionDescription, offered: MediaSection, answered: MediaSection
) -> None:
    pairs = [*offered.body.values("extmap"), *offer.body.values("extmap")]
    theirs = {(value.split()[0].partition("/")[0], value.split()[1]) for value in pairs}
    ours = [value.split() for value in answered.body.values("extmap")]
    assert {(name.partition("/")[0], uri) for name, uri in ours} <= theirs
    assert len({name.partition("/")[0] for name, _ in ours}) == len(ours)


def _direction(section: MediaSection) -> str:
    return next((name for name in DIRECTIONS if section.body.has(name)), "")


def _section_direction(description: SessionDescription) -> str:
    return next((name for name in DIRECTIONS if description.body.has(name)), "sendrecv")
