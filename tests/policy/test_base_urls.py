"""Tests of how base URLs are normalized: however one is spelled, the same server has one spelling."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ochy_async import OchySession
from ochy_async.errors import InvalidSettings
from ochy_async.policy.base_urls import normalized

USUAL = "https://partner-api.ochy-prod.com"


@pytest.mark.parametrize(
    ("spelt", "expected"),
    [
        (USUAL, USUAL),
        ("HTTPS://Partner-API.Ochy-Prod.COM", USUAL),
        (f"{USUAL}:443", USUAL),
        (f"{USUAL}:0443/", USUAL),
        (f"{USUAL}:/", USUAL),
        (f"{USUAL}/", USUAL),
        (f"{USUAL}/./", USUAL),
        (f"{USUAL}/v1/../", USUAL),
        (f"{USUAL}/%76%31/%7euser", f"{USUAL}/v1/~user"),
        (f"{USUAL}/a%2fb", f"{USUAL}/a%2Fb"),
        (f"{USUAL}/%2e%2e/v1", f"{USUAL}/v1"),
        ("https://BÜCHER.example", "https://xn--bcher-kva.example"),
        ("https://XN--BCHER-KVA.example", "https://xn--bcher-kva.example"),
        ("http://[0:0::0:1]:80", "http://[::1]"),
        ("http://LOCALHOST:8000", "http://localhost:8000"),
    ],
)
def test_spellings_that_rfc_3986_makes_equal_are_one(spelt: str, expected: str) -> None:
    """Scheme, host, port, dot segments, escapes and trailing slash have one spelling each."""
    assert normalized(spelt) == expected


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("http://localhost", "http://127.0.0.1"),
        ("http://127.0.0.1", "http://[::1]"),
        (USUAL, f"{USUAL}."),
        (USUAL, f"{USUAL}:8443"),
        (USUAL, "http://partner-api.ochy-prod.com"),
        (f"{USUAL}/v1", f"{USUAL}/V1"),
        (f"{USUAL}/a%2Fb", f"{USUAL}/a/b"),
    ],
)
def test_base_urls_that_may_be_different_servers_stay_different(one: str, other: str) -> None:
    """A journal refuses them until the user says that they are the same."""
    assert normalized(one) != normalized(other)


@pytest.mark.parametrize("spelt", ["ftp://Host/x/", "http:///x/", "http://[::1", "Host/"])
def test_what_is_no_http_address_is_returned_unchanged(spelt: str) -> None:
    """Another scheme, no host, unclosed brackets: nothing is normalized or raised."""
    assert normalized(spelt) == spelt


PARTS = st.text("abcXYZ019._~-%é", min_size=1, max_size=8)


@given(host=st.from_regex(r"\A[a-zA-Z][a-zA-Z0-9]{0,9}(\.[a-zA-Z][a-zA-Z0-9]{0,9}){0,2}\Z"), path=st.lists(PARTS))
def test_normalizing_twice_changes_nothing(host: str, path: list[str]) -> None:
    """Case of the host, default port and dots never make another spelling of it."""
    rest = "".join(f"/{part}" for part in path)
    once = normalized(f"https://{host}{rest}")
    assert normalized(once) == once
    assert normalized(f"HTTPS://{host.swapcase()}:443/./x/..{rest}/") == once


@pytest.mark.parametrize("spelt", ["http://127.0.0.1@evil.example", "http://127.0.0.1\\@evil.example", "http://127.1"])
def test_no_spelling_circumvents_the_rule_for_the_key(spelt: str) -> None:
    """The normalized URL must be as harmless as the one that was given."""
    with pytest.raises(InvalidSettings):
        OchySession(base_url=spelt)
