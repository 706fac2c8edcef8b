"""Images whose folders are links, loops and files: the build says in a sentence what is wrong, and ends."""

from __future__ import annotations

import io
import tarfile
from pathlib import Path
from typing import Any

import pytest
from target_kit import Account, image_of, kinds, member, small_tree
from worker_kit import Worker

TOP = "chroot-autobuild"


@pytest.fixture(scope="module")
def account(top: Path) -> Account:
    return Account(kinds()[-1], top / "account")


def _link(name: str, to: str) -> tarfile.TarInfo:
    return member(f"{TOP}/{name}", type=tarfile.SYMTYPE, linkname=to)


def _folder(name: str) -> tarfile.TarInfo:
    return member(f"{TOP}/{name}", type=tarfile.DIRTYPE)


def _image(path: Path, *members: tarfile.TarInfo, data: bytes = b"") -> Path:
    with tarfile.open(path, "w") as archive:
        for name in ("dev", "proc", "run", "tmp"):
            archive.addfile(_folder(name))
        for item in members:
            archive.addfile(item, io.BytesIO(data) if item.size else None)
    path.chmod(0o644)
    return path


PASSWD = "".join(f"u:x:{number}:0:::\n" for number in range(2001, 65534)).encode()
HOSTILE: dict[str, tuple[list[tarfile.TarInfo], bytes, str]] = {
    "etc is a loop": ([_link("etc", "etc")], b"", "'/etc' is not usable in the target: Too many levels of symbolic"),
    "apt leads nowhere": ([_folder("etc"), _link("etc/apt", "/no/where")], b"", "'/etc/apt' is not usable in the"),
    "home is a file": ([member(f"{TOP}/home", b"x")], b"x", "'/home' is not usable in the target: Not a directory"),
    "hosts is a folder": ([_folder("etc"), _folder("etc/hosts")], b"", "'/etc/hosts' is not usable in the target"),
    "passwd is a folder": ([_folder("etc"), _folder("etc/passwd")], b"", "/etc/passwd is no regular file"),
    "a number without end": (
        [_folder("etc"), member(f"{TOP}/etc/passwd", b"x:x:" + b"9" * 5000)], b"x:x:" + b"9" * 5000, "",
    ),
    "no number left": ([_folder("etc"), member(f"{TOP}/etc/passwd", PASSWD)], PASSWD, "no number left for the build"),
}  # fmt: skip


@pytest.mark.parametrize("name", HOSTILE)
def test_images_that_cannot_be_mounted(account: Account, top: Path, name: str) -> None:
    members, data, words = HOSTILE[name]
    image = _image(top / name.replace(" ", "-"), *members, data=data)
    given: dict[str, Any] = {"git_repository": "https://git.example.org/x"}
    done = Worker(account.folder, "translation-templates", image, given, prefix=account.prefix).finish()
    assert done.status == "CHROOTFAIL" if words else done.steps[-4] == "TRANSLATION_TEMPLATES", done
    assert words in done.log, done.log
    assert "Traceback" not in done.log and ".py" not in done.log, done
    assert account.leftovers() == []


def test_a_folder_that_the_build_takes_away(account: Account, top: Path) -> None:
    """In the type's own step it is the package's fault."""
    git = f"rm -rf /build; ln -s /nowhere /build; echo {'5' * 40}"
    small_tree(top / "tree", {"git": git})
    image = image_of(top / "tree", top / "taken")
    given = {"name": "x", "git_repository": "https://user:secret@git.example.org/x"}
    done = Worker(account.folder, "oci", image, given, prefix=account.prefix).finish()
    assert done.status == "PACKAGEFAIL", done.log
    assert "Traceback" not in done.log and ".py" not in done.log, done


def test_no_descriptor_is_left_by_what_is_refused(account: Account, top: Path) -> None:
    image = _image(top / "nowhere", _folder("etc"), _link("etc/apt", "/no/where"))
    said = account.target(
        image,
        """
for _ in range(2000):
    try: t.mkdir("/etc/apt/x")
    except Rejected as error: last = error.message
say(last); t.write("/etc/fine", b"x")
""",
    )
    assert "'/etc/apt' is not usable in the target: a link leads nowhere" in said.values[0], said
    assert said.values[-1] == {"closed": ""}, said
