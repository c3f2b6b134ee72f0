"""What the catalogue keeps of rotation, in one place: policies, the history, consumers."""

from __future__ import annotations

from greenlang_secrets.catalogue.rotation_consumers import RotationConsumers
from greenlang_secrets.catalogue.rotation_gauges import RotationNumbers
from greenlang_secrets.catalogue.rotation_history import RotationHistory
from greenlang_secrets.catalogue.rotation_policies import PageOrder, RotationPolicies, page_mark

__all__ = ["PageOrder", "RotationStore", "page_mark"]


class RotationStore(RotationPolicies, RotationHistory, RotationConsumers, RotationNumbers):
    """Policies with their standing and their clock, the history of runs, consumers, and what gauges tell.

    Raises, in each method:
        CatalogueUnavailable: the database gives no answer in time.
    """

    async def purge(self) -> int:
        """Remove runs and consumers whose time is over, of all scopes; return how many."""
        return await self.purge_history() + await self.purge_consumers()
