"""Images: a Dockerfile built in the sandbox, without Docker. Each COPY, ADD and RUN is a layer of overlayfs.

FROM is scratch, an earlier stage, or the image of this build, by `base` or by its distribution and release as its
os-release says them (debian:12, ubuntu:jammy): nothing is fetched from a registry. Times later than the source's commit
become that, so that the same commit gives the same bytes.
"""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator

from contractor.buildd.arguments import Oci
from contractor.buildd.builds import dockerfile, oci_image
from contractor.buildd.builds.checkout import blame_source, check_out, commit_time, find, folder_in, join, package_fail
from contractor.buildd.builds.dockerfile_lines import MAX_BYTES
from contractor.buildd.builds.dockerfile_model import Copy, Event, Run, Stage, Step, Workdir
from contractor.buildd.builds.dockerfile_reader import platform
from contractor.buildd.builds.oci_image import Layer, Line
from contractor.buildd.builds.oci_stage import FROM, ROOT, OciStage, run_step
from contractor.buildd.target.target import Failed, Target
from contractor.sandbox.stage import TREE

_IGNORE_MAX = 1 << 20
_REGISTRIES = ("docker.io/library/", "docker.io/", "library/")


def build(target: Target, arguments: Oci) -> str:
    """Fetch, build stage after stage, pack the last one's layers."""
    top = check_out(target, arguments, arguments.name)
    folder_in(target, top, arguments.build_path, "build_path")
    path = arguments.build_file or join("", f"{arguments.build_path}/Dockerfile").lstrip("/")
    if find(target, top, path, "build_file") != "file":
        raise package_fail(f"there is no {path} in the source", hint="build_file names the Dockerfile")
    with blame_source():
        stages = dockerfile.parse(target.read(join(top, path), MAX_BYTES + 1), arguments.build_args, arguments.arch_tag)
    image = _Image(target, arguments, join(top, arguments.build_path), stages)
    image.ignore = _ignore(target, top, (f"{path}.dockerignore", f"{arguments.build_path}/.dockerignore"))
    image.epoch = commit_time(target, top)
    with blame_source():
        image.build()
    return "OK"


def _ignore(target: Target, top: str, paths: tuple[str, ...]) -> bytes:
    for path in paths:
        if find(target, top, path.lstrip("/"), ".dockerignore") == "file":
            return target.read(join(top, path), _IGNORE_MAX)
    return b""


class _Image:
    def __init__(self, target: Target, arguments: Oci, context: str, stages: list[Stage]) -> None:
        self._target = target
        self._arguments = arguments
        self._context = context
        self._stages = stages
        self._done: dict[int, OciStage] = {}
        self.ignore = b""
        self.epoch = 0

    def build(self) -> None:
        """The stages that the last one needs, in order, and then the files of the image."""
        for number in sorted(_needed(self._stages)):
            stage = self._stages[number]
            self._target.log.line(f"\nFROM {stage.base if isinstance(stage.base, str) else self._name(stage.base)}")
            done = self._done[number] = self._begun(stage)
            for event in stage.events:
                self._target.tick()
                self._target.log.line(f"line {event.step.line}: {event.text}" if event.step else event.text)
                self._event(done, event)
        last = len(self._stages) - 1
        self._save(self._stages[last], self._done[last])

    def _name(self, number: int) -> str:
        return self._stages[number].name or str(number)

    def _begun(self, stage: Stage) -> OciStage:
        if isinstance(stage.base, int):
            before = self._done[stage.base]
            return OciStage([*before.layers], [*before.history])
        if stage.base == "scratch":
            return OciStage([], [])
        names = _names_of(self._target)
        base = stage.base
        for registry in _REGISTRIES:
            base = base.removeprefix(registry)
        if base not in names:
            why = f"images cannot be fetched here, and {stage.base[:200]} is not this build's own"
            hint = f"its own is {' or '.join(names)}; scratch is there as well"
            raise package_fail(f"line {stage.line}: FROM: {why}", hint=hint)
        return OciStage([self._target.layer_path()], [Line(f"FROM {names[-1]}", layer=True)])

    def _event(self, stage: OciStage, event: Event) -> None:
        if event.step is None:
            stage.history.append(Line(event.text, layer=False))
            return
        layer = self._step(stage, event.step)
        if isinstance(event.step, Workdir) and self._target.call("oci-empty", layer=layer):
            stage.history.append(Line(event.text, layer=False))
            return
        stage.layers.append(layer)
        stage.history.append(Line(event.text, layer=True))

    def _step(self, stage: OciStage, step: Step) -> str:
        """Do a step on top of a stage; the path of what it wrote."""
        with self._named(step), self._mounted(ROOT, stage.layers, writable=True) as layer:
            if isinstance(step, Run):
                run_step(self._target, step)
            elif isinstance(step, Workdir):
                self._target.call("oci-workdir", at=ROOT, path=step.path)
            elif step.origin is None:
                self._copy(step, TREE, self._context, self.ignore)
            else:
                with self._mounted(FROM, self._done[step.origin].layers, writable=False):
                    self._copy(step, FROM, "", b"")
        return layer

    @contextlib.contextmanager
    def _named(self, step: Step) -> Iterator[None]:
        """What goes wrong inside is of this line."""
        try:
            with blame_source():
                yield
        except Failed as error:
            error.message = f"line {step.line}: {error.message}"
            raise

    def _copy(self, step: Copy, origin: str, top: str, ignore: bytes) -> None:
        self._target.call(
            "oci-copy",
            at=ROOT,
            origin=origin,
            top=top,
            sources=step.sources,
            inline=[(file.name, file.content) for file in step.files],
            target=step.target,
            owner=step.owner,
            mode=step.mode,
            ignore=ignore,
            unpack=step.unpack,
        )

    @contextlib.contextmanager
    def _mounted(self, at: str, layers: list[str], *, writable: bool) -> Iterator[str]:
        upper = self._target.call("oci-mount", at=at, layers=layers, writable=writable)
        try:
            yield upper
        finally:
            if not self._target.aborted:
                self._target.call("oci-unmount", at=at)

    def _save(self, stage: Stage, done: OciStage) -> None:
        packed = [self._packed(layer) for layer in done.layers]
        machine = platform(self._arguments.arch_tag)
        config = oci_image.configuration(stage.config, packed, done.history, machine, self.epoch)
        for layer, layer_id in zip(packed, oci_image.layer_ids(packed), strict=True):
            self._target.result_path(f"{layer_id}.tar.gz", layer.path)
            os.close(int(layer.path.rpartition("/")[2]))
        for name, data in oci_image.files(self._arguments.name, config, packed).items():
            self._target.result_bytes(name, data)

    def _packed(self, layer: str) -> Layer:
        """A layer's tar, in a file of the cache that has no name yet."""
        fd = os.open(self._target.job.cache, os.O_TMPFILE | os.O_RDWR | os.O_CLOEXEC, 0o600)
        made = self._target.call("gzip-tree", [fd], tree=layer, epoch=self.epoch, whiteouts=True)
        return Layer(made["diff_id"], made["digest"], f"/proc/self/fd/{fd}")


def _needed(stages: list[Stage]) -> set[int]:
    """The stages without which there would be no last one."""
    needed: set[int] = set()
    ahead = [len(stages) - 1]
    while ahead:
        number = ahead.pop()
        if number in needed:
            continue
        needed.add(number)
        stage = stages[number]
        ahead += [stage.base] if isinstance(stage.base, int) else []
        steps = (event.step for event in stage.events)
        ahead += [step.origin for step in steps if isinstance(step, Copy) and step.origin is not None]
    return needed


def _names_of(target: Target) -> list[str]:
    """What this build's own image may be called; the last is its best name."""
    names = ["base"]
    for path in ("/etc/os-release", "/usr/lib/os-release"):
        if target.kind(path) == "file":
            from contractor.buildd.builds import dotenv

            with contextlib.suppress(ValueError):
                said = dotenv.read(target.read(path, 1 << 16).decode(errors="replace"))
                tags = [said.get("VERSION_CODENAME"), said.get("VERSION_ID")]
                names += [f"{said['ID']}:{tag}" for tag in tags if tag and said.get("ID")]
            break
    return names
