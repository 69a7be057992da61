"""The comparison of two surrogates on one test image."""
