"""The service: `/api/v1/secrets` over HTTP, thin, on the library `greenlang_secrets`.

`create_app` gives the ASGI application, `serve` runs it. What a request means is decided
here (target, bearer, body, entity tags, problems); what happens to a secret is decided in
the library, by one call per request.
"""

from __future__ import annotations

from greenlang_secrets_api.app import create_app
from greenlang_secrets_api.config import ApiConfig
from greenlang_secrets_api.server import serve

__all__ = ["ApiConfig", "create_app", "serve"]
