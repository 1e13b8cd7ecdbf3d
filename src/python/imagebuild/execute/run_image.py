"""``run``: start an image with the embedded runtime, in the foreground. Its changes are thrown away."""

from __future__ import annotations

import os
from dataclasses import replace
from typing import Sequence, Tuple

from imagebuild.errors import LayerMissingError, UsageError
from imagebuild.execute.effects import Effects
from imagebuild.execute.exec_step import process_spec
from imagebuild.execute.fetch import fetch_blobs
from imagebuild.execute.requests import RunImageRequest
from imagebuild.execute.trees import tree_of
from imagebuild.oci.config import Config, ConfigFile
from imagebuild.runtime.native import is_native
from imagebuild.runtime.probe import choose
from imagebuild.runtime.spec import DEFAULT_PATH


def run_image(request: RunImageRequest, arguments: Sequence[str], effects: Effects) -> int:
    """Run the image's entrypoint with `arguments` in place of its CMD, on this process's stdio.

    :returns: the exit code of the process, 128 + signal when it was killed.
    :raises EmulatorMissingError: for an image of a platform whose programs do not run here.
    :raises LayerMissingError: when a layer is nowhere to be had.
    """
    image, store = ConfigFile.parse(request.config.encode()), effects.store
    config = image.config
    if not is_native(image.platform):
        from imagebuild.runtime.emulation import require

        require(image.platform, store.work_dir)
    missing = fetch_blobs(request.layers, store, lambda: effects.client(request.registries))
    if missing:
        raise LayerMissingError(
            f"{len(missing)} layers of the image are neither in the store nor in a registry",
            diff_ids=tuple(map(str, missing)),
            hint="package the target again; the steps that make them will run",
        )
    diff_ids = [source.layer.diff_id for source in request.layers]
    lower = store.extracted(diff_ids)
    tree = tree_of(store, diff_ids)
    assert tree is not None, "extracting a layer indexes it"
    env = {"PATH": DEFAULT_PATH, **dict(config.env), **dict(request.env)}
    spec = process_spec(
        command(config, arguments),
        tuple(env.items()),
        config.working_dir or "/",
        config.user,
        request.network,
        tree,
    )
    with store.work_dir() as work:
        upper, scratch = os.path.join(work, "upper"), os.path.join(work, "scratch")
        os.mkdir(upper)
        os.mkdir(scratch)
        runtime = choose(request.runtime, store.root)
        spec = replace(spec, terminal=True)
        return runtime.run(lower, upper, scratch, spec, stdout=1, stderr=2, stdin=0).code


def command(config: Config, arguments: Sequence[str]) -> Tuple[str, ...]:
    """ENTRYPOINT and then the arguments, or CMD where there are none (Dockerfile reference, "Understand how CMD and
    ENTRYPOINT interact").

    :raises UsageError: when there is nothing to run.
    """
    args = (config.entrypoint or ()) + (tuple(arguments) or config.cmd or ())
    if not args:
        raise UsageError(
            "the image has neither ENTRYPOINT nor CMD",
            expected="a command",
            hint='give one behind "--", or add CMD to the Dockerfile',
        )
    return args
