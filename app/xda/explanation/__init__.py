"""The explanation, online: decisions of an open run or of a model in memory, and their heat-maps."""
