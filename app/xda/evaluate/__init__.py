"""The comparison of attribution methods; today the adapter to quanda."""
