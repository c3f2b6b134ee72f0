"""Whose request it is, by address: the peer, or whom a trusted proxy says it stands for.

Nothing is authorised by an address; it only says whom a limit counts for.
"""

from __future__ import annotations

import ipaddress
from collections.abc import Iterable, Mapping
from functools import lru_cache
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network
from typing import Any, Final

from greenlang_secrets.errors import ConfigurationError

__all__ = ["Network", "client_address", "counted_as", "parse_networks"]

Network = IPv4Network | IPv6Network

MAX_FORWARDED: Final = 2048  # octets of X-Forwarded-For that are looked at: some fifty proxies

_HEADER: Final = b"x-forwarded-for"
_UNKNOWN: Final = "unknown"


def client_address(scope: Mapping[str, Any], trusted: tuple[Network, ...]) -> str:
    """Return the address of the client, in its canonical form.

    It is the peer of the connection, unless that is a trusted proxy. Then `X-Forwarded-For`
    is walked from the right, where each proxy appends whom it spoke with: the first address
    that is no trusted proxy is the client, and what stands left of it is the client's own
    claim. A header that is malformed on the way there, or too long, is not believed at all: the
    peer counts. If everybody in it is trusted, the leftmost is the client.
    """
    client = scope.get("client")
    peer, text = _peer(client[0]) if client else (None, _UNKNOWN)
    if peer is None:
        return _UNKNOWN  # a socket without addresses
    if not trusted or not _among(peer, trusted):
        return text
    forwarded = b",".join(value for name, value in scope["headers"] if name == _HEADER)
    if not forwarded or len(forwarded) > MAX_FORWARDED:
        return text
    found = peer
    for part in reversed(forwarded.decode("latin-1").split(",")):
        hop = _parsed(part.strip(" \t"))
        if hop is None:
            return text
        found = hop
        if not _among(hop, trusted):
            break
    return str(found)


def counted_as(address: str) -> str:
    """Return what an address is counted as: an IPv6 one as its /64, which one host has to itself.

    Without that, whoever has a /64 has 2^64 addresses to fail from.
    """
    parsed = _parsed(address)
    if isinstance(parsed, IPv6Address):
        return str(IPv6Network((int(parsed) >> 64 << 64, 64)))
    return address


def parse_networks(raw: str, *, setting: str) -> tuple[Network, ...]:
    """Return the networks that a setting lists, separated by commas; an address is its own.

    Raises:
        ConfigurationError: one is no network, or is everybody.
    """
    networks: list[Network] = []
    for part in filter(None, (part.strip() for part in raw.split(","))):
        try:
            network = ipaddress.ip_network(part)
        except ValueError:
            raise ConfigurationError(
                f"{setting} has {part!r}; use networks such as 10.0.0.0/8 or fd00::/8, "
                "without host bits."
            ) from None
        if network.prefixlen == 0:
            raise ConfigurationError(
                f"{setting} has {part!r}, which trusts everybody; name your proxies' networks."
            )
        networks.append(network)
    return tuple(networks)


def _among(address: IPv4Address | IPv6Address, networks: Iterable[Network]) -> bool:
    return any(address in network for network in networks)


@lru_cache(maxsize=4096)
def _peer(text: str) -> tuple[IPv4Address | IPv6Address | None, str]:
    """A peer's address, and its canonical form; what a header says is not remembered."""
    address = _parsed(text)
    return address, str(address)


def _parsed(text: str) -> IPv4Address | IPv6Address | None:
    """The address; one of IPv4 inside IPv6 is the IPv4 one, and a zone (``%eth0``) is cut off."""
    try:
        address = ipaddress.ip_address(text.partition("%")[0])
    except ValueError:
        return None
    if isinstance(address, IPv6Address) and address.ipv4_mapped is not None:
        return address.ipv4_mapped
    return address
