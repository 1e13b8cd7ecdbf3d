"""``certifi.core`` for packages that lie in directories, as the executor's do: with no look into archives."""

from __future__ import annotations


def where() -> str:
    """The file with the certificates of the authorities."""
    return __file__.rpartition("/")[0] + "/cacert.pem"


def contents() -> str:
    with open(where(), encoding="ascii") as file:
        return file.read()
