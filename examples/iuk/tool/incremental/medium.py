"""The files on the medium beside the system: boot loaders, kernels, and what is to be deleted.

On the released image the boot loader's folder is isolinux, on an installed medium it is syslinux. An installed medium
is FAT32: names that differ only in case are one name, and some characters are in none.
"""

from __future__ import annotations

import json
import os
from collections.abc import Iterator, Mapping
from fnmatch import fnmatchcase

SYSTEM = "live/filesystem.squashfs"
RENAMED = {"isolinux/isolinux.cfg": "syslinux/syslinux.cfg"}
CARRIED = ("EFI/*", "syslinux/*", "utils/*", "live/vmlinuz*", "live/initrd*")
WATCHED = (
    "EFI", "EFI/BOOT", "EFI/debian", "EFI/debian/grub", "live", "syslinux", "utils", "utils/linux", "utils/mbr"
)  # fmt: skip
_NOT_IN_FAT = set('"*/:<>?\\|')


def read_medium(folder: str) -> dict[str, bytes]:
    """Path on an installed medium -> content, of all that a kit may carry or delete. ValueError: no name for FAT32."""
    found: dict[str, bytes] = {}
    folded: dict[str, str] = {}
    for path in _files(folder):
        name = RENAMED.get(path, path)
        if name.startswith("isolinux/"):
            name = "syslinux/" + name.removeprefix("isolinux/")
        _require_fat(name)
        first = folded.setdefault(name.casefold(), name)
        if first != name:
            raise ValueError(f"{first} and {name} are one name on FAT32")
        if name == SYSTEM:
            continue
        with open(os.path.join(folder, path), "rb") as file:
            content = file.read()
        if name.startswith("syslinux/") and name.endswith(".cfg"):
            content = content.replace(b"/isolinux/", b"/syslinux/")
        found[name] = content
    return found


def carried(old: Mapping[str, bytes], new: Mapping[str, bytes]) -> dict[str, bytes]:
    """The files that a kit brings: new ones, and those that changed."""
    before = {name.casefold(): content for name, content in old.items()}
    return {
        name: content
        for name, content in sorted(new.items())
        if any(fnmatchcase(name, glob) for glob in CARRIED) and before.get(name.casefold()) != content
    }


def deleted(old: Mapping[str, bytes], new: Mapping[str, bytes]) -> list[str]:
    """What the old medium has and the new one has not, in the folders that upgrades look after."""
    left = {name.casefold() for name in new}
    return sorted(name for name in old if name.casefold() not in left and os.path.dirname(name) in WATCHED)


def control(names: list[str]) -> str:
    """control.yml. Quoted, a name is the same in JSON and YAML."""
    if not names:
        return "---\ndelete_files: []\n"
    return "---\ndelete_files:\n" + "".join(f"  - {json.dumps(name, ensure_ascii=False)}\n" for name in names)


def read_control(text: str) -> list[str]:
    """The names in a control.yml that `control` wrote."""
    return [json.loads(line.strip().removeprefix("- ")) for line in text.split("\n") if line.startswith("  - ")]


def _files(folder: str) -> Iterator[str]:
    for place, folders, files in os.walk(folder):
        folders.sort()
        for name in sorted(files):
            yield os.path.relpath(os.path.join(place, name), folder)


def _require_fat(path: str) -> None:
    for name in path.split("/"):
        if set(name) & _NOT_IN_FAT or not name.isprintable() or name.endswith((".", " ")) or len(name) > 255:
            raise ValueError(f"{path!r} cannot be a name on FAT32")
