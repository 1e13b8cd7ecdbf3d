"""The rules for Pants 2.17, which asks for values with ``Get``. Thin: what they say and run is in the modules above."""
