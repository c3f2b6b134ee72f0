"""The observable gauges: computed at each scrape from the services that are open, so that none is
forgotten and none outlives its service.

Of two services in one process what is held adds up, and of what may end the first to do so is
told. A node that two services know is shown once.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable
from typing import Final

from opentelemetry.metrics import CallbackOptions, Meter, Observation

from greenlang_secrets.model import SecretType
from greenlang_secrets.telemetry.labels import SERVING, CircuitState, NodeState, type_label
from greenlang_secrets.telemetry.sources import CacheStats, Life
from greenlang_secrets.telemetry.tally import services

__all__ = ["add_gauges"]

_Read = Callable[[], Iterable[Observation]]

_LEASED: Final = (SecretType.DATABASE, SecretType.CERTIFICATE, SecretType.SERVICE_TOKEN)
"""Counted from the start, with 0."""


def add_gauges(meter: Meter) -> None:
    """Give `meter` the gauges."""
    for name, unit, read, description in _GAUGES:
        meter.create_observable_gauge(
            name, callbacks=[_called(read)], unit=unit, description=description
        )


def _called(read: _Read) -> Callable[[CallbackOptions], Iterable[Observation]]:
    def callback(_: CallbackOptions) -> Iterable[Observation]:
        return read()

    return callback


# ---------------------------------------------------------------- what Vault granted


def _tokens() -> list[Life]:
    return [life for each in services() if (life := each.sources.token()) is not None]


def _lives() -> list[Life]:
    return [*_tokens(), *(life for each in services() for life in each.sources.leases())]


def _ending(lives: Iterable[Life]) -> list[Life]:
    """What has an end: the SDK has no infinity, and would log each."""
    return [life for life in lives if math.isfinite(life.left) and math.isfinite(life.granted)]


def _first_to_end() -> dict[str, Life]:
    first: dict[str, Life] = {}
    for life in _ending(_lives()):
        label = type_label(life.secret_type)
        if label not in first or life.left < first[label].left:
            first[label] = life
    return first


def _lease_left() -> Iterable[Observation]:
    return [
        Observation(life.left, {"secret_type": label}) for label, life in _first_to_end().items()
    ]


def _lease_granted() -> Iterable[Observation]:
    return [
        Observation(life.granted, {"secret_type": label}) for label, life in _first_to_end().items()
    ]


def _leases() -> Iterable[Observation]:
    held = dict.fromkeys(map(type_label, _LEASED), 0)
    for life in _lives():
        label = type_label(life.secret_type)
        held[label] = held.get(label, 0) + 1
    return [Observation(count, {"secret_type": label}) for label, count in held.items()]


def _token_left() -> Iterable[Observation]:
    tokens = _ending(_tokens())
    return [Observation(min(life.left for life in tokens))] if tokens else []


# ---------------------------------------------------------------- the cache


def _cached(read: Callable[[CacheStats], float], join: Callable[[Iterable[float]], float]) -> _Read:
    def observe() -> Iterable[Observation]:
        return [Observation(join([0, *(read(each.sources.cache()) for each in services())]))]

    return observe


# ---------------------------------------------------------------- nodes


def _in_flight() -> Iterable[Observation]:
    return [Observation(sum(each.sources.in_flight() for each in services()))]


def _circuits() -> Iterable[Observation]:
    opened: dict[str, bool] = {}
    for each in services():
        for node, is_open in each.sources.circuits().items():
            opened[node] = opened.get(node, False) or is_open
    return [
        Observation(
            int(is_open == (state is CircuitState.OPEN)), {"node": node, "state": state.value}
        )
        for node, is_open in opened.items()
        for state in CircuitState
    ]


def _nodes() -> dict[str, NodeState]:
    return {node: state for each in services() for node, state in each.sources.nodes().items()}


def _up() -> Iterable[Observation]:
    return [Observation(int(state in SERVING), {"node": node}) for node, state in _nodes().items()]


def _states() -> Iterable[Observation]:
    return [
        Observation(int(found is state), {"node": node, "state": state.value})
        for node, found in _nodes().items()
        for state in NodeState
    ]


def _canary() -> Iterable[Observation]:
    tried = [found for each in services() if (found := each.sources.canary()) is not None]
    return [Observation(int(all(tried)))] if tried else []


_GAUGES: Final[tuple[tuple[str, str, _Read, str], ...]] = (
    (
        "gl_vault_lease_ttl",
        "s",
        _lease_left,
        "Time left of what Vault granted, of the first to end; none for what has no end.",
    ),
    (
        "gl_vault_lease_granted",
        "s",
        _lease_granted,
        "Time that the first to end was granted.",
    ),
    ("gl_vault_leases", "{lease}", _leases, "Leases held, the service's own token among them."),
    (
        "gl_vault_token_ttl",
        "s",
        _token_left,
        "Time left of the service's own token; none for one without end.",
    ),
    (
        "gl_secrets_cache_entries",
        "{entry}",
        _cached(lambda stats: stats.entries, math.fsum),
        "Entries in the cache.",
    ),
    (
        "gl_secrets_cache_bytes",
        "By",
        _cached(lambda stats: stats.bytes, math.fsum),
        "Octets in the cache, as it reckons them.",
    ),
    (
        "gl_secrets_cache_oldest_stale",
        "s",
        _cached(lambda stats: stats.oldest_stale, max),
        "Age of the oldest value served stale lately; 0 if none was.",
    ),
    (
        "gl_vault_requests_in_flight",
        "{request}",
        _in_flight,
        "Requests sent to Vault and not answered yet.",
    ),
    (
        "gl_vault_circuit_state",
        "1",
        _circuits,
        "1 for the state that a node's circuit is in, 0 for the other.",
    ),
    ("gl_vault_up", "1", _up, "1 if a node is active or a standby, 0 if it serves nobody."),
    (
        "gl_vault_node_state",
        "1",
        _states,
        "1 for the state that a node is in, 0 for the others.",
    ),
    (
        "gl_vault_canary_success",
        "1",
        _canary,
        "1 if a real request worked lately, 0 if it did not.",
    ),
)
