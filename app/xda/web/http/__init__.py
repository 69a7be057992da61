"""HTTP around pages and JSON: conditional requests, errors, logs, metrics, middleware."""
