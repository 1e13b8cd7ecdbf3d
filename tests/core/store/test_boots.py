"""What a power cut leaves of extracted layers, as another boot of the machine finds it."""

from __future__ import annotations

import os
import shutil
from pathlib import Path
from typing import Any, Callable, Dict

import pytest

from imagebuild.store.boots import boot_id
from imagebuild.store.store import Store
from support.stores import files_in, put_layer
from support.tars import directory, hardlink, member, symlink
from support.trees import tree_state

MEMBERS = (
    directory("d", 0o710),
    member("d/file", b"some bytes"),
    hardlink("d/name", "d/file"),
    symlink("link", "nowhere"),
    member("empty", b""),
    member(".wh.gone"),
)


@pytest.fixture()
def store(tmp_path: Path) -> Store:
    return Store(str(tmp_path / "store"))


def state(tree: str) -> Dict[bytes, Any]:
    """All of it but the deletion, whose time nobody sees."""
    found: Dict[bytes, Any] = tree_state(Path(tree))
    assert found.pop(b"gone")
    return found


def rebooted(store: Store) -> Store:
    """The same store, found by a machine that was started again."""
    boots = Path(store.root, "boots")
    (boots / boot_id()).rename(boots / "an-earlier-boot")
    return Store(store.root)


def truncate(tree: Path) -> None:
    os.truncate(tree / "d/file", 4)


DAMAGE: Dict[str, Callable[[Path], None]] = {
    "a file that lost its end": truncate,
    "a file that is gone": lambda tree: (tree / "empty").unlink(),
    "a link that is gone": lambda tree: (tree / "link").unlink(),
    "a directory that is gone": lambda tree: shutil.rmtree(tree / "d"),
}


@pytest.mark.parametrize("damage", DAMAGE.values(), ids=DAMAGE)
def test_what_lost_something_is_extracted_again(
    store: Store, damage: Callable[[Path], None]
) -> None:
    diff_id = put_layer(store, *MEMBERS).diff_id
    (tree,) = store.extracted([diff_id])
    whole = state(tree)
    damage(Path(tree))
    assert whole != state(tree)
    after = rebooted(store)

    assert (tree,) == after.extracted([diff_id])
    assert whole == state(tree)
    assert [boot_id()] == [name for name in files_in(store, "boots") if name != "lock"]
    assert [] == files_in(store, "work")


def test_what_is_whole_is_kept_and_looked_at_once(store: Store) -> None:
    diff_ids = [put_layer(store, *MEMBERS).diff_id, put_layer(store, member("other")).diff_id]
    trees = store.extracted(diff_ids)
    before = [os.stat(tree).st_ino for tree in trees]
    after = rebooted(store)

    assert trees == after.extracted(diff_ids)
    assert before == [os.stat(tree).st_ino for tree in trees]
    assert [] == files_in(store, "boots")
    truncate(Path(trees[0]))  # by nothing that a boot can explain
    assert trees == Store(store.root).extracted(diff_ids)


def test_in_the_boot_that_made_it_nothing_is_looked_at(store: Store) -> None:
    diff_id = put_layer(store, *MEMBERS).diff_id
    (tree,) = store.extracted([diff_id])
    truncate(Path(tree))

    assert (tree,) == Store(store.root).extracted([diff_id])
    assert 4 == os.stat(os.path.join(tree, "d/file")).st_size


def test_a_tree_that_a_step_has_made_is_looked_at_too(store: Store, tmp_path: Path) -> None:
    layer = put_layer(store, *MEMBERS)
    (tree,) = store.extracted([layer.diff_id])
    made = tmp_path / "made"
    shutil.copytree(tree, made, symlinks=True, ignore=shutil.ignore_patterns("gone"))
    shutil.rmtree(tree)
    store.adopt_extracted(layer.diff_id, str(made))
    truncate(Path(tree))
    after = rebooted(store)

    assert (tree,) == after.extracted([layer.diff_id])
    assert 10 == os.stat(os.path.join(tree, "d/file")).st_size


def test_two_that_find_it_broken_make_it_once(store: Store) -> None:
    diff_id = put_layer(store, *MEMBERS).diff_id
    (tree,) = store.extracted([diff_id])
    truncate(Path(tree))
    first = rebooted(store)
    second = Store(store.root)
    second_boots = second._extracted._boots
    assert not second_boots.is_whole(os.path.basename(tree), tree, second.index_of(diff_id))
    first.extracted([diff_id])
    made = os.stat(tree).st_ino

    assert (tree,) == second.extracted([diff_id])
    assert made == os.stat(tree).st_ino
