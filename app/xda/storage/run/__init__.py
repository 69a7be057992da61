"""The run folder: immutable and self-contained; it is written under a temporary name and then renamed."""
