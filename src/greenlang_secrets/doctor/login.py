"""Behind the login: the token, the mount, what the token may do, and Vault's own audit device."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime
from typing import Final

from greenlang_secrets.background import Supervisor
from greenlang_secrets.config import SecretsServiceConfig
from greenlang_secrets.doctor.findings import Cause, Finding, Level
from greenlang_secrets.doctor.needed import Needed, needed
from greenlang_secrets.errors import (
    AccessDenied,
    AuthenticationLost,
    ConfigurationError,
    InvalidRequest,
    SecretsError,
)
from greenlang_secrets.paths import PLATFORM, ApiPath, Scope
from greenlang_secrets.vault import VaultClient
from greenlang_secrets.vault.token_values import TokenInfo

__all__ = ["examine_login"]

_ENDS_WITHIN: Final = 3600.0
"""Seconds of life left of a token that nobody renews, from which on it is warned of."""


async def examine_login(
    config: SecretsServiceConfig,
    *,
    scope: Scope,
    paths: tuple[str, ...],
    write: bool,
    service: bool,
    clock: Callable[[], float],
) -> list[Finding]:
    """Return what is found behind the login of `config`, in `scope` at `paths`.

    The tokens that it makes are revoked at the end, as those of every client.
    """
    method = config.auth.method
    found: list[Finding] = []
    try:
        async with Supervisor() as supervisor, VaultClient.open(config, supervisor) as client:
            await client.session.login()
            found.append(_login(method, await _info(client), clock()))
            found.append(await _mount(client, config.kv_mount))
            wanted = needed(config, scope, paths, write=write, service=service)
            found += await _capabilities(client, wanted)
            found.append(await _audit_device(client))
    except AuthenticationLost as error:
        found.append(_fault("login", method, str(error), Cause.LOGIN_REFUSED, _LOGIN_FIX))
    except (ConfigurationError, InvalidRequest) as error:
        found.append(_fault("login", method, str(error), Cause.CONFIGURATION, _SETTINGS_FIX))
    except SecretsError as error:
        found.append(_fault("login", method, str(error), Cause.VAULT_FAILS, _FAILS_FIX))
    return found


_LOGIN_FIX: Final = (
    "Renew the token or credential: it has expired, was revoked, or belongs to another Vault. "
    "One that expires again and again needs an auth method, GREENLANG_SECRETS_AUTH_METHOD."
)
_SETTINGS_FIX: Final = "Correct the setting: the reference of the configuration has every one."
_FAILS_FIX: Final = "Look into Vault's own log: its audit device, its storage, its leader."


async def _info(client: VaultClient) -> TokenInfo | None:
    try:
        return await client.tokens.lookup_self()
    except AccessDenied:
        return None  # it lacks the policy `default`


def _login(method: str, info: TokenInfo | None, now: float) -> Finding:
    if info is None:
        what = "accepted; the token may not look itself up, as it lacks the policy default"
        return Finding(check="login", subject=method, level=Level.OK, what=what)
    policies = ", ".join((*info.policies, *info.identity_policies)) or "none"
    if info.expires_at is None:
        what = f"accepted; a token without end, of the policies {policies}"
        return Finding(check="login", subject=method, level=Level.OK, what=what)
    what = f"accepted; the token ends at {info.expires_at.isoformat()}, of the policies {policies}"
    left = (info.expires_at - datetime.fromtimestamp(now, UTC)).total_seconds()
    if method == "token" and not info.renewable and left < _ENDS_WITHIN:
        return Finding(
            check="login",
            subject=method,
            level=Level.WARNING,
            what=what,
            cause=Cause.TOKEN_ENDS,
            fix="It cannot be renewed: replace it before, or set GREENLANG_SECRETS_AUTH_METHOD.",
        )
    return Finding(check="login", subject=method, level=Level.OK, what=what)


async def _mount(client: VaultClient, mount: str) -> Finding:
    fix = (
        f"Run greenlang-secrets provision, or set GREENLANG_SECRETS_KV_MOUNT; {mount!r} is it now."
    )
    try:
        found = await client.read(ApiPath.of("sys", "internal", "ui", "mounts", mount))
    except AccessDenied:
        what = "there is no such mount, or no policy of the token opens anything in it"
        return _fault("mount", mount, what, Cause.WRONG_MOUNT, fix)
    except SecretsError as error:
        return Finding(check="mount", subject=mount, level=Level.UNKNOWN, what=str(error))
    options = (found or {}).get("options")
    version = options.get("version") if isinstance(options, dict) else None
    if (found or {}).get("type") != "kv" or version != "2":
        return _fault("mount", mount, "it is no KV mount of version 2", Cause.WRONG_MOUNT, fix)
    return Finding(check="mount", subject=mount, level=Level.OK, what="KV version 2")


# ---------------------------------------------------------------- capabilities


async def _capabilities(client: VaultClient, wanted: tuple[Needed, ...]) -> list[Finding]:
    found: list[Finding] = []
    for scope in dict.fromkeys(need.scope for need in wanted):
        needs = [need for need in wanted if need.scope == scope]
        try:
            held = await client.capabilities_in(scope).of_self([need.path for need in needs])
        except AccessDenied:
            what = "the token may not ask what it may do, as it lacks the policy default"
            found.append(
                Finding(check="capability", subject=str(scope), level=Level.UNKNOWN, what=what)
            )
        except AuthenticationLost as error:
            fix = "Run greenlang-secrets provision: it makes the role, and the policy to use it."
            found.append(
                _fault("capability", str(scope), str(error), Cause.MISSING_CAPABILITY, fix)
            )
        else:
            found += [
                _judged(need, has.capabilities) for need, has in zip(needs, held, strict=True)
            ]
    return found


def _judged(need: Needed, held: frozenset[str]) -> Finding:
    missing = need.missing_of(held)
    has = ", ".join(sorted(held)) or "none"
    if not missing:
        what = f"{', '.join(need.capabilities)}: held ({has})"
        return Finding(check="capability", subject=need.path, level=Level.OK, what=what)
    listed = ", ".join(f'"{name}"' for name in need.capabilities)
    return Finding(
        check="capability",
        subject=need.path,
        level=Level.FAULT if need.required else Level.WARNING,
        what=f"{', '.join(missing)} is missing, held is {has}; needed {need.why}",
        cause=Cause.MISSING_CAPABILITY,
        fix=f'Add to a policy of the token: path "{need.path}" {{ capabilities = [{listed}] }}',
    )


# ---------------------------------------------------------------- Vault's audit device


async def _audit_device(client: VaultClient) -> Finding:
    """Whether Vault audits, where the token may ask: that takes `read` and `sudo`."""
    unknown = Finding(
        check="audit_device",
        subject="sys/audit",
        level=Level.UNKNOWN,
        what="the token may not ask which there are",
    )
    try:
        [may] = await client.capabilities_in(PLATFORM).of_self(["sys/audit"])
        if not (may.allows("read") and may.allows("sudo")):
            return unknown
        devices = await client.read(ApiPath.of("sys", "audit"))
    except SecretsError:
        return unknown
    if devices:
        what = f"{len(devices)} enabled: {', '.join(sorted(devices))}"
        return Finding(check="audit_device", subject="sys/audit", level=Level.OK, what=what)
    return Finding(
        check="audit_device",
        subject="sys/audit",
        level=Level.WARNING,
        what="none is enabled: Vault keeps no record of who read what",
        cause=Cause.NO_AUDIT_DEVICE,
        fix="Enable one, such as: vault audit enable file file_path=/vault/logs/audit.log",
    )


def _fault(check: str, subject: str, what: str, cause: Cause, fix: str) -> Finding:
    return Finding(check=check, subject=subject, level=Level.FAULT, what=what, cause=cause, fix=fix)
