"""USER and --chown against an image's own etc/passwd and etc/group."""

from __future__ import annotations

from typing import Tuple

import pytest

from imagebuild.errors import StepError
from imagebuild.users import Ids, home_of, resolve_owner, resolve_user

PASSWD = """root:x:0:0:root:/root:/bin/sh
app:x:1000:50::/home/app:/bin/sh
# a comment
broken
toomuch:x:4294967296:0::/:/bin/sh
4294967296:x:0:0::/:/bin/sh
-1:x:0:0::/:/bin/sh
0x0:x:7:7::/:/bin/sh
short:x:9:9
"""
GROUP = """root:x:0:
staff:x:50:app
wheel:x:10:root,app
docker:x:999: app ,other
none:x
huge:x:99999999999:app
"""

USERS = [
    ("", (0, 0, (0, 10))),
    ("root", (0, 0, (0, 10))),
    ("0", (0, 0, (0, 10))),
    ("app", (1000, 50, (10, 50, 999))),
    ("1000", (1000, 50, (10, 50, 999))),
    ("app:", (1000, 50, (10, 50, 999))),
    ("app:wheel", (1000, 10, (10,))),
    ("app:7", (1000, 7, (7,))),
    ("65534", (65534, 0, (0,))),
    ("100000:100000", (100000, 100000, (100000,))),
    (":wheel", (0, 10, (10,))),
    ("0x0", (7, 7, (7,))),
    ("short", (9, 9, (9,))),
    ("2147483647", (2147483647, 0, (0,))),
]


@pytest.mark.parametrize(("user", "expected"), USERS)
def test_resolve_user(user: str, expected: Tuple[int, int, Tuple[int, ...]]) -> None:
    assert Ids(*expected) == resolve_user(user, PASSWD, GROUP)


BAD_USERS = [
    "nobody",
    "broken",
    "toomuch",
    "4294967296",
    "2147483648",
    "-1",
    "+1",
    "9" * 5000,
    "app:nogroup",
    "app:4294967296",
    "app:-1",
]


@pytest.mark.parametrize("user", BAD_USERS, ids=lambda user: user[:20])
def test_resolve_user_refuses(user: str) -> None:
    """Never root by accident: what is all digits is no name, and a number does not wrap."""
    with pytest.raises(StepError) as caught:
        resolve_user(user, PASSWD, GROUP)

    assert user.partition(":")[0][:20] in caught.value.message
    assert caught.value.hint


OWNERS = [
    ("app", (1000, 50)),
    ("app:wheel", (1000, 10)),
    ("1000", (1000, 1000)),
    ("1000:wheel", (1000, 10)),
    ("app:7", (1000, 7)),
    ("4294967294", (4294967294, 4294967294)),
    (":10", (0, 10)),
]


@pytest.mark.parametrize(("owner", "expected"), OWNERS)
def test_resolve_owner(owner: str, expected: object) -> None:
    assert expected == resolve_owner(owner, PASSWD, GROUP)


@pytest.mark.parametrize("owner", ["nobody", "4294967295", "-1", "app:nogroup"])
def test_resolve_owner_refuses(owner: str) -> None:
    with pytest.raises(StepError):
        resolve_owner(owner, PASSWD, GROUP)


def test_numbers_need_no_files() -> None:
    assert Ids(1, 0, (0,)) == resolve_user("1", "", "")
    assert Ids(0, 0, (0,)) == resolve_user("", "", "")
    assert (1, 1) == resolve_owner("1", "", "")


@pytest.mark.parametrize(
    ("uid", "expected"), [(0, "/root"), (1000, "/home/app"), (9, "/"), (12345, "/")]
)
def test_home_of(uid: int, expected: str) -> None:
    assert expected == home_of(uid, PASSWD)
