"""Evaluation of attribution methods; at present the adapter to quanda."""
