"""Typed readers of a finished run, shared by the build's verification and the explanation."""
