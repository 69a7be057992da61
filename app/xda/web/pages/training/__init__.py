"""The page of one training image."""
