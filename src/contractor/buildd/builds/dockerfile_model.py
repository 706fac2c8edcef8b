"""What a Dockerfile says, with every variable replaced: stages, what each does, and the image's configuration.

Source of the configuration's keys: https://github.com/opencontainers/image-spec/blob/main/config.md
"""

from __future__ import annotations

from typing import Any

from contractor.core.values import Value

PATH = "PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"


class Config(Value, frozen=True):
    """How containers of the image run. None: not said. arguments: ARG values, for RUN and never in the image."""

    env: dict[str, str] = {}
    user: str = ""
    workdir: str = "/"
    cmd: tuple[str, ...] | None = None
    entrypoint: tuple[str, ...] | None = None
    labels: dict[str, str] = {}
    exposed: tuple[str, ...] = ()
    volumes: tuple[str, ...] = ()
    shell: tuple[str, ...] = ("/bin/sh", "-c")
    stop_signal: str = ""
    author: str = ""

    def json(self) -> dict[str, Any]:
        """The `config` object of the image's configuration."""
        found: dict[str, Any] = {"Env": [PATH, *self._env()] if "PATH" not in self.env else self._env()}
        values: tuple[tuple[str, Any], ...] = (
            ("User", self.user),
            ("ExposedPorts", {name: {} for name in sorted(self.exposed)}),
            ("Entrypoint", list(self.entrypoint or ())),
            ("Cmd", list(self.cmd or ())),
            ("Volumes", {name: {} for name in sorted(self.volumes)}),
            ("WorkingDir", self.workdir),
            ("Labels", dict(sorted(self.labels.items()))),
            ("StopSignal", self.stop_signal),
            ("Shell", list(self.shell) if self.shell != Config().shell else []),
        )
        return {**found, **{name: value for name, value in values if value}}

    def _env(self) -> list[str]:
        return [f"{name}={value}" for name, value in self.env.items()]


class File(Value, frozen=True):
    """A file of a COPY that stands in the Dockerfile itself."""

    name: str
    content: str


class Run(Value, frozen=True):
    """argv in the tree of the stage. script: what argv's last word is the path of, executable; or empty."""

    line: int
    argv: tuple[str, ...]
    env: dict[str, str]
    user: str
    workdir: str
    network: bool = True
    script: str = ""


class Copy(Value, frozen=True):
    """origin: "" for the context, else the number of a stage. unpack: archives of the context are unpacked (ADD).

    sources: paths or patterns, relative to the origin's root. owner: as written, or "". mode: None for the source's.
    """

    line: int
    sources: tuple[str, ...]
    target: str  # absolute; with a / at its end it is a directory
    files: tuple[File, ...] = ()
    origin: int | None = None
    owner: str = ""
    mode: int | None = None
    unpack: bool = False


class Workdir(Value, frozen=True):
    line: int
    path: str


Step = Run | Copy | Workdir


class Event(Value, frozen=True):
    """A line of the image's history. step: what it does to the tree, None for one that only changes the config."""

    text: str
    step: Step | None = None


class Stage(Value, frozen=True):
    """base: "scratch", the number of an earlier stage, or the name of an image, as written."""

    line: int
    name: str
    base: str | int
    events: tuple[Event, ...]
    config: Config
