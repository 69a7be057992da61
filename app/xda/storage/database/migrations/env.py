"""Alembic's environment; the connection and its transaction come from :func:`xda.storage.database.engine.upgrade`."""

from alembic import context

from xda.storage.database.engine import Base

context.configure(
    connection=context.config.attributes["connection"],
    target_metadata=Base.metadata,
    # SQLite cannot alter a table in place; batch mode copies it.
    render_as_batch=True,
)
with context.begin_transaction():
    context.run_migrations()
