"""What the lifespan opens and every request may use."""

from __future__ import annotations

from typing import TypedDict

from greenlang_secrets.audit import AuditLog
from greenlang_secrets.catalogue import Catalogue
from greenlang_secrets.invalidation import Invalidation
from greenlang_secrets.rotation.manager import RotationManager
from greenlang_secrets.service import SecretsService
from greenlang_secrets_api.auth import Authenticator
from greenlang_secrets_api.health_check import HealthCheck
from greenlang_secrets_api.indexing import Indexing
from greenlang_secrets_api.keyring import Keyring
from greenlang_secrets_api.metrics import Metrics
from greenlang_secrets_api.overload import WorkLimit
from greenlang_secrets_api.rate_limit import RateLimiter

__all__ = ["State"]


class State(TypedDict):
    """The lifespan's state, as `scope["state"]` carries it.

    Attributes:
        started_at: monotonic seconds.
    """

    service: SecretsService
    audit_log: AuditLog
    keyring: Keyring
    work: WorkLimit
    limiter: RateLimiter
    invalidation: Invalidation
    catalogue: Catalogue
    indexing: Indexing
    rotation: RotationManager
    authenticator: Authenticator
    health: HealthCheck
    metrics: Metrics
    started_at: float
