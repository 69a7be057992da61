"""The database of shared links: engine, tables, schema upgrades (SQLAlchemy, Alembic)."""
