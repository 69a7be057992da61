"""What the product does: building a run folder (offline) and answering questions about it (online)."""
