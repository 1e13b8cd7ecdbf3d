"""Running the command of a RUN step inside an image's root, isolated as far as the host allows."""
