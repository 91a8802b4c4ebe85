"""How Alembic runs the migrations: inside the transaction that facedex.store.migrate hands over."""

from __future__ import annotations

from alembic import context

from facedex.store.tables import METADATA, VERSION_TABLE

context.configure(
    connection=context.config.attributes["connection"],
    target_metadata=METADATA,
    version_table=VERSION_TABLE,
    transactional_ddl=True,
)
with context.begin_transaction():
    context.run_migrations()
