"""Where the client finds a builder, what it offers to one, and where it puts what comes."""

from __future__ import annotations

import os
from http.client import HTTPConnection
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as some

from contractor.buildd.client.folder import Folder, name_problem
from contractor.buildd.client.offer import Offer, open_file
from contractor.buildd.client.place import parse_place
from contractor.cli.buildd.build import arguments_of
from contractor.core.errors import Rejected


@pytest.mark.parametrize(
    ("text", "url"),
    [
        ("builder", "http://builder:8221"),
        ("10.0.0.7:9000", "http://10.0.0.7:9000"),
        ("http://b:80/rpc/", "http://b:80"),
        ("https://u:p@b/x/rpc", "https://b:443/x"),
        ("http://[::1]", "http://[::1]:8221"),
    ],
)
def test_how_a_builder_is_named(text: str, url: str) -> None:
    assert parse_place(text).url == url
    assert parse_place("https://u:p%40@b").user == b"u:p@"


@pytest.mark.parametrize(
    "text", ["", "ftp://b", "http://", "http://b:0", "http://b/a b", "http://b?x", "b/\x00", "a b"]
)
def test_what_is_no_builders_url(text: str) -> None:
    with pytest.raises(Rejected, match=r"no builder's URL"):
        parse_place(text)
    with pytest.raises(Rejected) as caught:
        parse_place("gopher://user:secret@b")
    assert "secret" not in caught.value.message


@given(some.text(max_size=300))
def test_a_name_that_is_taken_is_a_single_safe_one(name: str) -> None:
    if not name_problem(name):
        assert "/" not in name and name not in ("", ".", "..") and name.isprintable() and not name.startswith("-")
        assert len(os.fsencode(name)) <= 255


def test_a_folder_that_is_swapped_while_it_is_used_leads_nowhere_else(tmp_path: Path) -> None:
    (tmp_path / "elsewhere").mkdir()
    with Folder(str(tmp_path / "out")) as folder:
        (tmp_path / "out").rename(tmp_path / "moved")
        (tmp_path / "out").symlink_to(tmp_path / "elsewhere")
        with folder.growing() as file:
            file.write(b"x")
            file.publish("name")
    assert (tmp_path / "moved" / "name").read_bytes() == b"x"
    assert not os.listdir(tmp_path / "elsewhere")
    with pytest.raises(Rejected), Folder(str(tmp_path / "out" / "..")) as folder:
        folder.below("out")
    (tmp_path / "file").write_bytes(b"")
    with pytest.raises(Rejected, match="cannot be used as a folder"):
        Folder(str(tmp_path / "file"))


def asked(offer: Offer, method: str, url: str) -> tuple[int, bytes]:
    connection = HTTPConnection(offer.place, timeout=10)
    connection.request(method, url.removeprefix(f"http://{offer.place}"))
    response = connection.getresponse()
    try:
        return response.status, response.read()
    finally:
        response.close()
        connection.close()


def test_files_are_offered_to_who_knows_their_url_alone(tmp_path: Path) -> None:
    path = tmp_path / "image"
    path.write_bytes(b"x" * 3_000_000)
    file = open_file(str(path))
    with Offer([file], "127.0.0.1") as offer:
        path.unlink()  # it stays open: what is sent is what was read
        assert asked(offer, "GET", offer.url(file.name)) == (200, b"x" * 3_000_000)
        assert asked(offer, "HEAD", offer.url(file.name)) == (200, b"")
        for other in ("/", f"/{file.name}", "/../etc/passwd", "//etc/passwd"):
            assert asked(offer, "GET", other)[0] == 404
    for wrong in (str(tmp_path), str(tmp_path / "none")):
        with pytest.raises(Rejected):
            open_file(wrong)
    with pytest.raises(Rejected, match="cannot be offered at"):
        Offer([], "192.0.2.1")


def test_arguments_are_text_unless_only_json_can_say_it(tmp_path: Path) -> None:
    (tmp_path / "args.json").write_text('{"series": "x", "archives": ["a"], "jobs": [[["b", 0]]]}')
    given = [
        "series=20.04",
        "archives+=deb b",
        "private=true",
        "n=7",
        'secrets={"a": "b"}',
        "empty=",
        "new+=1",
        'q="7"',
    ]
    assert arguments_of(str(tmp_path / "args.json"), given) == {
        "series": "20.04",
        "archives": ["a", "deb b"],
        "jobs": [[["b", 0]]],
        "private": True,
        "n": "7",
        "secrets": {"a": "b"},
        "empty": "",
        "new": ["1"],
        "q": "7",
    }
    (tmp_path / "list.json").write_text("[]")
    for path, wrong in [
        (None, "x"),
        (None, "=x"),
        (None, "a=[1"),
        (None, "a=\x00"),
        ("list.json", "a=1"),
        ("no", "a=1"),
    ]:
        with pytest.raises(Rejected):
            arguments_of(str(tmp_path / path) if path else None, [wrong])
    with pytest.raises(Rejected, match="no list"):
        arguments_of(None, ["a=1", "a+=2"])
