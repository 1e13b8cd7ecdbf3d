"""The build graph: ops are what is hashed, a plan is what is to be done, a key names a step (after BuildKit's LLB)."""
