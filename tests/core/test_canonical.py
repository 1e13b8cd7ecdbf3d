"""The one encoding of structure."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import Any, Optional, Tuple, Union

import pytest
from hypothesis import given
from hypothesis import strategies as st

from imagebuild import canonical
from imagebuild.errors import MalformedError
from imagebuild.oci.hash import Hash

JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
    max_leaves=20,
)


@dataclass(frozen=True)
class Leaf:
    KIND = "leaf"

    name: str
    digest: Optional[Hash] = None


@dataclass(frozen=True)
class Fork:
    KIND = "fork"

    items: Tuple[Union[Leaf, Fork], ...]
    pair: Tuple[str, int]
    flag: bool


LEAVES = st.builds(
    Leaf, st.text(), st.none() | st.binary(max_size=8).map(lambda data: Hash.of(data))
)
TREES = st.recursive(
    LEAVES,
    lambda inner: st.builds(
        Fork,
        st.lists(inner, max_size=3).map(tuple),
        st.tuples(st.text(), st.integers()),
        st.booleans(),
    ),
    max_leaves=8,
)


@given(JSON)
def test_equal_values_have_equal_bytes_whatever_the_order_of_their_members(value: Any) -> None:
    def turned(item: Any) -> Any:
        if isinstance(item, dict):
            return {name: turned(item[name]) for name in reversed(list(item))}
        return [turned(each) for each in item] if isinstance(item, list) else item

    assert canonical.dumps(value) == canonical.dumps(turned(value))


@given(JSON, JSON)
def test_different_values_have_different_bytes(one: Any, other: Any) -> None:
    same = json.dumps(one, sort_keys=True) == json.dumps(other, sort_keys=True)

    assert same == (canonical.dumps(one) == canonical.dumps(other))


def test_parts_are_framed_so_that_joining_them_differently_is_seen() -> None:
    assert canonical.dumps(["RUN a", "RUN b"]) != canonical.dumps(["RUN a-RUN b"])


@given(
    st.builds(Fork, st.lists(TREES).map(tuple), st.tuples(st.text(), st.integers()), st.booleans())
)
def test_what_is_encoded_is_decoded_again(value: Fork) -> None:
    assert value == canonical.loads(Fork, canonical.dumps(value))


GOOD = {"kind": "fork", "items": [], "pair": ["a", 1], "flag": True}

BAD = {
    "not JSON": b"{",
    "not an object": b"[]",
    "a member missing": json.dumps({**GOOD, "flag": None}).encode(),
    "a member too many": json.dumps({**GOOD, "more": 1}).encode(),
    "a bool for an int": json.dumps({**GOOD, "pair": ["a", True]}).encode(),
    "a short tuple": json.dumps({**GOOD, "pair": ["a"]}).encode(),
    "another kind": json.dumps({**GOOD, "kind": "leaf"}).encode(),
    "an unknown kind inside": json.dumps({**GOOD, "items": [{"kind": "x"}]}).encode(),
    "no digest": json.dumps(
        {**GOOD, "items": [{"kind": "leaf", "name": "", "digest": "md5:1"}]}
    ).encode(),
    "nested too deep": b"[" * 100_000,
}


@pytest.mark.parametrize("data", BAD.values(), ids=BAD.keys())
def test_what_is_not_exactly_the_class_is_refused(data: bytes) -> None:
    with pytest.raises(MalformedError):
        canonical.loads(Fork, data)


@pytest.mark.parametrize("value", [1.5, {1, 2}, b"bytes", {1: "a"}], ids=str)
def test_what_has_no_one_text_is_not_encoded(value: Any) -> None:
    with pytest.raises(TypeError):
        canonical.dumps(value)


@dataclass(frozen=True)
class _Before:
    name: str


@dataclass(frozen=True)
class _After:
    name: str
    option: bool = False
    size: int = 0


def test_a_new_option_changes_no_key_of_what_does_not_use_it() -> None:
    assert canonical.dumps(_After("a")) == canonical.dumps(_Before("a"))
    assert canonical.loads(_After, canonical.dumps(_Before("a"))) == _After("a")
    assert canonical.dumps(_After("a", option=True)) != canonical.dumps(_Before("a"))
