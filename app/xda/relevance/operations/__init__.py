"""The operations that relevance can pass, a module for each kind; each module registers its own."""
