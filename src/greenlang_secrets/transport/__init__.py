"""Requests to Vault over HTTP.

Owns addresses and failover, deadlines, the one layer of retries, the cap on answers, and
the translation of every way to fail into one of our errors. It leaves tokens to
`vault.session` and the meaning of 200, 400, 403 and 404 to the engines.
"""

from __future__ import annotations

from greenlang_secrets.transport.messages import Method, VaultRequest, VaultResponse
from greenlang_secrets.transport.places import MAX_IN_FLIGHT, MAX_WAIT, MAX_WAITING
from greenlang_secrets.transport.sender import Transport
from greenlang_secrets.transport.states import EVERY_STATE, NodeStates
from greenlang_secrets.transport.wire import MAX_RESPONSE, READ_TIMEOUT

__all__ = [
    "EVERY_STATE",
    "MAX_IN_FLIGHT",
    "MAX_RESPONSE",
    "MAX_WAIT",
    "MAX_WAITING",
    "READ_TIMEOUT",
    "Method",
    "NodeStates",
    "Transport",
    "VaultRequest",
    "VaultResponse",
]
