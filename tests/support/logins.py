"""Logins with any auth method, and what they show when they fail."""

from __future__ import annotations

import traceback
from dataclasses import replace
from pathlib import Path

import pytest

from greenlang_secrets.config import AuthConfig, SecretsServiceConfig
from greenlang_secrets.errors import AuthenticationLost
from greenlang_secrets.transport import Transport
from greenlang_secrets.vault.auth import VaultToken, auth_method

_TESTS = Path(__file__).resolve().parents[1]


async def log_in(config: SecretsServiceConfig, auth: AuthConfig) -> VaultToken:
    """Log in once, as the service does at its start."""
    async with Transport(replace(config, auth=auth)) as transport:
        return await auth_method(auth).login(transport)


async def refusal(config: SecretsServiceConfig, auth: AuthConfig) -> AuthenticationLost:
    """Return why a login is refused."""
    with pytest.raises(AuthenticationLost) as caught:
        await log_in(config, auth)
    return caught.value


def with_locals(error: BaseException) -> str:
    """Return what a log shows of an error at worst: its traceback with local variables.

    From where the test is left on: its own variables hold the secret that is looked for.
    """
    trace = error.__traceback__
    while trace is not None and str(_TESTS) in trace.tb_frame.f_code.co_filename:
        trace = trace.tb_next
    shown = traceback.TracebackException(type(error), error, trace, capture_locals=True)
    return "".join(shown.format())
