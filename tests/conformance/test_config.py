"""config"""

from __future__ import annotations

import pytest

from conformance.harness.bench import Bench
from conformance.harness.cases import Case, load


@pytest.mark.parametrize("case", load("config"), ids=str)
def test_image_is_the_same(on_the_bench: Bench, case: Case) -> None:
    on_the_bench.check(case)
