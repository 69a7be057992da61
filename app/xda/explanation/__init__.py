"""The online half: explains decisions of an open run or of a model in memory, with heat-maps."""
