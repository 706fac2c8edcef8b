"""launchpad-buildd's ini file, our options, and what is wrong with either."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from contractor.buildd.daemon.configuration import load
from contractor.core.errors import Rejected

INI = """
[builder]
architecturetag = riscv64
filecache = /home/buildd/filecache-default
bindhost = 10.0.0.1
bindport = 8321
ntphost = ntp.example
sharepath = /usr/share/launchpad-buildd
proxyport = 8322

[translationtemplatesmanager]
resultarchive = other.tar.gz

[proxy]
apt = http://proxy.example:3142
snapstore = http://store.example
clamavdatabase = http://clam.example

[allmanagers]
unpackpath = bin/unpack-chroot

[binarypackagemanager]
sbuildargs = --batch --log-format=%t
"""


def read(tmp_path: Path, text: str, **options: Any) -> Any:
    path = tmp_path / "buildd.conf"
    path.write_text(text)
    return load(str(path), options, architecture="amd64", store="/store")


def test_every_key(tmp_path: Path) -> None:
    found = read(tmp_path, INI)
    assert (found.architecture, found.cache, found.store) == ("riscv64", "/home/buildd/filecache-default", "/store")
    assert (found.host, found.port, found.share_path) == ("10.0.0.1", 8321, "/usr/share/launchpad-buildd")
    assert found.settings == {
        "resultarchive": "other.tar.gz", "proxyport": "8322", "apt": "http://proxy.example:3142",
        "ntphost": "ntp.example",
        "snapstore": "http://store.example", "clamavdatabase": "http://clam.example",
    }  # fmt: skip


def test_options_win_and_defaults_are_there(tmp_path: Path) -> None:
    found = read(tmp_path, INI, host="127.0.0.1", port=0, architecture=None, settings={"apt": "x"})
    assert (found.host, found.port, found.architecture, found.settings["apt"]) == ("127.0.0.1", 0, "riscv64", "x")
    found = read(tmp_path, "[slave]\nfilecache = /c\n")
    assert (found.host, found.port, found.architecture, found.cache) == ("localhost", 8221, "amd64", "/c")
    found = load("", {"cache": "/c"}, architecture="amd64", store="/s")
    assert found.settings == {"resultarchive": "translation-templates.tar.gz", "proxyport": "8222"}


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("[builder]\nbindport = x\nproxyport = 70000\n", ("bindport", "proxyport", "file cache")),
        ("[other]\n", ("[builder]", "file cache")),
        ("builder\n", ()),
        ("[builder]\nfilecache = %(nothing)s\n", ()),
        ("[builder]\nfilecache = \udcff\n", ()),
    ],
)
def test_what_is_wrong_is_told_at_once(tmp_path: Path, text: str, words: tuple[str, ...]) -> None:
    path = tmp_path / "buildd.conf"
    path.write_bytes(text.encode(errors="surrogateescape"))
    with pytest.raises(Rejected) as caught:
        load(str(path), {}, architecture="amd64", store="/s")
    assert "buildd.conf" in caught.value.message and caught.value.hint
    assert len(caught.value.details) == len(words)
    assert all(word in detail for word, detail in zip(words, caught.value.details, strict=True))


def test_a_file_that_is_not_there(tmp_path: Path) -> None:
    with pytest.raises(Rejected, match="cannot be read"):
        load(str(tmp_path / "none"), {}, architecture="amd64", store="/s")
