"""Evaluates attributions through the adapter to quanda, and heat-maps by deleting pixels."""
