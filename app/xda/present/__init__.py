"""Presents results: words, colours, layers and figures for page, command line and notebook."""
