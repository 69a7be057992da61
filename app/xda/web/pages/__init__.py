"""The pages, one package each: its context (what the template gets) beside its routes."""
