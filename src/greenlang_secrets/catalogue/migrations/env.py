"""Alembic's environment. `schema.migrate` hands over a connection within its transaction;
Alembic's own command line, used to write a new revision, gets one from the settings.
"""

from __future__ import annotations

import asyncio

from alembic import context
from sqlalchemy import Connection

from greenlang_secrets.catalogue.config import CatalogueConfig
from greenlang_secrets.catalogue.engine import WRITES, make_engine
from greenlang_secrets.catalogue.tables import VERSION_TABLE, metadata


def _run(connection: Connection) -> None:
    context.configure(
        connection=connection,
        target_metadata=metadata,
        version_table=VERSION_TABLE,
        transactional_ddl=True,
    )
    with context.begin_transaction():  # none of its own where one is open
        context.run_migrations()


async def _run_by_settings() -> None:
    engine = make_engine(CatalogueConfig.from_env(), pooled=False)
    try:
        async with engine.connect() as connection:
            await connection.execution_options(**{WRITES: True})
            async with connection.begin():
                await connection.run_sync(_run)
    finally:
        await engine.dispose()


if context.is_offline_mode():
    context.configure(
        dialect_name=context.config.attributes["kind"],
        target_metadata=metadata,
        version_table=VERSION_TABLE,
        transactional_ddl=True,
        literal_binds=True,
        dialect_opts={"paramstyle": "named"},  # others double each % of a statement
    )
    with context.begin_transaction():
        context.run_migrations()
        for statement in context.config.attributes["grants"]:
            context.execute(statement)
elif (given := context.config.attributes.get("connection")) is not None:
    _run(given)
else:
    asyncio.run(_run_by_settings())
