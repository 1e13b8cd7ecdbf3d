"""Layer records: what a cache knows of a step's result, locally and in a registry."""
