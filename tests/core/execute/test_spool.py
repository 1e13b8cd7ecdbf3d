"""Contents on disk come back as they went in, holes and all."""

from __future__ import annotations

import io
import os
from pathlib import Path
from typing import List

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from imagebuild.execute.spool import Spool

CONTENTS = st.lists(
    st.one_of(
        st.binary(max_size=20),
        st.integers(0, 3 << 18).map(bytes),
        st.tuples(st.binary(max_size=9), st.integers(0, 3 << 18)).map(
            lambda pair: pair[0] + bytes(pair[1])
        ),
    ),
    max_size=5,
)


@given(CONTENTS)
@settings(max_examples=50, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_what_goes_in_comes_out(tmp_path: Path, contents: List[bytes]) -> None:
    with Spool(str(tmp_path)) as spool:
        places = [spool.add(io.BytesIO(content)) for content in contents]

        for place, content in zip(places, contents):
            with spool.open(place, len(content)) as file:
                assert content == b"".join(iter(lambda: file.read(100_000), b""))


def test_it_leaves_no_name_and_zeros_take_no_room(tmp_path: Path) -> None:
    with Spool(str(tmp_path)) as spool:
        spool.add(io.BytesIO(b"x" + bytes(64 << 20)))

        assert [] == os.listdir(tmp_path)
        assert os.fstat(spool._fd()).st_blocks * 512 < 2 << 20


def test_an_unused_one_makes_no_file(tmp_path: Path) -> None:
    (tmp_path / "gone").mkdir()
    spool = Spool(str(tmp_path / "gone"))
    (tmp_path / "gone").rmdir()
    with spool:
        pass
