"""What templates are given: one frozen dataclass for each, made from results and nothing else."""
