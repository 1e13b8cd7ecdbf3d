"""Symbolic modes, against the chmod(1) of this machine."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path
from typing import Tuple

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from imagebuild.errors import DockerfileSyntaxError
from imagebuild.symbolic_mode import apply_symbolic_mode

ACTIONS = st.tuples(
    st.sampled_from("+-="),
    st.one_of(st.text(alphabet="rwxXst", max_size=3), st.sampled_from("ugo")),
).map("".join)
CLAUSES = st.tuples(
    st.text(alphabet="ugoa", max_size=2), st.lists(ACTIONS, min_size=1, max_size=2).map("".join)
).map("".join)
MODES = st.lists(CLAUSES, min_size=1, max_size=3).map(",".join)


def chmod(place: Path, text: str, mode: int) -> int:
    os.chmod(place, mode)
    subprocess.run(["sh", "-c", 'umask 0; exec chmod -- "$0" "$1"', text, str(place)], check=True)
    return place.stat().st_mode & 0o7777


@pytest.fixture(scope="module")
def places(tmp_path_factory: pytest.TempPathFactory) -> Tuple[Path, Path]:
    root = tmp_path_factory.mktemp("modes")
    (root / "file").touch()
    (root / "dir").mkdir()
    return root / "file", root / "dir"


@given(MODES, st.integers(0, 0o7777), st.booleans())
@settings(max_examples=300, suppress_health_check=[HealthCheck.too_slow], deadline=None)
def test_it_gives_what_chmod_gives(
    places: Tuple[Path, Path], text: str, mode: int, is_dir: bool
) -> None:
    assert chmod(places[is_dir], text, mode) == apply_symbolic_mode(text, mode, is_dir)


CASES = {
    ("u=rwX,go=rX", 0o644, False): 0o644,
    ("u=rwX,go=rX", 0o744, False): 0o755,
    ("u=rwX,go=rX", 0o600, True): 0o755,
    ("+x", 0o644, False): 0o755,
    ("go-w", 0o666, False): 0o644,
    ("g=u", 0o640, False): 0o660,
    ("u+s,g+s", 0o755, False): 0o6755,
    ("+t", 0o777, True): 0o1777,
    ("=", 0o4755, False): 0,
    ("a+rw-x", 0o711, False): 0o666,
    ("go=", 0o2755, True): 0o2700,
}


@pytest.mark.parametrize("given_, expected", CASES.items(), ids=[text for text, _, _ in CASES])
def test_in_particular(given_: Tuple[str, int, bool], expected: int) -> None:
    assert oct(expected) == oct(apply_symbolic_mode(*given_))


BAD = ("", ",", "u", "q+r", "u+r,", "u+rg", "+0755", "a+é", "u+r go+r", "u+r\n", "755,u+r")


@pytest.mark.parametrize("text", BAD)
def test_what_is_no_mode_is_refused(text: str) -> None:
    with pytest.raises(DockerfileSyntaxError, match="--chmod has the value"):
        apply_symbolic_mode(text, 0o644, False)
