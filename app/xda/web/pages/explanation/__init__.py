"""The explanation page."""
