"""The gallery of test images."""
