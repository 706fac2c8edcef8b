"""Targets on real images: what they hold, what hostile ones cannot do, and that nothing of them is left."""

from __future__ import annotations

import hashlib
import io
import os
import tarfile
from pathlib import Path

import pytest
from target_kit import Account, image_of, kinds, member, small_tree


@pytest.fixture(scope="module")
def accounts(top: Path) -> dict[str, Account]:
    return {kind: Account(kind, top / kind) for kind in kinds()}


@pytest.fixture(params=kinds())
def account(request: pytest.FixtureRequest, accounts: dict[str, Account]) -> Account:
    return accounts[request.param]


@pytest.fixture(scope="module")
def tree(top: Path) -> Path:
    made = top / "tree"
    small_tree(made, {"complain": "echo to-stderr >&2; exit 7"})
    (made / "leads-out").symlink_to("../../../../../../etc")
    (made / "leads-to-proc").symlink_to("/proc/1/root")
    return made


@pytest.fixture(scope="module")
def image(top: Path, tree: Path) -> Path:
    return image_of(tree, top / "image")


@pytest.mark.parametrize(
    ("kind", "compression"),
    [("chroot-autobuild", "gz"), ("chroot-autobuild", "xz"), ("chroot-autobuild", "bz2"), ("chroot-autobuild", "zst"),
     ("chroot-autobuild", "none"), ("rootfs", "gz")],
)  # fmt: skip
def test_images_of_every_kind(tree: Path, top: Path, accounts: dict[str, Account], kind: str, compression: str) -> None:
    image = image_of(tree, top / f"{kind}-{compression}", kind, compression)
    said = next(iter(accounts.values())).target(image, "say(t.list('/')); say(t.list('/dev'))")
    assert said.values[0] == sorted(os.listdir(tree)), said
    assert said.values[1] == []  # a device of the image is none of the target's
    assert said.values[-1] == {"closed": ""}


def test_commands_as_root_and_as_the_build_user(account: Account, image: Path) -> None:
    said = account.target(
        image,
        """
say(t.run(["id", "-u"], get_output=True).decode())
say(t.run(["id", "-u"], user="buildd", get_output=True).decode())
say(t.run(["touch", "/etc/by-root"]).code)
say(t.run(["touch", "/etc/by-builder"], user="buildd").code)
say(t.run(["cat"], stdin=b"fed", get_output=True).decode())
say(t.run(["complain"]).code)
try: t.run(["complain"], check=True)
except TargetFailed as error: say([error.argv, error.code])
try: t.run(["no-such-program"], check=True)
except TargetFailed as error: say(error.code == 127 and t.run(["true"], cwd="/no/such").code == 127)
say(t.run(["sh", "-c", "echo >/dev/tcp/127.0.0.1/22"]).code != 0)
say(t.run(["sh", "-c", "touch /tmp/stays"]).code); say(t.exists("/tmp/stays"))
say(t.list("/etc"))
""",
    )
    root, builder, by_root, by_builder, fed, code, failed, missing, no_network, code2, stays, etc = said.values[:12]
    assert (root, builder, by_root) == ("0\n", "2001\n", 0), said
    assert by_builder != 0
    assert "by-root" in etc and "by-builder" not in etc
    assert (fed, code, failed, code2, stays) == ("fed", 7, [["complain"], 7], 0, True)
    assert missing and no_network
    assert "RUN: id -u" in said.log and "to-stderr" in said.log


def test_files_never_lead_out_of_the_tree(account: Account, image: Path) -> None:
    before = set(os.listdir("/etc"))
    said = account.target(
        image,
        """
t.write("/leads-out/contractor-was-here", b"x")
say(t.list("/etc")); say(t.exists("/leads-out/shadow")); say(t.kind("/leads-to-proc/etc"))
try: t.write("/leads-to-proc/etc/x", b"x"); say(t.exists("/etc/x"))
except ContractorError as error: say("refused")
t.run(["ln", "-s", "/etc/passwd", "/tmp/link"]); say(t.result("/tmp/link")); say(t.result("/tmp")); say(t.files)
say(t.result("/etc/passwd", "named")); say(t.files)
t.write("/a/b/c", b"deep", 0o600); say(t.read("/a/b/c", 10).decode())
try: t.read("/a/b/c", 3)
except Rejected as error: say(error.message)
t.remove("/a"); say(t.exists("/a")); t.remove("/a")
""",
    )
    assert set(os.listdir("/etc")) == before
    assert "contractor-was-here" in said.values[0], said
    assert said.values[1:3] == [False, ""]
    assert said.values[4:7] == [False, False, {}]
    digest = hashlib.sha1(b"root:x:0:0:root:/root:/bin/sh\n").hexdigest()
    assert said.values[7:9] == [True, {"named": digest}]
    assert (account.cache / digest).read_bytes().startswith(b"root:")
    assert said.values[9:12] == ["deep", "/a/b/c is larger than 3 bytes", False]
    assert account.leftovers() == []


def test_an_image_is_unpacked_once_and_read_once(account: Account, image: Path) -> None:
    copy = account.folder / "copy"
    copy.write_bytes(image.read_bytes() + b"")
    copy.chmod(0o644)
    account.target(image, "say(t.unpacked)")
    again = account.target(copy, "say([t.unpacked, t.layer])")
    first = account.target(image, "say([t.unpacked, t.layer])")
    assert again.values[0] == first.values[0] and not again.values[0][0], (again, first)
    assert not [name for name in os.listdir(account.cache) if name.startswith(".result")]


def test_one_target_does_not_see_anothers_files(account: Account, image: Path) -> None:
    account.target(image, "t.write('/usr/bin/true', b'changed')")
    said = account.target(image, "say(t.run(['true']).code)")
    assert said.values[0] == 0, said


def _archive(*members: tarfile.TarInfo, data: bytes = b"") -> bytes:
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w") as archive:
        for item in members:
            archive.addfile(item, io.BytesIO(data) if item.isreg() else None)
    return out.getvalue()


_TOP = "chroot-autobuild"
_LINK = member(f"{_TOP}/out", type=tarfile.SYMTYPE, linkname="/var/tmp")
HOSTILE = {
    "neither top": (_archive(member("stuff/passwd")), "neither chroot-autobuild/ nor rootfs/"),
    "climbing": (_archive(member(f"{_TOP}/../../../../var/tmp/contractor-escaped")), "absolute, climbing"),
    "absolute": (_archive(member("/var/tmp/contractor-escaped")), "absolute, climbing"),
    "through a link": (_archive(_LINK, member(f"{_TOP}/out/contractor-escaped")), "not a directory"),
    "hard link outside": (
        _archive(member(f"{_TOP}/x", type=tarfile.LNKTYPE, linkname="/etc/shadow")), "absolute, climbing",
    ),
    "hard link to the other top": (
        _archive(member("rootfs/x"), member(f"{_TOP}/x", type=tarfile.LNKTYPE, linkname=f"{_TOP}/y")), "",
    ),
    "cut short": (_archive(member(f"{_TOP}/x", b"1234"), data=b"1234")[:700], "ends too early"),
    "not a tar": (b"<html>404 not found</html>" * 100, "no tar archive"),
    "squashfs": (b"hsqs" + bytes(4096), "squashfs"),
    "empty": (b"", "ends too early"),
    "damaged gzip": (b"\x1f\x8b\x08" + b"\xff" * 5000, "damaged"),
}  # fmt: skip


@pytest.mark.parametrize("name", HOSTILE)
def test_hostile_images(accounts: dict[str, Account], top: Path, name: str) -> None:
    account = next(iter(accounts.values()))
    data, words = HOSTILE[name]
    image = top / f"hostile-{name.replace(' ', '-')}"
    image.write_bytes(data)
    image.chmod(0o644)
    for _ in range(2):  # a refused image is not found the second time either
        said = account.target(image, "say(t.list('/'))")
        if words:
            assert words in said.error, said
        else:
            assert said.values[0] == ["dev", "proc", "run", "tmp", "x"]  # not what is in another top
    assert not os.path.exists("/var/tmp/contractor-escaped")
    assert account.leftovers() == []


def test_an_image_that_is_not_there(account: Account, top: Path) -> None:
    assert "cannot be opened" in account.target(top / "nothing", "say(1)").error
    assert "no regular file" in account.target(top, "say(1)").error
