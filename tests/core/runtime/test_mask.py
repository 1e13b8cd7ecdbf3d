"""Masking: no secret in the stream, whatever the blocks; and nothing else is changed."""

from __future__ import annotations

from typing import List, Sequence

import pytest
from hypothesis import given
from hypothesis import strategies as st

from imagebuild.runtime.mask import MASK, Masker, maskable


def masked(blocks: Sequence[bytes], *secrets: bytes) -> bytes:
    masker = Masker(secrets)
    return b"".join(masker.feed(block) for block in blocks) + masker.finish()


CASES = {
    "in one block": ([b"a hunter2 b"], b"a *** b"),
    "across blocks": ([b"a hun", b"te", b"r2 b"], b"a *** b"),
    "byte by byte": ([bytes([byte]) for byte in b"xhunter2hunter2"], b"x******"),
    "begun and not ended": ([b"hunter", b" hunter"], b"hunter hunter"),
    "begun again": ([b"huhunter2", b"!"], b"hu***!"),
    "at the very end": ([b"hunter2"], b"***"),
    "nothing": ([], b""),
}


@pytest.mark.parametrize("blocks, expected", CASES.values(), ids=CASES)
def test_a_secret_is_masked(blocks: List[bytes], expected: bytes) -> None:
    assert expected == masked(blocks, b"hunter2\n")


def test_the_longer_of_two_secrets_wins() -> None:
    assert b"*** ***" == masked([b"hunter2-more", b" hunter2"], b"hunter2", b"hunter2-more")


def test_a_secret_is_looked_for_without_white_space_around_it_and_line_by_line() -> None:
    key = b"-----BEGIN KEY-----\nQUJDREVGR0g=\n}\n\n"

    assert {
        b"-----BEGIN KEY-----\nQUJDREVGR0g=\n}",
        b"-----BEGIN KEY-----",
        b"QUJDREVGR0g=",
    } == maskable([key])
    assert b"> ***" == masked([b"> QUJDREVGR0g="], key)


def test_what_is_too_short_is_not_masked() -> None:
    assert b"yes, 123 yes" == masked([b"yes, 123 yes"], b"yes\n", b"123", b"")
    assert b"***" == masked([b"1234"], b"1234")


@given(
    st.lists(st.sampled_from([b"ab", b"abab", b"c", b"abc", b"\n", b"babca"]), max_size=20),
    st.lists(st.sampled_from([b"ababc", b"abca", b"cabab", b"babcab"]), max_size=3),
    st.data(),
)
def test_blocks_change_nothing_and_nothing_secret_is_left(
    pieces: List[bytes], secrets: List[bytes], data: st.DataObject
) -> None:
    stream = b"".join(pieces)
    cuts = sorted(data.draw(st.lists(st.integers(0, len(stream)), max_size=6)))
    blocks = [stream[a:b] for a, b in zip([0, *cuts], [*cuts, len(stream)])]

    out = masked(blocks, *secrets)

    assert out == masked([stream], *secrets)
    assert not [secret for secret in secrets if secret in out]
    if not any(secret in stream for secret in secrets):
        assert out == stream
    assert MASK in out or out == stream
