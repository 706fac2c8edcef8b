"""A Dockerfile and its build arguments as stages: what each instruction means, with all variables replaced.

Pure: what a Dockerfile means is known before anything runs, but for what a pattern or the name of a user finds in a
tree. THE table of instructions is at the end. Source: https://docs.docker.com/reference/dockerfile/
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping

from contractor.buildd.builds import dockerfile_config as config
from contractor.buildd.builds import dockerfile_words as words
from contractor.buildd.builds.dockerfile_lines import (
    DockerfileError,
    Instruction,
    heredoc_words,
    read,
    without_heredocs,
)
from contractor.buildd.builds.dockerfile_model import Config, Copy, File, Run, Stage, Workdir
from contractor.buildd.builds.dockerfile_reader import OpenStage, Reader, listed

SCRIPT = "/dev/shm/run"  # where RUN finds a here-document that has its own #! line
_STAGE_NAME = re.compile(r"[a-z][a-z0-9._-]*")
_REMOTE = re.compile(r"(https?|ftp|ssh|git)://|git@")
_PROXIES = ("http_proxy", "https_proxy", "ftp_proxy", "no_proxy", "all_proxy")
_MOST_PROBLEMS = 20


def parse(data: bytes, build_args: Mapping[str, str], architecture: str) -> list[Stage]:
    """The stages of a Dockerfile, the last of which is the image. architecture: Debian's name of it.

    Raises DockerfileError with all problems, each naming its line and instruction.
    """
    source = read(data)
    reader = Reader(source, build_args, architecture)
    problems: list[str] = []
    for instruction in source.instructions:
        try:
            _take(reader, instruction)
        except DockerfileError as error:
            problems.append(error.message)
    if not problems and not reader.stages:
        problems.append(f"line {source.instructions[-1].line}: there is no FROM")
    if problems:
        hint = f"this builder builds without Docker; it knows {', '.join(TABLE)}"
        raise DockerfileError(problems[0], details=tuple(problems[1:_MOST_PROBLEMS]), hint=hint)
    return [stage.finished() for stage in reader.stages]


def _take(reader: Reader, instruction: Instruction) -> None:
    rule = TABLE.get(instruction.name)
    if rule is None:
        raise instruction.error("this instruction is not supported")
    if not reader.stages and instruction.name not in ("FROM", "ARG"):
        raise instruction.error("only ARG may stand before the first FROM")
    if not instruction.text.strip():
        raise instruction.error("nothing follows it")
    try:
        rule(reader, instruction)
    except words.WordError as error:
        raise instruction.error(str(error)) from error


def from_(reader: Reader, instruction: Instruction) -> None:
    parts = words.split(instruction.text, reader.globals, reader.escape)
    named = len(parts) == 3 and parts[1].lower() == "as"
    taken = [stage.name for stage in reader.stages]
    base = _base(reader, parts[0] if parts else "")
    before = reader.stages[base].config if isinstance(base, int) else Config()
    name = parts[2].lower() if named else ""
    reader.stages.append(OpenStage(instruction.line, name, base, before))  # even a wrong one: the rest is read as its
    if (len(parts) != 1 and not named) or not parts[0]:
        raise instruction.error("write FROM IMAGE, or FROM IMAGE AS NAME; an ARG for it stands before the first FROM")
    flags = dict(instruction.flags)
    wanted = words.expand(flags.pop("platform", ""), reader.globals, reader.escape)
    if flags:
        raise instruction.error(f"--{next(iter(flags))} is not supported")
    if wanted and wanted.split("/")[:2] != ["linux", reader.machine]:
        raise instruction.error(f"this builder builds for linux/{reader.machine}, not {wanted[:60]}")
    if named and (not _STAGE_NAME.fullmatch(name) or name == "scratch"):
        raise instruction.error(f"{name[:60]!r} is no name for a stage")
    if name and name in taken:
        raise instruction.error(f"an earlier stage has the name {name}")


def _base(reader: Reader, name: str) -> str | int:
    for number, stage in enumerate(reader.stages):
        if stage.name and stage.name == name.lower():
            return number
    return name


def arg(reader: Reader, instruction: Instruction) -> None:
    """--build-arg wins over the default; without either, an ARG from before the first FROM is taken over."""
    for part in words.raw_words(instruction.text, reader.escape):
        name, equals, default = part.partition("=")
        if not config.VARIABLE.fullmatch(name):
            raise instruction.error(f"{name[:60]!r} is no name of a variable")
        known = reader.values if reader.stages else reader.globals
        value = words.expand(default, known, reader.escape) if equals else None
        if name in reader.build_args:
            value = reader.build_args[name]
        elif value is None and reader.stages:
            value = reader.globals.get(name)
        if value is not None:
            (reader.stage.arguments if reader.stages else reader.globals)[name] = value
    if reader.stages:
        reader.add(instruction)


def run(reader: Reader, instruction: Instruction) -> None:
    network = True
    for name, value in instruction.flags:
        if name != "network" or value not in ("none", "default"):
            raise instruction.error(f"--{name}={value} is not supported")
        network = value != "none"
    argv, shell = reader.argv(instruction)
    now = reader.stage.config
    script = ""
    if shell and instruction.heredocs:
        first = instruction.heredocs[0]
        if len(instruction.heredocs) == 1 and not without_heredocs(instruction.text):
            script = first.content if first.content.startswith("#!") else ""
            argv = (SCRIPT,) if script else (*now.shell, first.content)
        else:  # the shell reads them; the tabs of <<- have gone already
            documents = "".join(f"{heredoc.content}{heredoc.name}\n" for heredoc in instruction.heredocs)
            argv = (*now.shell, f"{instruction.text}\n{documents}")
    if not argv or not argv[0]:
        raise instruction.error("the list names no program")
    proxies = {name: value for name, value in reader.build_args.items() if name.lower() in _PROXIES}
    step = Run(instruction.line, argv, {**proxies, **reader.values}, now.user, now.workdir, network, script)
    reader.add(instruction, step)


def copy(reader: Reader, instruction: Instruction) -> None:
    """COPY and ADD."""
    flags = dict(instruction.flags)
    origin = _origin(reader, instruction, flags.pop("from", None))
    owner = reader.expand(flags.pop("chown", ""))
    mode = reader.expand(flags.pop("chmod", ""))
    flags.pop("link", None)  # a layer of COPY does not depend on what is below it anyway
    if flags:
        raise instruction.error(f"--{next(iter(flags))} is not supported")
    if owner and not config.OWNER.fullmatch(owner):
        raise instruction.error(f"--chown: {owner[:60]!r} is not USER or USER:GROUP")
    if mode and not re.fullmatch(r"[0-7]{3,4}", mode):
        raise instruction.error(f"--chmod: {mode[:20]!r} is not a mode of three or four octal digits")
    found = listed(instruction.text)
    text = heredoc_words(instruction.text) if instruction.heredocs else instruction.text
    parts = reader.split(text) if found is None else [reader.expand(word) for word in found]
    if len(parts) < 2:
        raise instruction.error("write at least one source and the target")
    if len(parts) > 2 and not parts[-1].endswith("/"):
        raise instruction.error("with more than one source the target is a directory, and ends with /")
    inline = {f"<<{heredoc.name}": heredoc for heredoc in instruction.heredocs}
    sources = tuple(part for part in parts[:-1] if part not in inline)
    if remote := next((source for source in sources if _REMOTE.match(source)), ""):
        raise instruction.error(f"{remote[:80]} is not in the context; fetch it with RUN")
    step = Copy(
        line=instruction.line,
        sources=sources,
        target=reader.below(parts[-1]),
        files=tuple(
            File(document.name, words.content(document.content, reader.values) if document.expand else document.content)
            for part in parts[:-1]
            if (document := inline.get(part))
        ),
        origin=origin,
        owner=owner,
        mode=int(mode, 8) if mode else None,
        unpack=instruction.name == "ADD",
    )
    reader.add(instruction, step)


def _origin(reader: Reader, instruction: Instruction, name: str | None) -> int | None:
    if name is None:
        return None
    if instruction.name == "ADD":
        raise instruction.error("--from is COPY's")
    for number, stage in enumerate(reader.stages[:-1]):
        if (stage.name and name.lower() == stage.name) or name == str(number):
            return number
    raise instruction.error(f"--from={name[:60]}: no earlier stage has that name, and images cannot be fetched here")


def workdir(reader: Reader, instruction: Instruction) -> None:
    path = reader.below(reader.expand(instruction.text)).rstrip("/") or "/"
    reader.stage.set(workdir=path)
    reader.add(instruction, Workdir(instruction.line, path))


TABLE: dict[str, Callable[[Reader, Instruction], None]] = {
    "FROM": from_,
    "ARG": arg,
    "RUN": run,
    "COPY": copy,
    "ADD": copy,
    "WORKDIR": workdir,
    "ENV": config.env,
    "USER": config.user,
    "CMD": config.cmd,
    "ENTRYPOINT": config.entrypoint,
    "LABEL": config.label,
    "EXPOSE": config.expose,
    "VOLUME": config.volume,
    "SHELL": config.shell,
    "STOPSIGNAL": config.stopsignal,
    "MAINTAINER": config.maintainer,
}
