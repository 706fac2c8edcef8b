"""Secrets as they are given, taken out of what is written down, and looked for in what is to be stored."""

from __future__ import annotations

import base64
import os
from itertools import pairwise
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from contractor.build.prepare import Request
from contractor.build.secrets.scan import Finder, Searched
from contractor.build.secrets.secrets import Plain, Secrets
from contractor.cli.secrets import read_secrets, require_outside
from contractor.core.errors import Rejected
from contractor.core.fetch import Fetch
from contractor.store.layout import Store

TOKEN = b"tok/9aZ-kQ+7&m=Lx3vR_sesame"


def test_a_secret_is_a_files_content_or_what_a_descriptor_gives(tmp_path: Path) -> None:
    (tmp_path / "key").write_bytes(b"line\nanother\n")
    read, write = os.pipe()
    os.write(write, TOKEN)
    os.close(write)
    found = read_secrets([f"KEY={tmp_path}/key", f"TOKEN=fd:{read}"])
    assert found == {"KEY": b"line\nanother\n", "TOKEN": TOKEN}
    with pytest.raises(OSError, match="Bad file descriptor"):
        os.fstat(read)  # nobody who is started later has it


@pytest.mark.parametrize(
    ("given_", "why"),
    [
        (["A"], "expected NAME=VALUE"),
        (["A=missing"], "cannot be read: No such file"),
        (["A=fd:x"], "names no descriptor"),
        (["A=fd:"], "names no descriptor"),
        (["A=fd:-1"], "names no descriptor"),
        (["A=fd:1"], "names no descriptor"),
        (["A=fd:2"], "names no descriptor"),
        (["A=fd:99999"], "cannot be read: Bad file descriptor"),
        (["A=fd:99999999999999999999"], "names no descriptor"),
        (["A=short"], "fewer than 4 bytes"),
        (["A=blank"], "fewer than 4 bytes"),
        (["A=long"], "more than 64 KiB"),
        (["A=."], "Is a directory"),
        (["A=key", "A=key"], "gives A twice"),
    ],
)
def test_what_is_no_secret_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, given_: list[str], why: str
) -> None:
    monkeypatch.chdir(tmp_path)
    for name, content in {"key": TOKEN, "short": b"abc", "blank": b"a \n\n\n\n", "long": b"x" * 65537}.items():
        (tmp_path / name).write_bytes(content)
    with pytest.raises(Rejected, match=why):
        read_secrets(given_)


def test_one_descriptor_is_one_secret() -> None:
    read, write = os.pipe()
    os.write(write, TOKEN)
    os.close(write)
    with pytest.raises(Rejected, match=f"fd:{read} is read for A already"):
        read_secrets([f"A=fd:{read}", f"B=fd:{read}"])


@pytest.mark.parametrize("source", [".", "src", "src/in"])
def test_a_secrets_file_is_no_source(tmp_path: Path, source: str) -> None:
    (tmp_path / "src" / "in").mkdir(parents=True)
    (tmp_path / "src" / "in" / "key").write_bytes(TOKEN)
    (tmp_path / "elsewhere").mkdir()
    (tmp_path / "elsewhere" / "link").symlink_to(tmp_path / "src" / "in" / "key")
    spec = tmp_path / "contractor.yaml"
    spec.write_text(f"contractor: 1\nname: x\nsource: {{path: {source}}}\nsteps:\n  - create-artifact: a\n")
    store = Store(str(tmp_path / "store"))
    for path in ("src/in/key", "elsewhere/link"):
        with pytest.raises(Rejected, match=r"--secret KEY: .* is part of the source"):
            require_outside([f"KEY={tmp_path}/{path}"], Request(str(spec)), store)
    (tmp_path / "key").write_bytes(TOKEN)
    require_outside(["FD=fd:7"], Request(str(spec)), store)
    if source != ".":
        require_outside([f"KEY={tmp_path}/key"], Request(str(spec)), store)
    assert not [*(tmp_path / "store" / "blobs").iterdir()]  # looked at before it is packed


def test_a_request_is_written_down_without_them() -> None:
    secrets = Secrets({"TOKEN": TOKEN})
    fetch = Fetch(
        "GET",
        "http://host/a?t=tok%2F9aZ-kQ%2B7%26m%3DLx3vR_sesame&b=1",
        "allowed",
        reason=f"moved to {TOKEN.decode()}",
        headers=(("location", "/x/" + base64.b64encode(TOKEN).decode()), ("content-type", "text/html")),
    )
    clean = secrets.clean(fetch)
    assert clean.url == "http://host/a?t=[secret]&b=1"
    assert clean.reason == "moved to [secret]"
    assert clean.headers[0][1].startswith("/x/[secret]")
    assert clean.headers[1] == fetch.headers[1]


def test_without_secrets_nothing_is_changed() -> None:
    secrets = Secrets({})
    assert isinstance(secrets.stream(), Plain)
    assert secrets.hide("a\udcffb") == "a\udcffb"
    fetch = Fetch("GET", "http://host/", "allowed")
    assert secrets.clean(fetch) is fetch


def test_a_text_that_is_no_utf8_survives() -> None:
    assert Secrets({"TOKEN": TOKEN}).hide(f"a\udcff{TOKEN.decode()}") == "a\udcff[secret]"


class _Kept:
    def __init__(self) -> None:
        self.data = b""
        self.end = ""

    def write(self, data: bytes | bytearray) -> None:
        self.data += data

    def commit(self, digest: str) -> bool:
        self.end = digest
        return True

    def drop(self) -> None:
        self.end = "dropped"


@pytest.mark.parametrize(("body", "end"), [(b"nothing in it", "digest"), (b"echo: " + TOKEN, "dropped")])
def test_an_answer_that_has_the_secret_is_not_kept(body: bytes, end: str) -> None:
    kept = _Kept()
    sink = Searched(kept, Finder({"TOKEN": TOKEN}))
    for at in range(0, len(body), 5):
        sink.write(bytearray(body[at : at + 5]))
    assert sink.commit("digest") == (end == "digest")
    assert (kept.data, kept.end) == (body, end)


@given(st.binary(max_size=300), st.binary(max_size=300), st.lists(st.integers(0, 700), max_size=9), st.integers(0, 2))
def test_a_value_is_found_wherever_pieces_end(before: bytes, after: bytes, cuts: list[int], shift: int) -> None:
    coded = base64.encodebytes(b"u" * (shift + 50) + TOKEN)
    for form in (TOKEN, coded, TOKEN.hex().encode()):
        stream = before + form + after
        places = [0, *sorted(min(cut, len(stream)) for cut in cuts), len(stream)]
        pieces = [stream[start:end] for start, end in pairwise(places)]
        found = Finder({"TOKEN": TOKEN}).find(pieces)
        assert found is not None
        assert found.name == "TOKEN"


@given(st.binary(max_size=2000))
def test_nothing_is_found_where_nothing_is(noise: bytes) -> None:
    assert Finder({"TOKEN": TOKEN, "PIN": b"8153"}).find([noise, noise]) is None
