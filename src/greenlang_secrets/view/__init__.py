"""`SecretsView`: what may be done with the secrets of one scope, by one principal.

A view is light: make one per request. Reading, following, explaining, rotating and
writing are a file each.
"""

from __future__ import annotations

from greenlang_secrets.view.core import Core
from greenlang_secrets.view.explaining import Explaining, Explanation
from greenlang_secrets.view.following import Following, Subscription, Watch
from greenlang_secrets.view.rotating import Rotating
from greenlang_secrets.view.typed import Typed
from greenlang_secrets.view.writing import Writing

__all__ = ["Core", "Explanation", "SecretsView", "Subscription", "Watch"]


class SecretsView(Explaining, Following, Rotating, Typed, Writing):
    """Secrets of one scope; get one from `SecretsService.scoped` or `for_tenant`."""
