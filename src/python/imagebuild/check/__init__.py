"""What `pants check` says of a Dockerfile: findings, without building and without a network (``run.check``)."""
