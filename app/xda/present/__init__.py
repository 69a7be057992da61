"""Results as a person reads them: words, colours, layers, figures; for page, command line and notebook alike."""
