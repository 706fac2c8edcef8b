"""contractor report: large logs, and where the file is written."""

from __future__ import annotations

import os
import re
import time
from pathlib import Path

import pytest
from cli_store import NEW, OLD, add, record, step, two_builds
from html_page import Page

from contractor.cli.main import main
from contractor.store.layout import Store


@pytest.fixture
def store(tmp_path, monkeypatch) -> Store:
    monkeypatch.setenv("CONTRACTOR_STORE", str(tmp_path / "store"))
    monkeypatch.chdir(tmp_path)
    made = Store(str(tmp_path / "store"))
    two_builds(made)
    return made


def test_a_large_log_is_shown_by_its_ends_and_all_of_it_on_request(store, capfdbinary):
    log = b"".join(b"line %d of many\n" % number for number in range(1, 400_001))
    one = step("Talk", "failed", log_start=0, log_end=len(log))
    build = "20250306-101500-hello-cccc"
    add(store, record(build, "failed", steps=(one,)), log)
    assert main(["report", "-o", "-", build]) == 0
    data = capfdbinary.readouterr().out
    assert len(data) < 3 << 20
    page = Page(data.decode())
    note = " ".join(page.all("p", class_="gap")[0].split())
    first, last = (int(number.replace(",", "")) for number in re.findall(r"([\d,]+) to ([\d,]+)\.", note)[0])
    assert f"contractor log {build} --step 1 | sed -n {first},{last}p" in note
    assert f"line {first - 1} of many</li>\n</ol></div>".encode() in data
    assert b'start="%d">\n<li>line %d of many</li>' % (last + 1, last + 1) in data
    assert f"<li>line {first} of".encode() not in data
    assert b"<li>line 400000 of many</li>" in data
    assert main(["report", "-o", "-", "--full-logs", build]) == 0
    assert capfdbinary.readouterr().out.count(b"<li>line ") == 400_000 + 12  # and the excerpt


def test_many_large_logs_share_what_a_page_can_hold(store, capfdbinary):
    log = b"0123456789abcdef\n" * 60_000
    steps = tuple(step(f"S{n}", key=str(n), log_start=0, log_end=len(log)) for n in range(40))
    add(store, record("20250306-101500-hello-cccc", steps=steps), log)
    assert main(["report", "-o", "-", "hello"]) == 0
    data = capfdbinary.readouterr().out
    assert 4 << 20 < len(data) < 7 << 20  # the items' tags come on top
    assert data.count(b'class="gap"') == 40


def test_the_file_is_named_by_the_build_and_its_name_printed(store, capsys):
    assert main(["report"]) == 0
    found = capsys.readouterr()
    assert found.out == f"{NEW}.html\n"
    assert "open it in any browser" in found.err
    Page(Path(f"{NEW}.html").read_text(encoding="utf-8"))


def test_the_same_build_gives_the_same_bytes(store, monkeypatch):
    for zone, name in (("UTC", "a"), ("Asia/Tokyo", "b")):
        monkeypatch.setenv("TZ", zone)
        time.tzset()
        assert main(["report", "-o", name]) == 0
    assert Path("a").read_bytes() == Path("b").read_bytes()


def test_a_file_is_replaced_whole_and_keeps_its_mode(store, monkeypatch):
    Path("x.html").write_text("old")
    Path("x.html").chmod(0o600)
    Path("link").symlink_to("x.html")
    assert main(["report", "-o", "link"]) == 0
    assert Path("link").is_symlink()
    assert Path("x.html").read_text(encoding="utf-8").startswith("<!doctype html>")
    assert Path("x.html").stat().st_mode & 0o777 == 0o600

    def full(_fd, _data):
        raise OSError(28, "No space left on device")

    before = Path("x.html").read_bytes()
    with monkeypatch.context() as patch:
        patch.setattr(os, "write", full)
        assert main(["report", "-o", "x.html"]) == 6
    assert Path("x.html").read_bytes() == before
    assert sorted(os.listdir()) == ["link", "store", "x.html"], "nothing half written stays"


@pytest.mark.parametrize(
    ("output", "message"),
    [
        ("folder", "folder is a folder"),
        ("nowhere/x.html", "the report cannot be written to nowhere/x.html: No such file or directory"),
        ("file/x.html", "the report cannot be written to file/x.html: Not a directory"),
    ],
)
def test_a_place_that_cannot_be_written_to(store, capsys, output, message):
    os.mkdir("folder")
    Path("file").touch()
    assert main(["report", "-o", output]) == 2
    found = capsys.readouterr()
    assert message in found.err
    assert "hint: " in found.err
    assert found.out == ""


def test_a_pipe_gets_the_page_and_stays_a_pipe(store):
    os.mkfifo("pipe")
    reader = os.open("pipe", os.O_RDONLY | os.O_NONBLOCK)
    assert main(["report", "-o", "pipe", OLD]) == 0
    assert os.read(reader, 15) == b"<!doctype html>"
    os.close(reader)
    assert not os.path.isfile("pipe")
