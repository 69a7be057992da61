"""The JSON interface under /api/v1, and the routes for operators."""
