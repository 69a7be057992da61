"""The offline build: it turns images into features, dual variables and an index, and writes a run folder."""
