"""The results that a builder lists: none leads out of the folder, none is another than it says."""

from __future__ import annotations

import hashlib
import os
from pathlib import Path

import pytest
from quirky import Quirky, Script

from contractor.cli.main import main

pytestmark = pytest.mark.usefixtures("here")


def sha1(data: bytes) -> str:
    return hashlib.sha1(data).hexdigest()


def build(quirky: Quirky, *more: str) -> int:
    return main(["buildd", "build", quirky.url, "--type", "oci", "--arg", "series=bookworm", "-o", "out", *more])


def test_ok_without_a_filemap_is_no_success(quirky: Quirky, image: Path, capfd: pytest.CaptureFixture[str]) -> None:
    quirky.builder.script = Script(without_filemap=True)
    assert build(quirky, "--image", str(image)) == 6
    assert "lists no files" in capfd.readouterr().err
    assert quirky.builder.status()["builder_status"] == "BuilderStatus.WAITING"


@pytest.mark.parametrize("name", ["../up", "/etc/x", "..", "", "-rf", "a\nb", "x" * 300])
def test_a_name_that_leads_out_is_refused_before_anything_is_fetched(
    quirky: Quirky, image: Path, capfd: pytest.CaptureFixture[str], name: str
) -> None:
    quirky.builder.script = Script(files={"good": b"g"}, filemap={name: sha1(b"g")})
    assert build(quirky, "--image", str(image)) == 6
    assert "cannot be taken" in capfd.readouterr().err
    assert os.listdir("out") == ["buildlog"]
    assert quirky.builder.status()["builder_status"] == "BuilderStatus.WAITING"


def test_a_result_whose_name_is_no_digest_is_refused(quirky: Quirky, image: Path) -> None:
    quirky.builder.script = Script(filemap={"x": "../buildlog"})
    assert build(quirky, "--image", str(image)) == 6
    assert os.listdir("out") == ["buildlog"]


def test_other_bytes_are_not_kept(quirky: Quirky, image: Path, capfd: pytest.CaptureFixture[str]) -> None:
    quirky.builder.script = Script(files={"x": b"right", "y": b"fine"}, filemap={"y": sha1(b"hello\n")})
    (quirky.builder.cache / sha1(b"hello\n")).write_bytes(b"wrong")
    assert build(quirky, "--image", str(image)) == 6
    assert "did not arrive as" in capfd.readouterr().err
    assert sorted(os.listdir("out")) == ["buildlog", "x"]


def test_nothing_is_written_over_and_no_link_is_followed(
    quirky: Quirky, image: Path, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    quirky.builder.script = Script(files={"x": b"new"})
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "x").symlink_to(tmp_path / "elsewhere")
    assert build(quirky, "--image", str(image)) == 2
    assert "x is there already" in capfd.readouterr().err
    assert not (tmp_path / "elsewhere").exists() and (tmp_path / "out" / "x").is_symlink()
    assert main(["buildd", "fetch", quirky.url, "-o", "again"]) == 0
    assert main(["buildd", "fetch", quirky.url, "-o", "again", "--clean"]) == 0  # the same bytes are there: fine
    assert Path("again/x").read_bytes() == b"new"


def test_a_job_of_ci_has_a_folder(quirky: Quirky, image: Path) -> None:
    for data in (b"log", b"{}", b"whl"):
        (quirky.builder.cache / sha1(data)).write_bytes(data)
    job = {"log": sha1(b"log"), "properties": sha1(b"{}"), "output": {"a.whl": sha1(b"whl")}, "result": "SUCCEEDED"}
    quirky.builder.script = Script(extra={"jobs": {"build:0": job}})
    assert build(quirky, "--image", str(image)) == 0
    found = sorted(str(path.relative_to("out")) for path in Path("out").rglob("*") if path.is_file())
    assert found == ["build:0/log", "build:0/output/a.whl", "build:0/properties", "buildlog"]


def test_a_folder_of_a_job_leads_nowhere_else(quirky: Quirky, image: Path, tmp_path: Path) -> None:
    job = {"log": sha1(b"hello\n"), "output": {}, "result": "SUCCEEDED"}
    (quirky.builder.cache / sha1(b"hello\n")).write_bytes(b"hello\n")
    for name in ("../out2", "..", "link"):
        (tmp_path / "out").mkdir(exist_ok=True)
        if name == "link":
            (tmp_path / "out" / "link").symlink_to(tmp_path)
        quirky.builder.script = Script(extra={"jobs": {name: job}})
        assert build(quirky, "--image", str(image)) == (2 if name == "link" else 6)
        assert not list(tmp_path.glob("log")) and not (tmp_path / "out2").exists()
        quirky.builder.clean()
        (tmp_path / "out" / "buildlog").unlink()
