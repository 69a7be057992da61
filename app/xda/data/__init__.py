"""Images from anywhere, checked, decoded and preprocessed; NumPy arrays and bytes leave this package."""
