"""The web face: FastAPI routes, Jinja2 pages, and everything HTTP around them."""
