"""Runs under the executor's interpreter: ``install.py PEX SOURCES TARGET`` makes one directory of modules to start from.

A PEX finds its modules anew in every process, and even its virtual environment costs a shell and Python's `site`. One flat
directory of modules that are compiled already starts in the time of Python itself. Their bytecode is bound to nothing (no
times, no hashes to check), so that it is the same wherever it is made and is used wherever it lies.
"""

import compileall
import os
import shutil
import sys
from py_compile import PycInvalidationMode

# Requests guesses the encoding of text with it. The executor reads bytes, and would spend a fifth of its start on loading it.
UNUSED = ("charset_normalizer-",)

MAIN = """\
import os, sys

sys.path[0] = os.path.abspath(sys.path[0])
from imagebuild.cli import main

sys.exit(main())
"""


def install(pex: str, sources: str, target: str) -> None:
    """Lay out the distributions of a loose PEX and the modules below `sources` in `target`."""
    distributions = os.path.join(pex, ".deps")
    for name in sorted(os.listdir(distributions)):
        if not name.startswith(UNUSED):
            _copy(os.path.join(distributions, name), target)
    _copy(sources, target)
    with open(os.path.join(target, "main.py"), "w", encoding="ascii") as file:
        file.write(MAIN)
    compileall.compile_dir(
        target,
        stripdir=target,
        quiet=2,
        invalidation_mode=PycInvalidationMode.UNCHECKED_HASH,
    )


def _copy(source: str, target: str) -> None:
    unwanted = shutil.ignore_patterns("*.dist-info", "*.pyc", "__pycache__", "bin", ".prefix")
    shutil.copytree(source, target, ignore=unwanted, dirs_exist_ok=True)


if __name__ == "__main__":
    install(*sys.argv[1:])
