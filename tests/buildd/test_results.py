"""Results: what has holes keeps them, what is too much is refused, and what is in the cache already stays."""

from __future__ import annotations

import hashlib
import os
from pathlib import Path

import pytest
from target_kit import Account, image_of, kinds, small_tree

from contractor.buildd.inside import sparse

LIMITS = """
import contractor.buildd.target.files as of_targets
of_targets.{name} = {value}
"""


@pytest.fixture(scope="module")
def image(top: Path) -> Path:
    small_tree(top / "tree", {})
    return image_of(top / "tree", top / "image")


@pytest.fixture(scope="module")
def accounts(top: Path) -> dict[str, Account]:
    return {kind: Account(kind, top / kind) for kind in kinds()}


@pytest.fixture
def account(accounts: dict[str, Account]) -> Account:
    return next(iter(accounts.values()))


def test_a_result_keeps_its_holes(account: Account, image: Path) -> None:
    said = account.target(
        image,
        """
t.run(["truncate", "-s", "300M", "/tmp/big"], check=True)
t.run(["sh", "-c", "printf end >>/tmp/big"], check=True)
say(t.result("/tmp/big")); say(t.files)
""",
    )
    assert said.values[0] is True, said
    found = account.cache / said.values[1]["big"]
    assert found.stat().st_size == (300 << 20) + 3
    assert found.stat().st_blocks * 512 < 1 << 20
    content = hashlib.sha1()
    for _ in range(300):
        content.update(bytes(1 << 20))
    content.update(b"end")
    assert found.name == content.hexdigest()


@pytest.mark.parametrize(
    ("name", "value", "words"),
    [("RESULT_MAX", "100 << 20", "/tmp/big is larger than a result may be"),
     ("_RESERVE", "1 << 60", "/tmp/big has 3 bytes, and the builder's disk has 0 left")],
)  # fmt: skip
def test_what_is_too_much(account: Account, image: Path, name: str, value: str, words: str) -> None:
    before = sorted(os.listdir(account.cache))
    said = account.target(
        image,
        LIMITS.format(name=name, value=value)
        + """
t.run(["truncate", "-s", "100M", "/tmp/big"], check=True)
t.run(["sh", "-c", "printf end >>/tmp/big"], check=True)
t.result("/tmp/big")
""",
    )
    assert words in said.error, said
    assert sorted(os.listdir(account.cache)) == before


def test_a_file_of_the_cache_stays_when_a_result_is_the_same(account: Account, image: Path) -> None:
    path = account.cache / hashlib.sha1(b"content").hexdigest()
    path.write_bytes(b"content")
    path.chmod(0o644)
    os.utime(path, (1_000_000, 1_000_000))
    before = path.stat()
    said = account.target(image, 'say(t.keep(b"content")); t.result_bytes("x", b"content"); say(t.files)')
    assert said.values[:2] == [path.name, {"x": path.name}], said
    after = path.stat()
    assert (after.st_ino, after.st_mtime_ns) == (before.st_ino, before.st_mtime_ns)


def test_a_file_of_the_cache_that_is_another_is_replaced(account: Account, image: Path) -> None:
    """Its name says what it is not: the daemon lets clients choose the names of inputs."""
    path = account.cache / hashlib.sha1(b"the truth").hexdigest()
    for lie in (b"not true.", b"short"):
        path.write_bytes(lie)
        path.chmod(0o644)
        said = account.target(image, 'say(t.keep(b"the truth"))')
        assert said.values[0] == path.name, said
        assert path.read_bytes() == b"the truth"


@pytest.mark.parametrize("layout", ["", "d", "h", "dh", "hd", "hdh", "dhd"])
def test_copies_with_holes(tmp_path: Path, layout: str) -> None:
    """d: a MiB of data, h: one of nothing."""
    source, copied = tmp_path / "source", tmp_path / "copy"
    with open(source, "wb") as file:
        for kind in layout:
            file.write(os.urandom(1 << 20)) if kind == "d" else file.seek(1 << 20, os.SEEK_CUR)
        file.truncate(len(layout) << 20)
    with open(source, "rb") as origin, open(copied, "wb") as to:
        assert sparse.data_size(origin.fileno(), len(layout) << 20) == layout.count("d") << 20
        sparse.copy(origin.fileno(), to.fileno(), len(layout) << 20)
    assert copied.read_bytes() == source.read_bytes()
    assert copied.stat().st_blocks <= source.stat().st_blocks
