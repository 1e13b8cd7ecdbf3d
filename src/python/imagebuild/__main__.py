"""``python -m imagebuild``: the executor."""

import sys

from imagebuild.cli import main

if __name__ == "__main__":
    sys.exit(main())
