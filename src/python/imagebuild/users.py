"""Users and groups of an image, from the text of its own etc/passwd and etc/group; the host is never asked.

What is all digits is a number and never looked up as a name, whatever etc/passwd says (CVE-2024-40635, CVE-2026-46680).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Iterator, List, Optional, Tuple

from imagebuild.errors import StepError

MAX_USER = 2**31 - 1
"""Highest uid and gid of a process; runc and containerd have the same bound."""

MAX_OWNER = 2**32 - 2
"""Highest uid and gid of a file; 2**32-1 is the kernel's "none"."""


@dataclass(frozen=True)
class Account:
    name: str
    uid: int
    gid: int
    home: str


@dataclass(frozen=True)
class Group:
    name: str
    gid: int
    members: Tuple[str, ...]


@dataclass(frozen=True)
class Ids:
    uid: int
    gid: int
    groups: Tuple[int, ...]


def resolve_user(user: str, passwd: str, group: str) -> Ids:
    """What a process of USER `user` runs as ("", "app", "1000", "app:staff", "1000:50").

    Supplementary groups are those of etc/group that list the account, unless a group is given, and the group itself: a
    process that lacks it there would pass by files that shut out their group (CVE-2023-25173). "" is root.

    :raises StepError: for a name that is not there, and numbers out of bounds.
    """
    name, colon, group_name = user.partition(":")
    number = _number(user, name or "0", MAX_USER)
    account = _account(passwd, name, number)
    if account is None and number is None:
        raise _unknown("USER", user, name, "etc/passwd")
    uid = account.uid if account else number or 0
    _bounded(user, uid)
    if colon and group_name:
        given = _group(user, group_name, group, MAX_USER)
        return Ids(uid, given, (given,))
    gid = _bounded(user, account.gid if account else 0)
    lists = {item.gid for item in _groups(group) if account and account.name in item.members}
    return Ids(
        uid, gid, tuple(sorted({gid, *(other for other in lists if 0 <= other <= MAX_USER)}))
    )


def resolve_owner(owner: str, passwd: str, group: str) -> Tuple[int, int]:
    """Uid and gid that ``--chown`` names. A number alone is both; a name alone brings its account's group.

    :raises StepError: for a name that is not there, and numbers out of bounds.
    """
    name, colon, group_name = owner.partition(":")
    number = _number(owner, name or "0", MAX_OWNER)
    account = None if number is not None else _account(passwd, name, None)
    if account is None and number is None:
        raise _unknown("--chown", owner, name, "etc/passwd")
    uid, gid = (account.uid, account.gid) if account else (number or 0, number or 0)
    if colon and group_name:
        gid = _group(owner, group_name, group, MAX_OWNER)
    return uid, gid


def home_of(uid: int, passwd: str) -> str:
    """The home directory that a process of `uid` has in HOME; "/root" for root and "/" for others without an account."""
    account = next((item for item in _accounts(passwd) if item.uid == uid), None)
    return account.home if account and account.home else ("/" if uid else "/root")


def _number(given: str, text: str, bound: int) -> Optional[int]:
    """`text` as a number, None for a name."""
    if not _is_numeric(text):
        return None
    number = int(text) if len(text) <= 20 else bound + 1
    if text[0] in "+-" or number > bound:
        raise StepError(
            f'"{given[:80]}" is not a user: the id {text[:24]} is out of bounds',
            expected=f"an id from 0 to {bound}",
            hint="use a smaller id, or a name of the image's etc/passwd",
        )
    return number


def _bounded(given: str, number: int) -> int:
    if not 0 <= number <= MAX_USER:
        raise StepError(
            f'"{given}" is not a user: etc/passwd gives it the id {number}, which is out of bounds',
            expected=f"an id from 0 to {MAX_USER}",
            hint="correct that line of the image's etc/passwd",
        )
    return number


def _group(given: str, name: str, text: str, bound: int) -> int:
    number = _number(given, name, bound)
    if number is not None:
        return number
    found = next((item.gid for item in _groups(text) if item.name == name), None)
    if found is None:
        raise _unknown("the group of", given, name, "etc/group")
    return found


def _account(passwd: str, name: str, number: Optional[int]) -> Optional[Account]:
    wanted = 0 if not name else number
    return next(
        (
            item
            for item in _accounts(passwd)
            if (item.uid == wanted if wanted is not None else item.name == name)
        ),
        None,
    )


def _accounts(passwd: str) -> Iterator[Account]:
    """Lines ``name:password:uid:gid:gecos:home:shell``; others are passed over, as every libc does."""
    for fields in _lines(passwd, 4):
        yield Account(
            fields[0], int(fields[2]), int(fields[3]), fields[5] if len(fields) > 5 else ""
        )


def _groups(group: str) -> Iterator[Group]:
    """Lines ``name:password:gid:member,member``."""
    for fields in _lines(group, 3):
        members = fields[3].split(",") if len(fields) > 3 else ()
        yield Group(fields[0], int(fields[2]), tuple(member.strip() for member in members))


def _lines(text: str, least: int) -> Iterator[List[str]]:
    for line in text.splitlines():
        fields = line.strip().split(":")
        numbers = fields[2:least]
        if len(fields) >= least and fields[0] and all(_is_id(number) for number in numbers):
            yield fields


def _is_numeric(text: str) -> bool:
    digits = text[1:] if text.startswith(("+", "-")) else text
    return digits.isascii() and digits.isdigit()


def _is_id(text: str) -> bool:
    return _is_numeric(text) and len(text) <= 20


def _unknown(what: str, given: str, name: str, file: str) -> StepError:
    return StepError(
        f'{what} "{given[:80]}": there is no "{name[:80]}" in the image\'s {file}',
        expected=f"a name of {file}, or a number",
        hint=f'make "{name}" in an earlier RUN (useradd, groupadd), or give its number',
    )
