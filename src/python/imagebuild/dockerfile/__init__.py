"""The Dockerfile language: text to model (``parse.parse``). Importing this package alone imports nothing else."""
