"""Images, networks and heat-maps: everything that needs torch. NumPy arrays and bytes leave it, tensors do not."""
