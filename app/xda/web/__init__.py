"""The web layer: FastAPI routes, Jinja2 pages, and HTTP around them."""
