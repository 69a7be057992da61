"""From dual variables to contributions: decomposition, contrast, ranking, the precomputed index (numpy and scipy)."""
