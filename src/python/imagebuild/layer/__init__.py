"""Layers: their bytes (tar), what they hold (index), their merged view (tree), and their safe extraction and capture."""
