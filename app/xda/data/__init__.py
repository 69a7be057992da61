"""Loads images from any source, checks, decodes and preprocesses them; gives NumPy arrays and bytes."""
