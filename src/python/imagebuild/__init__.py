"""Dockerfiles into OCI images as a graph of cached layers; without Docker, a daemon, or Pants."""
