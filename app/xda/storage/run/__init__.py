"""The run folder: immutable, self-contained, written under a temporary name and renamed."""
