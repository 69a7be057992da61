"""Alembic migrations of the link database, shipped with the package and run on start-up."""
