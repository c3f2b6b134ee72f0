"""The desired state of a Vault, made so: `provision`.

Mounts, policies, auth and roles are read, compared, and written where they differ; a
second run writes nothing. Only settings named here are compared: what an operator has
set beside them stays. It removes nothing. No endpoint is OpenBao's alone.
"""

from __future__ import annotations

from collections.abc import Callable

from greenlang_secrets.errors import AccessDenied
from greenlang_secrets.provision.consumers import Consumers, read_consumers
from greenlang_secrets.provision.engines import (
    auth,
    database,
    mounts,
    pki,
    policies,
    transit,
)
from greenlang_secrets.provision.logins import audit, kubernetes
from greenlang_secrets.provision.reconcile import Change, Reconciliation
from greenlang_secrets.provision.wanted import Desired
from greenlang_secrets.vault import VaultClient

__all__ = ["Change", "Consumers", "Desired", "provision", "read_consumers"]


async def provision(
    client: VaultClient,
    desired: Desired | None = None,
    *,
    plan: bool = False,
    on_look: Callable[[str], None] = lambda _: None,
) -> list[Change]:
    """Make a Vault what `desired` says and return what was changed, in order.

    With `plan` nothing is written, and the changes are those that a run would make. `on_look` is
    told each path that is looked at. The client's token must be an administrator's. A run that was interrupted is completed by
    the next one.

    Raises:
        AccessDenied: the token may not provision.
        ConfigurationError: a mount exists with another type, the PostgreSQL URL lacks
            something, or an audit device must be set in the server's configuration.
        VaultRefused: Vault refuses a setting, or cannot log in to PostgreSQL.
        VaultUnavailable, OutcomeUnknown: no answer came; run it again.
    """
    state = Reconciliation(client, plan=plan, on_look=on_look)
    desired = desired or Desired()
    try:
        if desired.consumers.audit is not None:  # first, so that it shows what comes
            await audit(state, desired.consumers.audit)
        await mounts(state, desired)
        await policies(state, desired)
        await auth(state)
        if desired.consumers.kubernetes is not None:
            await kubernetes(state, desired.consumers.kubernetes)
        await transit(state)
        await pki(state, desired)
        if desired.postgres_url is not None:
            await database(state, desired, desired.postgres_url)
    except AccessDenied:
        raise AccessDenied(
            "Vault does not let this token provision; use an administrator's token."
        ) from None
    return state.changes
