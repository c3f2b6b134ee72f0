"""Whose request it is: who may say so, and who only claims it."""

from __future__ import annotations

from typing import Any

import pytest

from greenlang_secrets.errors import ConfigurationError
from greenlang_secrets_api.addresses import client_address, counted_as, parse_networks

TRUSTED = parse_networks("10.0.0.0/8, fd00::/8,192.0.2.7", setting="X")


def asked(peer: str | None, *forwarded: str) -> str:
    scope: dict[str, Any] = {
        "client": None if peer is None else (peer, 4711),
        "headers": [(b"x-forwarded-for", value.encode()) for value in forwarded],
    }
    return client_address(scope, TRUSTED)


@pytest.mark.parametrize(
    ("peer", "forwarded", "client"),
    [
        ("10.0.0.1", ["198.51.100.1"], "198.51.100.1"),
        ("10.0.0.1", [" 198.51.100.1 , 10.2.3.4\t"], "198.51.100.1"),
        ("10.0.0.1", ["198.51.100.1", "10.2.3.4"], "198.51.100.1"),
        ("192.0.2.7", ["198.51.100.1"], "198.51.100.1"),
        ("fd00::1", ["2001:DB8:0::1"], "2001:db8::1"),
        ("::ffff:10.0.0.1", ["::ffff:198.51.100.1"], "198.51.100.1"),
        ("fe80::1%eth0", [], "fe80::1"),
        ("10.0.0.1", ["10.3.3.3, 10.2.2.2"], "10.3.3.3"),
        ("10.0.0.1", [], "10.0.0.1"),
    ],
)
def test_a_trusted_proxy_says_whom_it_stands_for(
    peer: str, forwarded: list[str], client: str
) -> None:
    """From the right, the first that is no proxy of ours; if all are, the leftmost."""
    assert asked(peer, *forwarded) == client


@pytest.mark.parametrize(
    ("peer", "forwarded", "client"),
    [
        ("198.51.100.1", ["203.0.113.9"], "198.51.100.1"),
        ("192.0.2.8", ["203.0.113.9"], "192.0.2.8"),
        ("10.0.0.1", ["203.0.113.9, 198.51.100.1"], "198.51.100.1"),
        ("10.0.0.1", ["203.0.113.9", "198.51.100.1"], "198.51.100.1"),
        ("10.0.0.1", ["10.9.9.9, 198.51.100.1, 10.2.3.4"], "198.51.100.1"),
        ("10.0.0.1", ["nonsense, 198.51.100.1"], "198.51.100.1"),
    ],
)
def test_what_a_client_claims_is_not_believed(peer: str, forwarded: list[str], client: str) -> None:
    """Neither from a peer that is no proxy of ours, nor left of whom ours spoke with."""
    assert asked(peer, *forwarded) == client


@pytest.mark.parametrize(
    "forwarded",
    [
        "",
        "unknown",
        "198.51.100.1,",
        "198.51.100.1, 10.1.1.1:80",
        "198.51.100.1;10.1.1.1",
        "010.0.0.1",
        "198.51.100.1, " + "10.0.0.1, " * 300 + "10.0.0.1",
        "198.51.100.1\xff",
    ],
)
def test_a_malformed_header_counts_for_the_proxy(forwarded: str) -> None:
    """What cannot be read whole, as far as it matters, is not believed at all."""
    assert asked("10.0.0.1", forwarded) == "10.0.0.1"


def test_without_trust_or_address_there_is_nothing_to_say() -> None:
    """Nobody is trusted by default; a socket without addresses is one client."""
    scope = {"client": ("10.0.0.1", 1), "headers": [(b"x-forwarded-for", b"198.51.100.1")]}

    assert client_address(scope, ()) == "10.0.0.1"
    assert asked(None, "198.51.100.1") == "unknown"
    assert asked("somewhere", "198.51.100.1") == "unknown"


def test_an_address_counts_as_what_one_host_has() -> None:
    """One of IPv4 as itself, one of IPv6 as its /64."""
    assert counted_as("198.51.100.1") == "198.51.100.1"
    assert counted_as("2001:db8:1:2:3:4:5:6") == "2001:db8:1:2::/64"
    assert counted_as("unknown") == "unknown"


@pytest.mark.parametrize(
    "wrong", ["10.0.0.1/8", "proxy.example", "0.0.0.0/0", "::/0", "10.0.0.0/33"]
)
def test_a_wrong_network_is_named(wrong: str) -> None:
    """The refusal names the setting and the network; everybody is no network of proxies."""
    with pytest.raises(ConfigurationError, match=r"THE_SETTING has ") as caught:
        parse_networks(f"10.0.0.0/8, {wrong}", setting="THE_SETTING")

    assert repr(wrong) in str(caught.value)


def test_no_networks_are_none() -> None:
    """An empty setting trusts nobody."""
    assert parse_networks(" , ", setting="X") == ()
