"""Declared needs: what a program reads, said once.

>>> import greenlang_secrets as gs
>>> class Needs(gs.Needs):
...     postgresql: gs.DatabaseCredentials = gs.need("database/postgresql", gs.DatabaseCredentials)
...     stripe: gs.SecretValue = gs.need("api-keys/stripe", field="key")

The class loads them at once, or keeps them up to date, and the policy and the manifests that
it implies are printed from the same lines.
"""

from greenlang_secrets.needs.declared import Need, need
from greenlang_secrets.needs.needs import Needs

__all__ = ["Need", "Needs", "need"]
