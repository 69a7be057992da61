"""Storage on disk: run folders, the heat-map cache and the database of shared links (files and SQLAlchemy)."""
