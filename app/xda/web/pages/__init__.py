"""The pages, one package each, with the context of the template beside the routes."""
