"""Ciphertexts in a column of a table, for the sweep after a transit key was rotated.

Needs the extra `catalogue` (SQLAlchemy), and a driver: `postgres` has asyncpg.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import sqlalchemy as sa
from sqlalchemy.exc import SQLAlchemyError
from sqlalchemy.ext.asyncio import AsyncEngine

from greenlang_secrets.errors import RotationFailed
from greenlang_secrets.rotation.ciphertexts import Found
from greenlang_secrets.vault.transit_values import AssociatedData, Encrypted, key_version_of

__all__ = ["SqlCiphertexts"]


class SqlCiphertexts:
    """A column of ciphertexts, each replaced by a statement that names the old one too.

    Attributes are given by name: `key` is a unique column that is never null, and indexed, since a
    page is read in its order. `from_text` makes a key of the text that `str` makes of it, such as
    `int` for a number. `bound_to` says what the ciphertext of a row is bound to; None, which is the
    default, for columns whose ciphertexts are not bound. Rows whose column holds no ciphertext
    are passed over.

    Its methods raise `RotationFailed` when the database fails.
    """

    def __init__(
        self,
        engine: AsyncEngine,
        *,
        table: str,
        key: str,
        ciphertext: str,
        schema: str | None = None,
        from_text: Callable[[str], object] = str,
        bound_to: Callable[[str], AssociatedData] | None = None,
    ) -> None:
        self._engine = engine
        self._key: sa.ColumnClause[object] = sa.column(key)
        self._ciphertext: sa.ColumnClause[str] = sa.column(ciphertext)
        self._table = sa.table(table, self._key, self._ciphertext, schema=schema)
        self._from_text = from_text
        self._bound_to = bound_to

    async def page(self, after: str | None, limit: int) -> Sequence[Found]:
        """Return the ciphertexts of the rows whose key is greater than `after`."""
        behind = None if after is None else self._from_text(after)
        while rows := await self._rows(behind, limit):
            found = [
                Found(
                    place=str(key),
                    ciphertext=text,
                    associated_data=None if self._bound_to is None else self._bound_to(str(key)),
                )
                for key, text in rows
                if key_version_of(text) is not None
            ]
            if found:
                return found
            behind = rows[-1][0]  # rows that only look alike are not the end
        return []

    async def _rows(self, behind: object | None, limit: int) -> Sequence[tuple[object, str]]:
        query = (
            sa.select(self._key, self._ciphertext)
            .where(self._ciphertext.like("vault:v%"))
            .order_by(self._key)
            .limit(limit)
        )
        if behind is not None:
            query = query.where(self._key > behind)
        try:
            async with self._engine.connect() as connection:
                return [(row[0], row[1]) for row in await connection.execute(query)]
        except (SQLAlchemyError, OSError):
            raise RotationFailed("target_unavailable") from None

    async def replace(self, found: Found, new: Encrypted) -> bool:
        """Update the row, if it still holds what was found."""
        change = (
            sa.update(self._table)
            .where(self._key == self._from_text(found.place))
            .where(self._ciphertext == found.ciphertext)
            .values({self._ciphertext: new.ciphertext})
        )
        try:
            async with self._engine.begin() as connection:
                return (await connection.execute(change)).rowcount == 1
        except (SQLAlchemyError, OSError):
            raise RotationFailed("target_unavailable") from None
