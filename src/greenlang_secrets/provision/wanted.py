"""What differs from one Vault to the next: an operator's choices beside our constants."""

from __future__ import annotations

from dataclasses import dataclass, field

from greenlang_secrets.config import Environment
from greenlang_secrets.provision.consumers import Consumers
from greenlang_secrets.sensitive import SecretValue

__all__ = ["Desired"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Desired:
    """What differs from one Vault to the next.

    Attributes:
        kv_mount: the KV v2 mount.
        postgres_url: ``postgresql://user:password@host:port/database`` of a user that may
            create roles; None leaves the database engine without a connection. Vault does
            not give a password back, so a changed one is only written along with a change
            of host, port, user or database.
        environment: its `lease_ttl` is how long a dynamic credential lives at most, however often
            it is renewed and whatever its role says.
        consumers: policies and roles of an operator's files, from `read_consumers`.
    """

    kv_mount: str = "secret"
    postgres_url: SecretValue | None = None
    environment: Environment = Environment.DEVELOPMENT
    consumers: Consumers = field(default_factory=Consumers)
