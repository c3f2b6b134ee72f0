"""What goes back over the wire: `Answer`, and the bytes of a JSON document."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

from starlette.types import Send

__all__ = ["Answer", "Header", "json_answer"]

Header = tuple[bytes, bytes]

_encode: Final = json.JSONEncoder(separators=(",", ":"), ensure_ascii=False).encode
_JSON: Final[Header] = (b"content-type", b"application/json")


@dataclass(frozen=True, slots=True)
class Answer:
    """A whole response; what every response carries is added by `Correlation`."""

    status: int
    body: bytes | None = b""
    headers: tuple[Header, ...] = ()

    async def send(self, send: Send) -> None:
        """Send it; a body of None is one that HEAD leaves out and whose length is unknown."""
        headers = list(self.headers)
        if self.body is not None and self.status not in {204, 304}:
            headers.append((b"content-length", b"%d" % len(self.body)))
        await send({"type": "http.response.start", "status": self.status, "headers": headers})
        await send({"type": "http.response.body", "body": self.body or b""})


def json_answer(
    status: int,
    document: Mapping[str, object],
    *headers: Header,
    media_type: Header = _JSON,
) -> Answer:
    """Return `document` as an answer, compact and in UTF-8."""
    return Answer(status, _encode(document).encode(), (media_type, *headers))
