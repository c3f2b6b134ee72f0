"""Certificates that are followed by the next one in time."""

from __future__ import annotations

import time
from collections.abc import Sequence

from greenlang_secrets.credentials import TlsCertificate
from greenlang_secrets.leases.leased import Fetch, Leased
from greenlang_secrets.lifetime import Term
from greenlang_secrets.vault.answers import Call
from greenlang_secrets.vault.pki import Pki

__all__ = ["issued"]


def issued(
    role: str, *, common_name: str, alt_names: Sequence[str], ttl: float | None, mount: str
) -> Fetch[TlsCertificate]:
    """Return a fetch of a new certificate and key; its life is what it really has, not what was
    asked for. Nothing is revoked: the one before is valid to its own end.
    """

    async def fetch(call: Call) -> Leased[TlsCertificate]:
        asked_at = time.monotonic()
        made = await Pki(call, mount=mount).issue(
            role, common_name=common_name, alt_names=alt_names, ttl=ttl
        )
        return Leased(
            value=TlsCertificate.issued(made),
            known_by=made.private_key,
            term=Term(
                granted_at=asked_at,
                duration=made.lifetime,
                wanted=made.lifetime,
                renewable=False,
            ),
        )

    return fetch
