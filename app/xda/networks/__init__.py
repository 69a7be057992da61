"""Classifiers: specification, weights, head, features, training (torch)."""
