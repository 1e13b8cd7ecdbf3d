"""COPY from the context, onto what is there, and its flags: cases/{copy,copylinks,copyflags}.txt."""

from __future__ import annotations

import pytest

from conformance.harness.bench import Bench
from conformance.harness.cases import Case, load


@pytest.mark.parametrize("case", load("copy", "copylinks", "copyflags"), ids=str)
def test_the_image_is_what_it_has_to_be(on_the_bench: Bench, case: Case) -> None:
    on_the_bench.check(case)
