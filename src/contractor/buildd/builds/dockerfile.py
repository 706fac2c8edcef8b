"""A Dockerfile and its build arguments as stages: what each instruction means, with all variables replaced.

Pure: what a Dockerfile means is known before anything runs, but for what a name of a user or a pattern finds in a tree.
THE table of instructions is at the end. Source: https://docs.docker.com/reference/dockerfile/
"""

from __future__ import annotations

import json
import posixpath
import re
from collections.abc import Callable, Mapping

import msgspec

from contractor.buildd.builds import dockerfile_words as words
from contractor.buildd.builds.dockerfile_lines import (
    DockerfileError,
    Instruction,
    Source,
    heredoc_words,
    read,
    without_heredocs,
)
from contractor.buildd.builds.dockerfile_model import Config, Copy, Event, File, Run, Stage, Step, Workdir

SCRIPT = "/dev/shm/run"  # where RUN finds a here-document that has its own #! line
_STAGE_NAME = re.compile(r"[a-z][a-z0-9._-]*\Z")
_PORT = re.compile(r"(\d{1,5})(?:-(\d{1,5}))?(?:/(tcp|udp|sctp))?\Z")
_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_.-]*\Z")
_OWNER = re.compile(r"[A-Za-z0-9_.$-]+(:[A-Za-z0-9_.$-]+)?\Z")
_PROXIES = ("http_proxy", "https_proxy", "ftp_proxy", "no_proxy", "all_proxy")
_GOARCH = {"armhf": "arm", "i386": "386", "ppc64el": "ppc64le"}  # Debian's names -> Docker's, where they differ
_HINT = "this builder builds without Docker; it knows " "{names}"


def parse(data: bytes, build_args: Mapping[str, str], architecture: str) -> list[Stage]:
    """The stages of a Dockerfile, the last of which is the image. architecture: Debian's name of it.

    Raises DockerfileError with all problems, each naming its line and instruction.
    """
    source = read(data)
    meaning = _Meaning(source, build_args, architecture)
    problems: list[str] = []
    for instruction in source.instructions:
        try:
            meaning.take(instruction)
        except DockerfileError as error:
            problems.append(error.message)
            if instruction.name == "FROM" and len(problems) > 20:
                break
    if not problems and not meaning.stages:
        problems.append(f"line {source.instructions[-1].line}: there is no FROM")
    if problems:
        raise DockerfileError(problems[0], details=tuple(problems[1:21]), hint=_HINT.format(names=", ".join(TABLE)))
    return [stage.finished() for stage in meaning.stages]


def platform(architecture: str) -> str:
    """Docker's name of an architecture, as in an image's configuration."""
    return _GOARCH.get(architecture, architecture)


class _Stage:
    """A stage while it is read."""

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


class _Meaning:
    """Reads instruction by instruction."""

    def __init__(self, source: Source, build_args: Mapping[str, str], architecture: str) -> None:
        self.escape = source.escape
        self.build_args = build_args
        self.machine = platform(architecture)
        whole = f"linux/{self.machine}"
        self.platforms = {
            f"{side}{what}": value
            for side in ("BUILD", "TARGET")
            for what, value in (("PLATFORM", whole), ("OS", "linux"), ("ARCH", self.machine), ("VARIANT", ""))
        }
        self.globals: dict[str, str] = dict(self.platforms)
        self.stages: list[_Stage] = []

    def take(self, instruction: Instruction) -> None:
        rule = TABLE.get(instruction.name)
        if rule is None:
            raise instruction.error("this instruction is not supported")
        if not self.stages and instruction.name not in ("FROM", "ARG"):
            raise instruction.error("only ARG may stand before the first FROM")
        if not instruction.text.strip():
            raise instruction.error("nothing follows it")
        try:
            rule(self, instruction)
        except words.WordError as error:
            raise instruction.error(str(error)) from error

    # What a text means here.

    @property
    def stage(self) -> _Stage:
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
        """NAME=value ..., or the old form NAME value."""
        found: dict[str, str] = {}
        parts = words.raw_words(instruction.text, self.escape)
        if "=" not in parts[0]:
            name, _, value = instruction.text.partition(parts[0])[2].strip().partition("\0")
            if not name:
                raise instruction.error(f"{parts[0]} has no value")
            return {self._key(instruction, parts[0]): self.expand(name + value)}
        values = self.values  # all of one instruction see what was before it
        for part in parts:
            name, equals, value = part.partition("=")
            if not equals:
                raise instruction.error(f"{part[:60]!r} is not NAME=value: quote a value that has spaces")
            found[self._key(instruction, name)] = words.expand(value, values, self.escape)
        return found

    def _key(self, instruction: Instruction, text: str) -> str:
        name = self.expand(text)
        if not name or (instruction.name == "ENV" and not _NAME.match(name)):
            raise instruction.error(f"{name[:60]!r} is no name of a variable")
        return name

    def argv(self, instruction: Instruction) -> tuple[tuple[str, ...], bool]:
        """The exec form's words, or the shell form's shell with the text; and whether it was the shell form."""
        listed = _listed(instruction.text)
        if listed is not None:
            return tuple(listed), False
        return (*self.stage.config.shell, instruction.text), True

    def add(self, instruction: Instruction, step: Step | None = None) -> None:
        flags = "".join(f" --{name}={value}" for name, value in instruction.flags)
        self.stage.events.append(Event(f"{instruction.name}{flags} {instruction.text}", step))

    # The instructions.

    def from_(self, instruction: Instruction) -> None:
        parts = words.split(instruction.text, self.globals, self.escape)
        flags = dict(instruction.flags)
        wanted = words.expand(flags.pop("platform", ""), self.globals, self.escape)
        name = ""
        if len(parts) == 3 and parts[1].lower() == "as":
            name = parts[2].lower()
        elif len(parts) != 1:
            # A broken stage is a stage still: what follows is read as its instructions.
            self.stages.append(_Stage(instruction.line, "", "scratch", Config()))
            raise instruction.error("write FROM IMAGE, or FROM IMAGE AS NAME")
        base = self._base(parts[0])
        config = self.stages[base].config if isinstance(base, int) else Config()
        taken = [stage.name for stage in self.stages]
        self.stages.append(_Stage(instruction.line, name, base, config))
        if flags:
            raise instruction.error(f"--{next(iter(flags))} is not supported")
        if wanted and wanted.split("/")[:2] != ["linux", self.machine]:
            raise instruction.error(f"this builder builds for linux/{self.machine}, not {wanted[:60]}")
        if name and (not _STAGE_NAME.match(name) or name == "scratch"):
            raise instruction.error(f"{name[:60]!r} is no name for a stage")
        if name and name in taken:
            raise instruction.error(f"an earlier stage has the name {name}")
        if not parts[0]:
            raise instruction.error("the name of the image is empty: an ARG for it must stand before the first FROM")

    def _base(self, name: str) -> str | int:
        for number, stage in enumerate(self.stages):
            if stage.name and stage.name == name.lower():
                return number
        return name

    def arg(self, instruction: Instruction) -> None:
        for part in words.raw_words(instruction.text, self.escape):
            name, equals, default = part.partition("=")
            if not _NAME.match(name):
                raise instruction.error(f"{name[:60]!r} is no name of a variable")
            known = self.values if self.stages else self.globals
            value = words.expand(default, known, self.escape) if equals else None
            if name in self.build_args:
                value = self.build_args[name]
            elif value is None and self.stages:
                value = self.globals.get(name)
            if value is not None:
                (self.stage.arguments if self.stages else self.globals)[name] = value
        if self.stages:
            self.add(instruction)

    def env(self, instruction: Instruction) -> None:
        self.stage.set(env={**self.stage.config.env, **self.pairs(instruction)})
        self.add(instruction)

    def label(self, instruction: Instruction) -> None:
        self.stage.set(labels={**self.stage.config.labels, **self.pairs(instruction)})
        self.add(instruction)

    def maintainer(self, instruction: Instruction) -> None:
        self.stage.set(author=instruction.text)
        self.add(instruction)

    def run(self, instruction: Instruction) -> None:
        network = True
        for name, value in instruction.flags:
            if name != "network" or value not in ("none", "default"):
                raise instruction.error(f"--{name}={value} is not supported")
            network = value != "none"
        argv, shell = self.argv(instruction)
        script = ""
        if shell and instruction.heredocs:
            first = instruction.heredocs[0]
            if len(instruction.heredocs) == 1 and not without_heredocs(instruction.text):
                script = first.content if first.content.startswith("#!") else ""
                argv = (SCRIPT,) if script else (*self.stage.config.shell, first.content)
            else:
                # The shell itself reads them.
                text = "".join(f"{heredoc.content}{heredoc.name}\n" for heredoc in instruction.heredocs)
                argv = (*self.stage.config.shell, f"{instruction.text.replace('<<-', '<<')}\n{text}")
        config = self.stage.config
        proxies = {
            name: value for name, value in self.build_args.items() if name.lower() in _PROXIES and name not in config.env
        }
        env = {**proxies, **self.values}
        step = Run(instruction.line, argv, env, config.user, config.workdir, network, script)
        self.add(instruction, step)

    def copy(self, instruction: Instruction) -> None:
        flags = dict(instruction.flags)
        origin = self._origin(instruction, flags.pop("from", None))
        owner = self.expand(flags.pop("chown", ""))
        mode = self._mode(instruction, self.expand(flags.pop("chmod", "")))
        flags.pop("link", None)  # layers of COPY do not depend on what is below them anyway
        if flags:
            raise instruction.error(f"--{next(iter(flags))} is not supported")
        if owner and not _OWNER.match(owner):
            raise instruction.error(f"--chown: {owner[:60]!r} is not USER or USER:GROUP")
        listed = _listed(instruction.text)
        text = heredoc_words(instruction.text) if instruction.heredocs else instruction.text
        parts = [self.expand(word) for word in listed] if listed is not None else self.split(text)
        if len(parts) < 2:
            raise instruction.error("write at least one source and the target")
        files = {f"<<{heredoc.name}": heredoc for heredoc in instruction.heredocs}
        sources = [part for part in parts[:-1] if part not in files]
        for source in sources:
            if re.match(r"(https?|ftp|ssh|git)://|git@", source):
                raise instruction.error("a source from the network is not supported; fetch it with RUN")
        if len(parts) > 2 and not parts[-1].endswith("/"):
            raise instruction.error("with more than one source the target is a directory, and ends with /")
        inline = tuple(
            File(files[part].name, words.content(files[part].content, self.values) if files[part].expand
                 else files[part].content)
            for part in parts[:-1] if part in files
        )  # fmt: skip
        step = Copy(
            line=instruction.line,
            sources=tuple(sources),
            target=self._below(parts[-1]),
            files=inline,
            origin=origin,
            owner=owner,
            mode=mode,
            unpack=instruction.name == "ADD" and origin is None,
        )
        self.add(instruction, step)

    def _below(self, path: str) -> str:
        """A path seen from the working directory; the / at its end stays."""
        joined = posixpath.normpath(posixpath.join("/", self.stage.config.workdir, path))
        joined = "/" + joined.lstrip("/")
        folder = path.endswith("/") or path in (".", "..") or path.endswith(("/.", "/.."))
        return joined + "/" if folder and joined != "/" else joined

    def _origin(self, instruction: Instruction, name: str | None) -> int | None:
        if name is None:
            return None
        if instruction.name == "ADD":
            raise instruction.error("--from is COPY's")
        for number, stage in enumerate(self.stages[:-1]):
            if name.lower() == stage.name or name == str(number):
                return number
        raise instruction.error(f"--from={name[:60]}: no earlier stage has that name, and images cannot be fetched here")

    def _mode(self, instruction: Instruction, text: str) -> int | None:
        if not text:
            return None
        if not re.fullmatch(r"[0-7]{3,4}", text):
            raise instruction.error(f"--chmod: {text[:20]!r} is not a mode of three or four octal digits")
        return int(text, 8)

    def workdir(self, instruction: Instruction) -> None:
        path = self._below(self.expand(instruction.text)).rstrip("/") or "/"
        self.stage.set(workdir=path)
        self.add(instruction, Workdir(instruction.line, path))

    def user(self, instruction: Instruction) -> None:
        name = self.expand(instruction.text)
        if not _OWNER.match(name):
            raise instruction.error(f"{name[:60]!r} is not USER or USER:GROUP")
        self.stage.set(user=name)
        self.add(instruction)

    def cmd(self, instruction: Instruction) -> None:
        self.stage.set(cmd=self.argv(instruction)[0])
        self.stage.own_cmd = True
        self.add(instruction)

    def entrypoint(self, instruction: Instruction) -> None:
        self.stage.set(entrypoint=self.argv(instruction)[0])
        if not self.stage.own_cmd:
            self.stage.set(cmd=None)  # one of the base was meant for the base's entry point
        self.add(instruction)

    def shell(self, instruction: Instruction) -> None:
        listed = _listed(instruction.text)
        if not listed:
            raise instruction.error('write a JSON list, like ["/bin/bash", "-c"]')
        self.stage.set(shell=tuple(listed))
        self.add(instruction)

    def stopsignal(self, instruction: Instruction) -> None:
        self.stage.set(stop_signal=self.expand(instruction.text))
        self.add(instruction)

    def expose(self, instruction: Instruction) -> None:
        ports = dict.fromkeys(self.stage.config.exposed)
        for word in self.split(instruction.text):
            found = _PORT.match(word.lower())
            first = int(found[1]) if found else 0
            last = int(found[2] or found[1]) if found else 0
            if found is None or not 0 < first <= last <= 65535:
                raise instruction.error(f"{word[:40]!r} is not a port, like 80, 53/udp or 8000-8010")
            ports.update({f"{number}/{found[3] or 'tcp'}": None for number in range(first, last + 1)})
        self.stage.set(exposed=tuple(ports))
        self.add(instruction)

    def volume(self, instruction: Instruction) -> None:
        listed = _listed(instruction.text)
        found = [self.expand(word) for word in listed] if listed is not None else self.split(instruction.text)
        if not all(found):
            raise instruction.error("a volume has no name")
        self.stage.set(volumes=tuple(dict.fromkeys([*self.stage.config.volumes, *found])))
        self.add(instruction)


def _listed(text: str) -> list[str] | None:
    """The words of a JSON list of texts; None for anything else, which is the shell form."""
    if not text.lstrip().startswith("["):
        return None
    try:
        found = json.loads(text)
    except (json.JSONDecodeError, RecursionError):
        return None
    return found if isinstance(found, list) and all(isinstance(word, str) for word in found) else None


TABLE: dict[str, Callable[[_Meaning, Instruction], None]] = {
    "FROM": _Meaning.from_,
    "ARG": _Meaning.arg,
    "RUN": _Meaning.run,
    "COPY": _Meaning.copy,
    "ADD": _Meaning.copy,
    "ENV": _Meaning.env,
    "WORKDIR": _Meaning.workdir,
    "USER": _Meaning.user,
    "CMD": _Meaning.cmd,
    "ENTRYPOINT": _Meaning.entrypoint,
    "LABEL": _Meaning.label,
    "EXPOSE": _Meaning.expose,
    "VOLUME": _Meaning.volume,
    "SHELL": _Meaning.shell,
    "STOPSIGNAL": _Meaning.stopsignal,
    "MAINTAINER": _Meaning.maintainer,
}
