"""What is kept beside Vault, in a database: the index of secrets, answers to repeated requests,
the copy of the audit log. Never a value.

Needs ``pip install 'greenlang-secrets[catalogue]'``, for PostgreSQL ``[postgres]``. Vault
stays the only source of truth; without the database secrets work all the same.
"""

from greenlang_secrets.catalogue.catalogue import Catalogue, CatalogueHealth
from greenlang_secrets.catalogue.config import CatalogueConfig

__all__ = ["Catalogue", "CatalogueConfig", "CatalogueHealth"]
