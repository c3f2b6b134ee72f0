"""Changes made elsewhere: heard of at once, instead of when a value stops being fresh.

Two sources, each of them optional. Other replicas tell of their writes by PostgreSQL's
``LISTEN/NOTIFY`` (`notices`), and whatever anybody writes stands in Vault's audit file
(`vault_audit`). Neither is trusted: what is heard costs reads, and takes nothing away.
Where a message may have been missed, everything is read anew.

`notices` is not imported here: it needs asyncpg, and the other source does not.
"""

from greenlang_secrets.invalidation.config import InvalidationConfig
from greenlang_secrets.invalidation.hearing import Invalidation
from greenlang_secrets.invalidation.revalidation import Revalidation, RevalidationStats
from greenlang_secrets.invalidation.vault_audit import VaultAuditTail

__all__ = [
    "Invalidation",
    "InvalidationConfig",
    "Revalidation",
    "RevalidationStats",
    "VaultAuditTail",
]
