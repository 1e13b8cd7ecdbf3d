"""What a build tells: errors with their lines, the summary, and ``NAME.image.json``. Plain functions."""

from __future__ import annotations

import json
from typing import Any, Dict, Optional, Sequence, Tuple

from pants.engine.addresses import Address

from imagebuild import canonical
from imagebuild.errors import EXIT_OUR_BUG, ImageBuildError
from imagebuild.execute.assemble import Image, ImageSet
from imagebuild.llb.plan import Plan
from imagebuild.llb.remote import shown
from imagebuild.oci.descriptor import Layer
from imagebuild.oci.hash import Hash
from pants_kaniko.calls import ExecutorAnswer
from pants_kaniko.plans import BasesRequest, ImageName, PlanHandle, RemotesRequest, step_title
from pants_kaniko.requests import BUILT, LOCAL, REGISTRY, BuildStep, BuiltStep
from pants_kaniko.shapes import EXIT_OK

_PYTHON_FAILED = 1


class ImageBuildFailed(ImageBuildError):
    """The executor could not do its work; its own text says why.

    :param details: what it printed, below the place in the Dockerfile.
    """

    def __init__(self, message: str, details: str = "") -> None:
        super().__init__(message)
        self.details = details

    def __str__(self) -> str:
        text = super().__str__()
        return f"{text}\n\n{self.details}" if self.details else text


def said(answer: ExecutorAnswer) -> str:
    """Everything that a failed executor printed, with a word more where that is nothing or our own fault."""
    text = answer.stderr.rstrip()
    if not text:
        text = f"the executor ended with exit code {answer.exit_code} and said nothing"
    if answer.exit_code in (EXIT_OUR_BUG, _PYTHON_FAILED) or answer.exit_code < 0:
        text += "\nfix: this is a bug of pants-kaniko: please report it, with the text above"
    return text


def explain_failure(handle: PlanHandle, number: int, answer: ExecutorAnswer) -> ImageBuildFailed:
    """A step that failed: where it stands in the Dockerfile, and what the executor says about it."""
    error = ImageBuildFailed(f"{step_title(handle.plan, number)} failed", said(answer))
    return error.at(handle.plan.origins[number].source, handle.excerpts[number])


def result_of(answer: ExecutorAnswer) -> bytes:
    """What the executor answered.

    :raises ImageBuildFailed: when it did not, with the text that it printed.
    """
    if answer.exit_code != EXIT_OK:
        raise ImageBuildFailed(said(answer))
    return answer.result


def bases_of(answer: ExecutorAnswer, request: BasesRequest) -> bytes:
    """As `result_of`, for images that are to be resolved: an error names the line that wants the image it is about."""
    try:
        return result_of(answer)
    except ImageBuildFailed as error:
        named = zip(request.images, request.places)
        places = [place for image, place in named if f'"{image.ref}"' in answer.stderr]
        places = list(dict.fromkeys(places or request.places))
        if len(places) == 1:
            error.at(places[0].source, places[0].excerpt)
        raise


def remotes_of(answer: ExecutorAnswer, request: RemotesRequest) -> bytes:
    """As `result_of`, for what ADD fetches: an error names the line that wants what it is about."""
    try:
        return result_of(answer)
    except ImageBuildFailed as error:
        named = zip(request.sources, request.places)
        places = [place for source, place in named if f'"{shown(source)}"' in answer.stderr]
        if places or len(request.places) == 1:
            place = (places or request.places)[0]
            error.at(place.source, place.excerpt)
        raise


def step_result_of(answer: ExecutorAnswer, handle: PlanHandle, number: int) -> bytes:
    """As `result_of`, for a call that speaks for one step."""
    if answer.exit_code != EXIT_OK:
        raise explain_failure(handle, number, answer)
    return answer.result


def making_anew(address: Address, missing: Sequence[Hash]) -> str:
    return f"{address}: cached layers are gone, their steps run again: {_listed(missing)}"


def not_recorded(handle: PlanHandle, answer: ExecutorAnswer) -> str:
    return f"{handle.address}: layers were not pushed to the cache: {said(answer)}"


def _listed(diff_ids: Sequence[Hash]) -> str:
    return ", ".join(diff_id.hex[:12] for diff_id in diff_ids)


# --- what a build has made --------------------------------------------------------------------------------------------


def step_line(request: BuildStep, built: BuiltStep) -> str:
    """``[build 3/9] RUN pip install ... (src/app/Dockerfile:7) - 4.1s``."""
    return f"{request.title} - {built.message()}"


def step_lines(
    handle: PlanHandle, steps: Sequence[BuiltStep], told: Sequence[int] = ()
) -> Tuple[str, ...]:
    """:param told: numbers of steps to leave out."""
    new = (built for built in steps if built.number not in told)
    return tuple(step_line(BuildStep(handle, built.number), built) for built in new)


def summary(steps: Sequence[BuiltStep], planned: int) -> str:
    """``9 steps: 6 cached (registry), 2 built, 1 not needed``.

    :param planned: how many steps the plan has.
    """
    count = dict.fromkeys((LOCAL, REGISTRY, BUILT), 0)
    for step in steps:
        count[step.origin] += 1
    parts = [f"{count[origin]} cached ({origin})" for origin in (LOCAL, REGISTRY) if count[origin]]
    parts.extend([f"{count[BUILT]} built"] if count[BUILT] else [])
    if planned > len(steps):
        parts.append(f"{planned - len(steps)} not needed")
    steps_word = "1 step" if planned == 1 else f"{planned} steps"
    return f"{steps_word}: {', '.join(parts)}" if parts else "no steps, only metadata"


def log_lines(
    handle: PlanHandle,
    images: ImageSet,
    names: Sequence[ImageName],
    summary: str,
    steps: Sequence[str],
) -> Tuple[str, ...]:
    """The lines below ``Wrote dist/...``.

    :param steps: lines of `step_lines` that the log does not have.
    """
    refs = [ref for name in names for ref in name.refs]
    each = [
        f"    {image.digest} for {plan.platform}"
        for plan, image in zip(handle.plans, images.images)
        if images.index_bytes
    ]
    own = (f"    {line}" for line in steps)
    return (f"  {images.digest}", *each, f"  {', '.join(refs)}", *own, f"  {summary}")


def image_json(
    handle: PlanHandle, images: ImageSet, names: Sequence[ImageName], steps: Sequence[BuiltStep]
) -> bytes:
    """``NAME.image.json``: the image, its names, and for each layer which instruction made it and where it came from. That of
    an index has the same for each platform."""
    each = [_image(handle, plan, image, steps) for plan, image in zip(handle.plans, images.images)]
    document = {
        "version": 1,
        "target": str(handle.address),
        "digest": str(images.digest),
        **({} if images.index_bytes else each[0]),
        "tags": [ref for name in names for ref in name.refs],
        **({"images": each} if images.index_bytes else {}),
    }
    if not images.index_bytes:
        document["layers"] = document.pop("layers")  # at the end, for it is long
    return json.dumps(document, indent=2).encode() + b"\n"


def _image(
    handle: PlanHandle, plan: Plan, image: Image, steps: Sequence[BuiltStep]
) -> Dict[str, Any]:
    base = plan.bases[plan.target_base] if plan.target_base is not None else None
    below = len(base.layers) if base else 0
    built = {step.number: step for step in steps}
    made = [built[number] for number in plan.steps_of(plan.target)]
    own = [_layer(handle, step.layer, step) for step in made if step.layer]
    return {
        "digest": str(image.digest),
        "config_digest": str(image.config_digest),
        "platform": str(plan.platform),
        "layers": [
            *(
                {**_blob(layer), "origin": "base", "image": base.ref if base else ""}
                for layer in image.layers[:below]
            ),
            *own,
        ],
    }


def _layer(handle: PlanHandle, layer: Layer, step: BuiltStep) -> Dict[str, Any]:
    origin = handle.plan.origins[step.number]
    content: Optional[str] = str(canonical.fingerprint(step.step)) if step.step else None
    return {
        **_blob(layer),
        "origin": step.origin,
        "instruction": origin.text,
        "dockerfile": origin.source.file,
        "line": origin.source.start_line,
        "stage": origin.stage,
        "input_key": str(canonical.fingerprint(handle.input_steps[step.number])),
        "content_key": content,
    }


def _blob(layer: Layer) -> Dict[str, Any]:
    return {
        "digest": str(layer.descriptor.digest),
        "diff_id": str(layer.diff_id),
        "size": layer.descriptor.size,
        "media_type": layer.descriptor.media_type,
    }
