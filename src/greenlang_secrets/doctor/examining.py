"""The whole examination: what can be asked is asked, and what depends on a fault is left out."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from pathlib import Path

from greenlang_secrets.config import SecretsServiceConfig
from greenlang_secrets.doctor.audit_log import examine_audit_log
from greenlang_secrets.doctor.connection import examine_address
from greenlang_secrets.doctor.findings import Diagnosis, Finding, Level
from greenlang_secrets.doctor.login import examine_login
from greenlang_secrets.paths import PLATFORM, Scope

__all__ = ["examine"]


async def examine(
    config: SecretsServiceConfig,
    *,
    scope: Scope = PLATFORM,
    paths: tuple[str, ...] = (),
    write: bool = False,
    service: bool = False,
    audit_log: Path | None = None,
    audit_log_wanted: bool = True,
    clock: Callable[[], float] | None = None,
) -> Diagnosis:
    """Return how it is with the Vault of `config`, step by step, and with an audit log.

    It reads no secret and changes nothing; a login is made, and given back. With `paths`, it is
    asked whether the token may read them in `scope`, and with `write` also change them; with `service`, whether it may do what the API
    does for itself. Takes
    some seconds at most where Vault is away. `clock` gives seconds since the epoch;
    this machine's when None.

    Raises:
        InvalidPath, ReservedName: a path is outside the grammar; nothing was asked.
    """
    clock = clock or time.time  # now, and not as it was when this module was read
    found: list[Finding] = []
    usable = False
    for address in config.addresses:
        at_one = await examine_address(address, config, clock)
        usable = usable or at_one[-1].level is not Level.FAULT
        found += at_one
    if usable:
        found += await examine_login(
            config, scope=scope, paths=paths, write=write, service=service, clock=clock
        )
    else:
        what = "not tried, as no address leads to a usable Vault"
        found.append(
            Finding(check="login", subject=config.auth.method, level=Level.UNKNOWN, what=what)
        )
    if audit_log is not None:
        found.append(await asyncio.to_thread(examine_audit_log, audit_log, wanted=audit_log_wanted))
    return Diagnosis(findings=tuple(found))
