"""The data sets that the product knows by name, one module each."""
