"""What the token store answers: a new token, and what is known of an old one."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime

from greenlang_secrets.sensitive import SecretValue
from greenlang_secrets.transport import VaultResponse
from greenlang_secrets.vault.answers import Fields, warnings_of

__all__ = ["CreatedToken", "RenewedToken", "TokenInfo", "created_token_of", "renewed_token_of"]


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class CreatedToken:
    """A token that was just made.

    Attributes:
        accessor: names the token without being it; empty for batch tokens.
        policies: all that it has, ``default`` and those of its identity included.
        ttl: seconds from `asked_at`; 0 for ever.
        type: service or batch; a batch token is neither renewed nor revoked.
        num_uses: requests it is good for, lookups included; 0 for any number.
        capped: whether Vault gave it less life than was asked for.
        asked_at: monotonic seconds at which it was asked for.
        warnings: Vault's words, for an operator.
    """

    token: SecretValue
    accessor: str
    policies: tuple[str, ...]
    ttl: float
    renewable: bool
    orphan: bool
    type: str
    num_uses: int
    entity_id: str
    capped: bool
    asked_at: float
    warnings: tuple[str, ...] = field(repr=False)


@dataclass(frozen=True, slots=True, kw_only=True)
class RenewedToken:
    """What a renewal gave.

    Attributes:
        ttl: seconds from `asked_at`; shrinks from renewal to renewal near the token's end.
        capped: whether it is less than was asked for: the end is near.
        asked_at: monotonic seconds at which it was asked for.
        warnings: Vault's words, for an operator.
    """

    ttl: float
    renewable: bool
    capped: bool
    asked_at: float
    warnings: tuple[str, ...] = field(repr=False)


@dataclass(frozen=True, slots=True, kw_only=True)
class TokenInfo:
    """What Vault knows of a token; not the token.

    Attributes:
        ttl: seconds left; 0 for a token without end.
        period: seconds; a periodic token renews to this again and again. 0 for others.
        explicit_max_ttl: seconds; 0 for none but the mount's.
        expires_at: None for a token without end.
        path: the request that made it.
        metadata: what its maker wrote down, such as a user name.
    """

    accessor: str
    display_name: str
    policies: tuple[str, ...]
    identity_policies: tuple[str, ...]
    ttl: float
    period: float
    explicit_max_ttl: float
    created_at: datetime
    expires_at: datetime | None
    renewable: bool
    orphan: bool
    type: str
    num_uses: int
    entity_id: str
    path: str
    metadata: Mapping[str, str]

    @classmethod
    def parsed(cls, fields: Fields) -> TokenInfo:
        """Return what a lookup answered; its `id`, the token, is not looked at."""
        return cls(
            accessor=fields.text("accessor"),
            display_name=fields.text("display_name"),
            policies=fields.texts("policies", absent=()),
            identity_policies=fields.texts("identity_policies", absent=()),
            ttl=fields.seconds("ttl"),
            period=fields.seconds("period", absent=0),
            explicit_max_ttl=fields.seconds("explicit_max_ttl", absent=0),
            created_at=fields.moment("creation_time"),
            expires_at=fields.moment_or_none("expire_time"),
            renewable=fields.flag("renewable", absent=False),  # root has no such field
            orphan=fields.flag("orphan"),
            type=fields.text("type"),
            num_uses=fields.whole("num_uses"),
            entity_id=fields.text("entity_id", absent=""),
            path=fields.text("path"),
            metadata=fields.part("meta").texts_by_name() if fields.has("meta") else {},
        )


def created_token_of(answer: VaultResponse, *, asked_for: float | None) -> CreatedToken:
    """Return the token in an answer's `auth`; `asked_for` is the TTL that was asked for.

    Raises:
        VaultProtocolError: there is none.
    """
    auth = Fields(answer.body).part("auth")
    ttl = auth.seconds("lease_duration")
    return CreatedToken(
        token=auth.secret("client_token"),
        accessor=auth.text("accessor", absent=""),
        policies=auth.texts("policies", absent=()),
        ttl=ttl,
        renewable=auth.flag("renewable"),
        orphan=auth.flag("orphan"),
        type=auth.text("token_type"),
        num_uses=auth.whole("num_uses", absent=0),
        entity_id=auth.text("entity_id", absent=""),
        capped=asked_for is not None and ttl < asked_for,
        asked_at=answer.asked_at,
        warnings=warnings_of(answer),
    )


def renewed_token_of(answer: VaultResponse, *, asked_for: float | None) -> RenewedToken:
    """Return what a renewal gave; `asked_for` is the increment that was asked for.

    Raises:
        VaultProtocolError: the answer has no `auth`.
    """
    auth = Fields(answer.body).part("auth")
    ttl = auth.seconds("lease_duration")
    return RenewedToken(
        ttl=ttl,
        renewable=auth.flag("renewable"),
        capped=asked_for is not None and ttl < asked_for,
        asked_at=answer.asked_at,
        warnings=warnings_of(answer),
    )
