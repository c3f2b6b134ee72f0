"""What `greenlang-secrets dev` runs: real servers, provisioned and seeded, and the API.

Needs ``pip install 'greenlang-secrets[api,cli,postgres,testing]'``. For one developer's machine: it
issues its own bearers and holds Vault's root token.
"""

from __future__ import annotations

from typing import Final

__all__ = ["DEVELOPMENT_ISSUER"]

DEVELOPMENT_ISSUER: Final = "https://issuer.greenlang.invalid"
"""The `iss` of the development issuer's bearers; the name can belong to nobody (RFC 2606,
.invalid). The API refuses to be configured with it outside development.
"""
