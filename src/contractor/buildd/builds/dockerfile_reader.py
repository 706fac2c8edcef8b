"""Where the reading of a Dockerfile stands: its stages so far, and what a text means at this place. Pure."""

from __future__ import annotations

import json
import posixpath
from collections.abc import Mapping

import msgspec

from contractor.buildd.builds import dockerfile_words as words
from contractor.buildd.builds.dockerfile_lines import Instruction, Source
from contractor.buildd.builds.dockerfile_model import Config, Event, Stage, Step

_GOARCH = {"armhf": "arm", "i386": "386", "ppc64el": "ppc64le"}  # Debian's names -> Docker's, where they differ


def platform(architecture: str) -> str:
    """Docker's name of an architecture, as in an image's configuration."""
    return _GOARCH.get(architecture, architecture)


class OpenStage:
    """A stage while it is read. arguments: its ARG values, for RUN and never in the image."""

    def __init__(self, line: int, name: str, base: str | int, config: Config) -> None:
        self.line = line
        self.name = name
        self.base = base
        self.config = config
        self.arguments: dict[str, str] = {}
        self.events: list[Event] = []
        self.own_cmd = False

    def set(self, **values: object) -> None:
        self.config = msgspec.structs.replace(self.config, **values)

    def finished(self) -> Stage:
        return Stage(self.line, self.name, self.base, tuple(self.events), self.config)


class Reader:
    """The stages so far, and the values that variables have."""

    def __init__(self, source: Source, build_args: Mapping[str, str], architecture: str) -> None:
        self.escape = source.escape
        self.build_args = build_args
        self.machine = platform(architecture)
        values = (("PLATFORM", f"linux/{self.machine}"), ("OS", "linux"), ("ARCH", self.machine), ("VARIANT", ""))
        self.globals = {f"{side}{what}": value for side in ("BUILD", "TARGET") for what, value in values}
        self.stages: list[OpenStage] = []

    @property
    def stage(self) -> OpenStage:
        return self.stages[-1]

    @property
    def values(self) -> dict[str, str]:
        """ENV wins over ARG."""
        return {**self.stage.arguments, **self.stage.config.env}

    def expand(self, text: str) -> str:
        return words.expand(text.strip(), self.values, self.escape)

    def split(self, text: str) -> list[str]:
        return words.split(text, self.values, self.escape)

    def pairs(self, instruction: Instruction) -> dict[str, str]:
        """NAME=value ..., or the old form NAME value. All of one instruction see the variables from before it."""
        values = self.values
        parts = words.raw_words(instruction.text, self.escape)
        if "=" not in parts[0]:
            rest = instruction.text.strip()[len(parts[0]) :].strip()
            if not rest:
                raise instruction.error(f"{parts[0][:60]} has no value")
            return {self.expand(parts[0]): self.expand(rest)}
        found: dict[str, str] = {}
        for part in parts:
            name, equals, value = part.partition("=")
            if not equals:
                raise instruction.error(f"{part[:60]!r} is not NAME=value: quote a value that has spaces")
            found[self.expand(name)] = words.expand(value, values, self.escape)
        return found

    def argv(self, instruction: Instruction) -> tuple[tuple[str, ...], bool]:
        """The exec form's words, or the shell with the shell form's text; and whether it was the shell form."""
        found = listed(instruction.text)
        if found is not None:
            return tuple(found), False
        return (*self.stage.config.shell, instruction.text), True

    def below(self, path: str) -> str:
        """A path seen from the working directory, absolute; the / at its end stays."""
        joined = "/" + posixpath.normpath(posixpath.join("/", self.stage.config.workdir, path)).lstrip("/")
        folder = path.endswith("/") or path.rpartition("/")[2] in (".", "..")
        return joined + "/" if folder and joined != "/" else joined

    def add(self, instruction: Instruction, step: Step | None = None) -> None:
        """A line of the history."""
        flags = "".join(f" --{name}={value}" for name, value in instruction.flags)
        self.stage.events.append(Event(f"{instruction.name}{flags} {instruction.text}", step))


def listed(text: str) -> list[str] | None:
    """The words of a JSON list of texts; None for anything else, which is the shell form."""
    if not text.lstrip().startswith("["):
        return None
    try:
        found = json.loads(text)
    except (json.JSONDecodeError, RecursionError):
        return None
    return found if isinstance(found, list) and all(isinstance(word, str) for word in found) else None
