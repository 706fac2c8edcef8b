"""A kit: a SquashFS image that holds

FORMAT                          "2"
control.yml                     delete_files: what is to be removed from the medium
overlay/live/<new>.squashfs     the difference of the systems, as the upper directory of an overlay
overlay/...                     boot files that are new or changed
"""

from __future__ import annotations

import os
import shutil
import subprocess
import tarfile

from incremental.difference import overlaid, unlike
from incremental.medium import SYSTEM, carried, control, deleted, read_control, read_medium
from incremental.system import System, read_system

INNER = ("-comp", "xz", "-b", "1024K", "-Xdict-size", "1024K")  # for the medium, where room is short
X86 = ("-Xbcj", "x86")
OUTER = ("-comp", "gzip", "-Xcompression-level", "1")  # what is large in it is compressed already


def lay_out(old: str, new: str, kit: str) -> list[str]:
    """Everything of a kit but the difference of the systems, in the folder `kit`; returns what will be deleted."""
    before, now = read_medium(old), read_medium(new)
    gone = deleted(before, now)
    for name, content in {
        "FORMAT": b"2\n",
        "control.yml": control(gone).encode(),
        **{f"overlay/{name}": content for name, content in carried(before, now).items()},
    }.items():
        os.makedirs(os.path.dirname(f"{kit}/{name}"), exist_ok=True)
        with open(f"{kit}/{name}", "wb") as file:
            file.write(content)
    return gone


def pack(kit: str, upper: str, difference: str, output: str, epoch: int) -> None:
    """Make the image of the upper directory (a tar archive), and the kit around it."""
    inner = f"{kit}/overlay/live/{difference}"
    os.makedirs(os.path.dirname(inner), exist_ok=True)
    with tarfile.open(upper, "r:", encoding="utf-8", errors="surrogateescape") as tar:
        root = tar.next()
        rest = tar.offset  # of the member after it: mksquashfs takes the root from its options
    assert root is not None and root.name == "."
    owner = ("-root-mode", f"{root.mode:o}", "-root-uid", str(root.uid), "-root-gid", str(root.gid))
    bcj = X86 if os.uname().machine == "x86_64" else ()
    with open(upper, "rb", buffering=0) as archive:
        archive.seek(rest)
        _mksquashfs("-", inner, "-tar", *owner, *INNER, *bcj, stdin=archive)
    for folder, _folders, files in os.walk(kit, topdown=False):
        for name in files:
            os.chmod(f"{folder}/{name}", 0o644)
            os.utime(f"{folder}/{name}", (epoch, epoch))
        os.chmod(folder, 0o755)
        os.utime(folder, (epoch, epoch))
    _mksquashfs(kit, output, "-all-root", "-no-xattrs", *OUTER)


def _mksquashfs(source: str, image: str, *options: str, stdin: object = None) -> None:
    """Times are those of the files, none later than SOURCE_DATE_EPOCH (mksquashfs reads it from the environment)."""
    command = ["mksquashfs", source, image, *options, "-noappend", "-no-progress", "-quiet"]
    subprocess.run(command, stdin=stdin, check=True)  # type: ignore[call-overload]


def unpack(image: str, folder: str) -> None:
    """A kit's content into a new folder."""
    subprocess.run(["unsquashfs", "-quiet", "-no-progress", "-dest", folder, image], check=True)
    found = sorted(os.listdir(folder))
    if found != ["FORMAT", "control.yml", "overlay"]:
        raise ValueError(f"{image} holds {', '.join(found)}: that is no kit")
    if _text(f"{folder}/FORMAT") != "2\n":
        raise ValueError(f"{image} is of format {_text(f'{folder}/FORMAT').strip()!r}, not 2")


def faults(old: str, new: str, image: str, work: str, ignored: list[str]) -> list[str]:
    """What is not as in the new release after a kit was applied to the old one. work: a folder for what is unpacked."""
    unpack(image, f"{work}/kit")
    images = [name for name in os.listdir(f"{work}/kit/overlay/live") if name.endswith(".squashfs")]
    if len(images) != 1:
        raise ValueError(f"{image} holds {len(images)} differences, not one")
    upper = read_system(f"{work}/kit/overlay/live/{images[0]}", f"{work}/upper.tar")
    lower = read_system(f"{old}/{SYSTEM}", f"{work}/old.tar")
    wanted = read_system(f"{new}/{SYSTEM}", f"{work}/new.tar")
    return [*_of_systems(overlaid(lower, upper), wanted, ignored), *_of_media(old, new, f"{work}/kit")]


def _of_systems(shown: System, wanted: System, ignored: list[str]) -> list[str]:
    return [
        f"/{path}: {_words(shown, path)}, in the new system {_words(wanted, path)}"
        for path in unlike(shown, wanted, ignored)
    ]


def _words(system: System, path: str) -> str:
    entry = system.entries.get(path)
    return "not there" if entry is None else " ".join(f"{name}={value}" for name, value in entry._asdict().items())


def _of_media(old: str, new: str, kit: str) -> list[str]:
    """Names on the medium are compared as FAT32 does."""
    wanted = read_medium(new)
    shown = {name.casefold(): content for name, content in read_medium(old).items()}
    shown |= {name.casefold(): content for name, content in read_medium(f"{kit}/overlay").items()}
    for name in read_control(_text(f"{kit}/control.yml")):
        del shown[name.casefold()]
    watched = {**carried({}, wanted), **dict.fromkeys(deleted(read_medium(old), wanted), b"")}
    return [
        f"{name}: not as on the new medium"
        for name in sorted(watched)
        if shown.get(name.casefold()) != wanted.get(name)
    ]


def install(medium: str, image: str, work: str) -> None:
    """Apply a kit to an installed medium: copy, delete, and name the one difference that the system is started with."""
    unpack(image, f"{work}/kit")
    shutil.copytree(f"{work}/kit/overlay", medium, dirs_exist_ok=True, copy_function=shutil.copyfile)
    for name in read_control(_text(f"{work}/kit/control.yml")):
        if os.path.exists(f"{medium}/{name}"):
            os.unlink(f"{medium}/{name}")
    (difference,) = (name for name in os.listdir(f"{work}/kit/overlay/live") if name.endswith(".squashfs"))
    module = f"{medium}/live/system.module"
    before = _text(module).split() if os.path.exists(module) else []
    for name in before:
        if name not in ("filesystem.squashfs", difference):
            os.unlink(f"{medium}/live/{name}")
    with open(module, "w", encoding="utf-8") as file:
        file.write(f"filesystem.squashfs\n{difference}\n")


def _text(path: str) -> str:
    with open(path, encoding="utf-8") as file:
        return file.read()
