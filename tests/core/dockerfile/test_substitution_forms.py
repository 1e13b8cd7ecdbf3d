"""The examples of the forms of a substitution: they are what they say, and there is one for every operator."""

from __future__ import annotations

import re

import pytest

from imagebuild.dockerfile.expand import expand
from imagebuild.dockerfile.substitution_forms import FORMS, VARIABLES, Form
from imagebuild.errors import ExpansionError


@pytest.mark.parametrize("form", FORMS, ids=lambda form: form.operator)
def test_an_example_becomes_its_result(form: Form) -> None:
    assert form.result == expand(form.example, VARIABLES)
    assert re.match(r"\$\{[A-Z]+" + re.escape(form.operator) + r"[^:+?#%/-]", form.example)


def test_there_is_an_example_for_every_operator() -> None:
    with pytest.raises(ExpansionError) as caught:
        expand("${FILE!x}", VARIABLES)
    listed = re.findall(
        r"\S+", caught.value.expected.partition("one of ")[2].rpartition(" behind")[0]
    )

    assert sorted(listed) == sorted(form.operator for form in FORMS)
