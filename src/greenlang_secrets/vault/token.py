"""The token store: make tokens for others, look at them, renew and revoke them.

The service's own token is kept by `session`; this is for tokens that are handed on. An
accessor names a token without being it, so that it may be stored and used to revoke. Roles
are left to `token_roles`.

Vault says 403 to a lookup of a dead token and to a lookup that the policy forbids, in words
that differ between servers. One question about our own capabilities tells them apart.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Literal

from greenlang_secrets.errors import (
    AccessDenied,
    NotRenewable,
    ObjectNotFound,
    SecretsError,
    VaultError,
    VaultRefused,
)
from greenlang_secrets.paths import ApiPath
from greenlang_secrets.sensitive import SecretValue
from greenlang_secrets.transport import VaultRequest, VaultResponse
from greenlang_secrets.vault.answers import (
    Call,
    accepted,
    given,
    names_of,
    ttl_text,
    why_refused,
)
from greenlang_secrets.vault.sys_capabilities import Capabilities
from greenlang_secrets.vault.token_roles import TokenRoles
from greenlang_secrets.vault.token_values import (
    CreatedToken,
    RenewedToken,
    TokenInfo,
    created_token_of,
    renewed_token_of,
)

__all__ = ["Tokens"]


class Tokens:
    """The token store, spoken to with one token; `call` sends a request with that token.

    Every method also raises what `TokenHolder.call` raises.

    Attributes:
        roles: templates for tokens.
    """

    def __init__(self, call: Call) -> None:
        self.roles = TokenRoles(call)
        self._call = call
        self._capabilities = Capabilities(call)

    # ------------------------------------------------------------ create

    async def create(
        self,
        *,
        role: str | None = None,
        policies: Sequence[str] | None = None,
        ttl: float | None = None,
        explicit_max_ttl: float | None = None,
        period: float | None = None,
        num_uses: int | None = None,
        renewable: bool | None = None,
        no_default_policy: bool = False,
        entity_alias: str | None = None,
        display_name: str | None = None,
        metadata: Mapping[str, str] | None = None,
        type: Literal["service", "batch"] | None = None,  # noqa: A002  Vault's own word
    ) -> CreatedToken:
        """Return a new child of the token in use; of `role`, what that says. Times in seconds.

        ``POST /v1/auth/token/create[/{role}]`` (Vault API: Token, "Create Token"). Without
        `policies` it has those of its parent. A child is revoked with its parent, and its
        leases with it: for what must outlive this process use an orphan. `entity_alias` needs
        a role. An attempt without answer is repeated: the token it may have made ends by its TTL.

        Raises:
            ObjectNotFound: there is no such role.
            VaultRefused: the role does not allow a policy, or the options do not fit.
            AccessDenied: the token's policies do not allow it.
        """
        body = given(
            policies=None if policies is None else list(policies),
            ttl=ttl_text(ttl),
            explicit_max_ttl=ttl_text(explicit_max_ttl),
            period=ttl_text(period),
            num_uses=num_uses,
            renewable=renewable,
            no_default_policy=no_default_policy,
            entity_alias=entity_alias,
            display_name=display_name,
            meta=None if metadata is None else dict(metadata),
            type=type,
        )
        parts = ("create",) if role is None else ("create", role)
        answer = await self._post(*parts, body=body)
        if role is not None and not answer.ok:
            raise await why_refused(
                self._call, answer, ApiPath.of("auth", "token", "roles", role), "role"
            )
        accepted(answer)
        return created_token_of(answer, asked_for=ttl)

    async def create_orphan(
        self,
        *,
        policies: Sequence[str],
        ttl: float | None = None,
        explicit_max_ttl: float | None = None,
        period: float | None = None,
        num_uses: int | None = None,
        renewable: bool | None = None,
        display_name: str | None = None,
        metadata: Mapping[str, str] | None = None,
    ) -> CreatedToken:
        """Return a new token without parent: it lives on when the token in use ends.

        ``POST /v1/auth/token/create-orphan`` (Vault API: Token, "Create Token"). A role with
        `orphan` does the same for tokens whose policy may not do this.

        Raises:
            VaultRefused: the options do not fit.
            AccessDenied: the token's policies do not allow it.
        """
        body = given(
            policies=list(policies),
            ttl=ttl_text(ttl),
            explicit_max_ttl=ttl_text(explicit_max_ttl),
            period=ttl_text(period),
            num_uses=num_uses,
            renewable=renewable,
            display_name=display_name,
            meta=None if metadata is None else dict(metadata),
        )
        answer = await self._post("create-orphan", body=body)
        accepted(answer)
        return created_token_of(answer, asked_for=ttl)

    # ------------------------------------------------------------ look up

    async def lookup(self, token: SecretValue) -> TokenInfo:
        """Return what Vault knows of a token. This is one of its uses, if those are counted.

        ``POST /v1/auth/token/lookup`` (Vault API: Token, "Lookup a Token").

        Raises:
            ObjectNotFound: it has ended, was revoked, or never was one.
            AccessDenied: the token in use may not look others up.
        """
        return await self._look("lookup", {"token": token.reveal()})

    async def lookup_self(self) -> TokenInfo:
        """Return what Vault knows of the token in use.

        ``GET /v1/auth/token/lookup-self`` (Vault API: Token, "Lookup a Token (Self)").

        Raises:
            AccessDenied: it lacks the policy ``default``, which allows to ask.
        """
        path = ApiPath.of("auth", "token", "lookup-self")
        answer = await self._call(VaultRequest(method="GET", path=path))
        return TokenInfo.parsed(accepted(answer))

    async def lookup_accessor(self, accessor: str) -> TokenInfo:
        """Return what Vault knows of the token with this accessor.

        ``POST /v1/auth/token/lookup-accessor`` (Vault API: Token, "Lookup a Token (Accessor)").

        Raises:
            ObjectNotFound: its token has ended, was revoked, or never was.
            AccessDenied: the token in use may not look others up.
        """
        return await self._look("lookup-accessor", {"accessor": accessor})

    async def list_accessors(self) -> tuple[str, ...]:
        """Return the accessors of all tokens: whoever has them can revoke everything.

        ``LIST /v1/auth/token/accessors`` (Vault API: Token, "List Accessors"; needs `sudo`).

        Raises:
            AccessDenied: the token's policies do not allow it.
        """
        path = ApiPath.of("auth", "token", "accessors")
        return names_of(await self._call(VaultRequest(method="LIST", path=path)))

    # ------------------------------------------------------------ renew

    async def renew(self, token: SecretValue, *, increment: float | None = None) -> RenewedToken:
        """Return what the renewal gave; `increment` in seconds, the token's own TTL when None.

        ``POST /v1/auth/token/renew`` (Vault API: Token, "Renew a Token").

        Raises:
            ObjectNotFound: it has ended, was revoked, or never was one.
            NotRenewable: it lives to its end and no longer.
            AccessDenied: the token in use may not renew others.
        """
        credentials = {"token": token.reveal()}
        return await self._renew("renew", credentials, increment, "lookup")

    async def renew_self(self, *, increment: float | None = None) -> RenewedToken:
        """Return what the renewal of the token in use gave.

        ``POST /v1/auth/token/renew-self`` (Vault API: Token, "Renew a Token (Self)").

        Raises:
            NotRenewable: it lives to its end and no longer; so does a root token.
            AccessDenied: it lacks the policy ``default``, which allows it.
        """
        return await self._renew("renew-self", {}, increment, None)

    async def renew_accessor(
        self, accessor: str, *, increment: float | None = None
    ) -> RenewedToken:
        """Return what the renewal of the token with this accessor gave.

        ``POST /v1/auth/token/renew-accessor`` (Vault API: Token, "Renew a Token (Accessor)").

        Raises:
            ObjectNotFound, NotRenewable, AccessDenied: as `renew`.
        """
        return await self._renew(
            "renew-accessor", {"accessor": accessor}, increment, "lookup-accessor"
        )

    # ------------------------------------------------------------ revoke

    async def revoke(self, token: SecretValue) -> None:
        """Revoke a token, its children and all their leases; succeeds too for a dead one.

        ``POST /v1/auth/token/revoke`` (Vault API: Token, "Revoke a Token").

        Raises:
            AccessDenied: the token's policies do not allow it.
        """
        accepted(await self._post("revoke", body={"token": token.reveal()}))

    async def revoke_self(self) -> None:
        """Revoke the token in use, its children and all their leases.

        ``POST /v1/auth/token/revoke-self`` (Vault API: Token, "Revoke a Token (Self)"). The
        session logs in again at the next request.

        Raises:
            AccessDenied: it lacks the policy ``default``, which allows it.
        """
        accepted(await self._post("revoke-self", body={}))

    async def revoke_accessor(self, accessor: str) -> None:
        """Revoke the token with this accessor, its children and all their leases; succeeds
        too for one that is unknown.

        ``POST /v1/auth/token/revoke-accessor`` (Vault API: Token, "Revoke a Token Accessor").

        Raises:
            AccessDenied: the token's policies do not allow it.
        """
        accepted(await self._post("revoke-accessor", body={"accessor": accessor}))

    async def revoke_orphan(self, token: SecretValue) -> None:
        """Revoke a token alone: its children become orphans and live on.

        ``POST /v1/auth/token/revoke-orphan`` (Vault API: Token, "Revoke Token and Orphan
        Children"; needs `sudo`).

        Raises:
            ObjectNotFound: it has ended, was revoked, or never was one.
            AccessDenied: the token's policies do not allow it.
        """
        credentials = {"token": token.reveal()}
        answer = await self._post("revoke-orphan", body=credentials)
        if not answer.ok:
            raise await self._why(answer, "revoke-orphan", credentials, "lookup")

    async def tidy(self) -> None:
        """Start to remove what dead tokens left behind; does not wait for it.

        ``POST /v1/auth/token/tidy`` (Vault API: Token, "Tidy Tokens").

        Raises:
            AccessDenied: the token's policies do not allow it.
        """
        accepted(await self._post("tidy", body={}))

    # ------------------------------------------------------------ how it is asked

    async def _post(self, *parts: str, body: Mapping[str, Any]) -> VaultResponse:
        path = ApiPath.of("auth", "token", *parts)
        return await self._call(VaultRequest(method="POST", path=path, body=body, repeatable=True))

    async def _look(self, how: str, credentials: Mapping[str, str]) -> TokenInfo:
        answer = await self._post(how, body=credentials)
        if answer.ok:
            return TokenInfo.parsed(accepted(answer))
        if answer.status in {400, 403} and await self._may(how):
            raise ObjectNotFound("token")
        raise AccessDenied if answer.status == 403 else VaultRefused(status=answer.status)

    async def _renew(
        self, how: str, credentials: Mapping[str, str], increment: float | None, look: str | None
    ) -> RenewedToken:
        body = {**credentials, **given(increment=ttl_text(increment))}
        answer = await self._post(how, body=body)
        if answer.ok:
            return renewed_token_of(answer, asked_for=increment)
        if look is None and answer.status == 400:
            raise NotRenewable
        raise await self._why(answer, how, credentials, look or how)

    async def _why(
        self, answer: VaultResponse, how: str, credentials: Mapping[str, str], look: str
    ) -> SecretsError:
        """Why a token was refused, by asking whether it lives and not by reading the text."""
        if answer.status == 403 and not await self._may(how):
            return AccessDenied()
        try:
            await self._look(look, credentials)
        except ObjectNotFound as missing:
            return missing.again()
        except (AccessDenied, VaultError):
            return VaultRefused(status=answer.status)
        return NotRenewable() if answer.status == 400 else AccessDenied()

    async def _may(self, how: str) -> bool:
        """Whether the token in use may do this at all."""
        path = f"auth/token/{how}"
        try:
            [found] = await self._capabilities.of_self([path])
        except AccessDenied:
            return False
        return found.allows("update")
