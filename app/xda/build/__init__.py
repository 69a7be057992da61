"""The build, offline: images, features, dual variables and index become a run folder."""
