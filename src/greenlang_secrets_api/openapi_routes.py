"""`/openapi.json` and `/docs`: made once with the application, the same for everybody.

Neither says anything that the source does not, so neither needs a bearer.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Final

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from greenlang_secrets_api.answers import json_answer
from greenlang_secrets_api.docs_page import docs_page, docs_policy
from greenlang_secrets_api.endpoints import EndpointTable
from greenlang_secrets_api.openapi import openapi_document

__all__ = ["openapi_routes"]

_JSON: Final = {"content-type": "application/json"}
_HTML: Final = "text/html; charset=utf-8"


def openapi_routes(table: EndpointTable) -> list[Route]:
    """Return the routes of the document of `table` and of its page.

    Raises:
        ConfigurationError: as `openapi_document`.
    """
    document = openapi_document(table)
    return [
        Route("/openapi.json", _always(json_answer(200, document).body or b"", _JSON)),
        Route(
            "/docs",
            _always(
                docs_page(document),
                {"content-type": _HTML, "content-security-policy": docs_policy()},
            ),
        ),
    ]


def _always(body: bytes, headers: dict[str, str]) -> Callable[[Request], Awaitable[Response]]:
    async def answer(_: Request) -> Response:
        return Response(body, headers=headers)

    return answer
