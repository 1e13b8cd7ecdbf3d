"""What is compared: each scenario prepares a builder, which is not timed, and returns the sample of one build."""

from __future__ import annotations

import io
import random
import tarfile
from typing import Callable, List, NamedTuple

from builders import Builder, Files, Sample

from support.base_image import busybox, busybox_layer, image_of, push
from support.registry import RealRegistry


class Bases(NamedTuple):
    """Base images in the registry, each by its tag.

    :param small: busybox alone.
    :param system: with 50 MB of a distribution's kind of files.
    :param many: with very many files.
    """

    small: str
    system: str
    many: str


class Scenario(NamedTuple):
    """One comparison.

    :param goal: the largest ratio of our time to the best peer's that is good enough.
    :param run: takes the bases, a builder, and a number that is new in each call.
    """

    name: str
    title: str
    goal: float
    run: Callable[[Bases, Builder, int], Sample]


def push_bases(registry: RealRegistry, *, many: int) -> Bases:
    """:param many: how many files the third one has, of 10 KB each."""
    bases = Bases(*(f"{registry.address}/base/{name}:1" for name in Bases._fields))
    push(image_of([busybox_layer(busybox())]), bases.small)
    push(image_of([busybox_layer(busybox()), files_layer("usr/lib", 2_500, 20_000)]), bases.system)
    push(image_of([busybox_layer(busybox()), files_layer("many", many, 10_000)]), bases.many)
    return bases


def files_layer(top: str, count: int, size: int) -> bytes:
    """A layer of `count` files of `size` bytes, half of them noise, a hundred to a directory."""
    noise, out = random.Random(top), io.BytesIO()
    with tarfile.open(fileobj=out, mode="w", format=tarfile.PAX_FORMAT) as tar:
        for number in range(count):
            content = noise.randbytes(size // 2) + bytes(size - size // 2)
            info = tarfile.TarInfo(f"{top}/{number // 100}/{number % 100}")
            info.size, info.mode = len(content), 0o644
            tar.addfile(info, io.BytesIO(content))
    return out.getvalue()


def service(base: str, variant: str, instructions: int = 20) -> str:
    """A Dockerfile of so many instructions, with a source file near its end and a RUN that reads it."""
    head = [f"FROM {base}", f"ENV VARIANT={variant}", "WORKDIR /app", "COPY deps.txt ./"]
    tail = ["COPY lib/ lib/", "COPY main.txt ./", "RUN cat lib/* main.txt | sort | md5sum > built"]
    tail += ["USER 1000", 'CMD ["cat", "built"]']
    middle = instructions - len(head) - len(tail)
    runs = [f"RUN seq {number}000 > numbers.{number}" for number in range(1, middle + 1)]
    return "\n".join([*head, *runs, *tail, ""])


def _sources(main: str = "main") -> Files:
    lib = {f"lib/{number}.txt": f"{number}\n" * 200 for number in range(50)}
    return {"deps.txt": "deps\n", "main.txt": f"{main}\n", **lib}


def _fill(bases: Bases, builder: Builder, project: str, number: int, instructions: int = 20) -> str:
    """Have the project's steps in the registry's cache, and nothing of them on machine "B"; its Dockerfile."""
    variant = number if builder.remembers else 0
    dockerfile = service(bases.small, f"{project}-{variant}", instructions)
    builder.write(project, dockerfile, _sources())
    if number == variant:
        builder.build(project)
    builder.forget("B")
    return dockerfile


def _unchanged(instructions: int) -> Callable[[Bases, Builder, int], Sample]:
    def run(bases: Bases, builder: Builder, number: int) -> Sample:
        project = f"warm{instructions}"
        if number == 0:
            builder.write(project, service(bases.small, project, instructions), _sources())
            builder.build_again(project)
            builder.build_again(project)  # ours still looks things up then
        return builder.build_again(project)

    return run


def _unchanged_fresh(instructions: int) -> Callable[[Bases, Builder, int], Sample]:
    def run(bases: Bases, builder: Builder, number: int) -> Sample:
        project = f"fresh{instructions}"
        _fill(bases, builder, project, number, instructions)
        return builder.build(project, "B")

    return run


def _changed(bases: Bases, builder: Builder, number: int) -> Sample:
    if number == 0:
        builder.write("changed", service(bases.small, "changed"), _sources())
        builder.build("changed")
    builder.write("changed", service(bases.small, "changed"), _sources(f"change {number}"))
    return builder.build("changed")


def _changed_fresh(bases: Bases, builder: Builder, number: int) -> Sample:
    dockerfile = _fill(bases, builder, "changedfresh", number)
    builder.write("changedfresh", dockerfile, _sources(f"change {number}"))
    return builder.build("changedfresh", "B")


def _last_copy(bases: Bases, builder: Builder, number: int) -> Sample:
    dockerfile = f"FROM {bases.system}\nRUN echo {number} > /etc/built\nCOPY main.txt /app/\n"
    builder.write("last", dockerfile, {"main.txt": "before\n"})
    builder.build("last")
    builder.write("last", dockerfile, {"main.txt": "after\n"})
    builder.forget("B")
    return builder.build("last", "B")


def _cold(*, cached: bool) -> Callable[[Bases, Builder, int], Sample]:
    many = "for d in $(seq 200); do mkdir -p f/$d; for n in $(seq 100); do echo $n > f/$d/$n; done; done"

    def run(bases: Bases, builder: Builder, number: int) -> Sample:
        project = "coldcached" if cached else "cold"
        lines = service(bases.small, f"{project}-{number}").splitlines()
        lines[5:7] = [f"RUN {many}", "COPY tree/ tree/"]
        tree = {f"tree/{each // 100}/{each % 100}": f"{each}\n" for each in range(2000)}
        builder.write(project, "\n".join([*lines, ""]), {**_sources(), **tree})
        builder.forget("A")
        return builder.build(project, cached=cached)

    return run


def _touch(bases: Bases, builder: Builder, number: int) -> Sample:
    def build(what: str) -> Sample:
        builder.write("touch", f"FROM {bases.many}\nRUN touch /{what}\n", {})
        return builder.build("touch", cached=False)

    if number == 0:
        build("first")
    return build(f"x{number}")


def _touch_fresh(bases: Bases, builder: Builder, number: int) -> Sample:
    builder.write("touchfresh", f"FROM {bases.many}\nRUN touch /fresh{number}\n", {})
    builder.forget("B")
    return builder.build("touchfresh", "B", cached=False)


def _stages(bases: Bases, builder: Builder, number: int) -> Sample:
    names = ("one", "two", "three", "four")
    lines: List[str] = []
    for name in names:
        lines += [f"FROM {bases.small} AS {name}", f"RUN sleep 2; echo {name} {number} > /{name}"]
    lines += [f"FROM {bases.small}", *(f"COPY --from={name} /{name} /" for name in names), ""]
    builder.write("stages", "\n".join(lines), {})
    return builder.build("stages", cached=False)


def _big(bases: Bases, builder: Builder, number: int) -> Sample:
    write = "dd bs=1M count=250 if=/dev/{0} of=/{0} 2>/dev/null"
    command = f"{write.format('urandom')} && {write.format('zero')}; echo {number}"
    builder.write("big", f"FROM {bases.small}\nRUN {command}\n", {})
    return builder.build("big", cached=False)


SCENARIOS = (
    Scenario("warm", "nothing changed, 20 instructions", 1.0, _unchanged(20)),
    Scenario("fresh", "the same, fresh machine, cached in the registry", 1.0, _unchanged_fresh(20)),
    Scenario("change", "one source file changed, a late COPY and a RUN after it", 0.8, _changed),
    Scenario("change-fresh", "the same, fresh machine", 0.8, _changed_fresh),
    Scenario("last", "last COPY changed, base of 50 MB, fresh machine", 0.3, _last_copy),
    Scenario("cold", "cold: 20,000 files by a RUN, 2,000 by a COPY", 0.9, _cold(cached=False)),
    Scenario("cold-fill", "the same, filling an empty cache", 0.9, _cold(cached=True)),
    Scenario("touch", "`RUN touch` over a base of very many files", 1.0, _touch),
    Scenario("touch-fresh", "the same, fresh machine", 0.7, _touch_fresh),
    Scenario("stages", "four stages of `RUN sleep 2`, cold", 0.9, _stages),
    Scenario("big", "one layer of 500 MB, half noise, half zeros, cold", 0.7, _big),
    Scenario("warm80", "nothing changed, 80 instructions", 0.8, _unchanged(80)),
    Scenario("fresh80", "the same, fresh machine, cached", 0.2, _unchanged_fresh(80)),
)
