"""DualXDA Explorer: sparse, additive data attributions with a pair of heat-maps each."""
