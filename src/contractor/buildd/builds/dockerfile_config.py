"""The instructions of a Dockerfile that change the image's configuration only. Pure."""

from __future__ import annotations

import re

from contractor.buildd.builds.dockerfile_lines import Instruction
from contractor.buildd.builds.dockerfile_reader import Reader, listed

OWNER = re.compile(r"[A-Za-z0-9_.$-]+(:[A-Za-z0-9_.$-]+)?")
VARIABLE = re.compile(r"[A-Za-z_][A-Za-z0-9_.-]*")
_PORT = re.compile(r"(\d{1,5})(?:-(\d{1,5}))?(?:/(tcp|udp|sctp))?")


def env(reader: Reader, instruction: Instruction) -> None:
    pairs = reader.pairs(instruction)
    for name in pairs:
        if not VARIABLE.fullmatch(name):
            raise instruction.error(f"{name[:60]!r} is no name of a variable")
    reader.stage.set(env={**reader.stage.config.env, **pairs})
    reader.add(instruction)


def label(reader: Reader, instruction: Instruction) -> None:
    pairs = reader.pairs(instruction)
    if "" in pairs:
        raise instruction.error("a label has no name")
    reader.stage.set(labels={**reader.stage.config.labels, **pairs})
    reader.add(instruction)


def maintainer(reader: Reader, instruction: Instruction) -> None:
    reader.stage.set(author=instruction.text)
    reader.add(instruction)


def user(reader: Reader, instruction: Instruction) -> None:
    name = reader.expand(instruction.text)
    if not OWNER.fullmatch(name):
        raise instruction.error(f"{name[:60]!r} is not USER or USER:GROUP")
    reader.stage.set(user=name)
    reader.add(instruction)


def cmd(reader: Reader, instruction: Instruction) -> None:
    reader.stage.set(cmd=reader.argv(instruction)[0])
    reader.stage.own_cmd = True
    reader.add(instruction)


def entrypoint(reader: Reader, instruction: Instruction) -> None:
    reader.stage.set(entrypoint=reader.argv(instruction)[0])
    if not reader.stage.own_cmd:
        reader.stage.set(cmd=None)  # one of the base was meant for the base's entry point
    reader.add(instruction)


def shell(reader: Reader, instruction: Instruction) -> None:
    found = listed(instruction.text)
    if not found:
        raise instruction.error('write a JSON list, like ["/bin/bash", "-c"]')
    reader.stage.set(shell=tuple(found))
    reader.add(instruction)


def stopsignal(reader: Reader, instruction: Instruction) -> None:
    reader.stage.set(stop_signal=reader.expand(instruction.text))
    reader.add(instruction)


def expose(reader: Reader, instruction: Instruction) -> None:
    ports = dict.fromkeys(reader.stage.config.exposed)
    for word in reader.expand(instruction.text).split():
        found = _PORT.fullmatch(word.lower())
        first = int(found[1]) if found else 0
        last = int(found[2] or found[1]) if found else 0
        if found is None or not 0 < first <= last <= 65535:
            raise instruction.error(f"{word[:40]!r} is not a port, like 80, 53/udp or 8000-8010")
        ports.update({f"{number}/{found[3] or 'tcp'}": None for number in range(first, last + 1)})
    reader.stage.set(exposed=tuple(ports))
    reader.add(instruction)


def volume(reader: Reader, instruction: Instruction) -> None:
    words = listed(instruction.text)
    found = reader.split(instruction.text) if words is None else [reader.expand(word) for word in words]
    if not all(found):
        raise instruction.error("a volume has no name")
    reader.stage.set(volumes=tuple(dict.fromkeys([*reader.stage.config.volumes, *found])))
    reader.add(instruction)
