"""Text to model and back."""

from __future__ import annotations

from typing import List

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from imagebuild.dockerfile.instructions import INSTRUCTIONS
from imagebuild.dockerfile.parse import parse
from imagebuild.errors import ImageBuildError, ManyErrors
from support.dockerfile_texts import BYTES, dockerfile_lines

# Found by fuzzing; each was an error of ours once.
FOUND = [
    "FROM a\nVOLUME ${V#*?\u2028 \ta*",
    "FROM a\nWORKDIR -- --x",
    "FROM a\nSTOPSIGNAL 9\\\x85",
    'FROM a\nHEALTHCHECK CMD [""]',
    "FROM a\nCOPY -- --from=b c",
]


@pytest.mark.parametrize("text", FOUND)
def test_what_fuzzing_found(text: str) -> None:
    dockerfile = parse(text)

    assert dockerfile == parse(str(dockerfile))


@settings(max_examples=40)
@given(dockerfile_lines())
def test_a_model_printed_and_parsed_is_the_same_model(lines: List[str]) -> None:
    dockerfile = parse("\n".join(lines))

    assert dockerfile == parse(str(dockerfile))
    assert str(dockerfile) == str(parse(str(dockerfile)))


@given(BYTES)
def test_any_bytes_are_a_dockerfile_or_an_error_with_a_place(data: bytes) -> None:
    try:
        dockerfile = parse(data)
    except ManyErrors as errors:
        assert all(error.origin for error in errors.errors)
    except ImageBuildError as error:
        assert error.origin is not None
    else:
        assert dockerfile == parse(str(dockerfile))


NOISE = st.lists(st.sampled_from(["", "   ", "# c", "\t# FROM x \\", "#escape=x"]), max_size=2)


@settings(max_examples=40)
@given(dockerfile_lines(), st.data())
def test_comments_blank_lines_and_capitals_mean_nothing(
    lines: List[str], data: st.DataObject
) -> None:
    noisy = ["# first"]
    for line in lines:
        keyword, rest = line.split(" ", 1)
        noisy += data.draw(NOISE)
        noisy.append(
            f"  {data.draw(st.sampled_from([keyword, keyword.lower()]))} \\\n # c\n\n {rest}"
        )

    assert parse("\n".join(lines)) == parse("\r\n".join(noisy))


def test_errors_come_in_the_order_of_lines() -> None:
    with pytest.raises(ManyErrors) as caught:
        parse("FROM a\nNOPE\nENV\nRUN \0\nALSO\n")

    places = [error.origin.start_line for error in caught.value.errors if error.origin]
    assert sorted(places) == places
    assert 4 <= len(places)


def test_the_table_has_every_instruction_under_its_keyword() -> None:
    assert all(keyword == cls.KEYWORD for keyword, cls in INSTRUCTIONS.items())
    assert sorted(INSTRUCTIONS) == list(INSTRUCTIONS)
