"""Evaluates attribution methods; at present through the adapter to quanda."""
