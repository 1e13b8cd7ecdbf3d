"""What a step's command changed, as a directory in overlayfs format, for runtimes that have no overlayfs."""
