"""Attribution from dual variables: decomposition, contrast, ranking, the precomputed index (numpy and scipy)."""
