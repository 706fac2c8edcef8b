"""What a failed or tainted build has for whoever looks into it: shown, and got out of the store."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from cli_store import add, record, step

from contractor.cli import main
from contractor.store.compress import ZstdSink
from contractor.store.layout import Store
from contractor.store.pack import PackOptions, pack
from contractor.store.records import Records

BUILD = "20250305-101500-hello-bbbb"
STATE = "a" * 64


@pytest.fixture
def store(tmp_path, monkeypatch):
    monkeypatch.setenv("CONTRACTOR_STORE", str(tmp_path / "store"))
    made = Store(str(tmp_path / "store"))
    failed = step("Test", "failed", exit_code=2, message="it failed", left=STATE)
    never = step("Pack", "not run")
    hint = f"contractor log {BUILD} --step 2\ncontractor shell {BUILD}  # in its sandbox, as it was left"
    add(
        made,
        record(BUILD, "failed", steps=(step("Compile"), failed, never), message="no", hint=hint, asked=("--debug",)),
    )
    return made


def run(capsys, *argv: str, code: int = 0) -> str:
    assert main.main(list(argv)) == code
    done = capsys.readouterr()
    return done.out + done.err


def kept(store: Store, folder: Path) -> None:
    """Pack a folder as a build's diagnostics."""
    fd = os.open(f"{Records(store).folder(BUILD)}/diagnostics.tar.zst", os.O_WRONLY | os.O_CREAT, 0o600)
    root = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    with ZstdSink(fd) as sink:
        pack(root, None, PackOptions(mtime_limit=1700000000), sink)
    os.close(root)
    os.close(fd)


def test_show_names_the_kept_workspace_and_how_to_enter_it(store, capsys):
    Path(store.state(STATE)).write_bytes(b"state")
    shown = run(capsys, "show")
    assert f"  its workspace is kept as it left it: contractor shell {BUILD} --step 2\n" in shown
    assert f"\nhint: contractor log {BUILD} --step 2\n      contractor shell {BUILD}  # in its sandbox" in shown
    assert "  asked          --debug\n" in shown
    os.unlink(store.state(STATE))
    assert "has been collected" in run(capsys, "show")


def test_a_tainted_build_is_marked_wherever_it_is_shown(store, capsys):
    why = "a shell changed the workspace or the tree before step 2"
    steps = (step("Compile"), step("Test", tainted=why))
    add(store, record("20250306-101500-hello-cccc", steps=steps, tainted=why))
    shown = run(capsys, "show")
    assert f"  tainted        {why}; do not publish what it made\n" in shown
    assert "succeeded, tainted" in shown
    assert [line.split()[-3] for line in shown.splitlines() if " Compile " in line] != ["tainted"]
    listed = run(capsys, "list").splitlines()
    assert "succeeded, tainted" in listed[1]
    assert "tainted" not in listed[2]


def test_what_was_kept_for_diagnosis_is_named_and_unpacked(store, tmp_path, capsys):
    assert "kept nothing for diagnosis" in run(capsys, "artifacts", "get", "last", "--diagnostics", "-o", "x", code=2)
    folder = tmp_path / "ws"
    (folder / "src").mkdir(parents=True)
    (folder / "src" / "config.log").write_text("why")
    kept(store, folder)
    assert f": contractor artifacts get {BUILD} --diagnostics -o DIR\n" in run(capsys, "show")
    output = tmp_path / "out" / "there"
    assert "1 file in" in run(capsys, "artifacts", "get", "last", "--diagnostics", "-o", str(output))
    assert (output / "src" / "config.log").read_text() == "why"
    assert "leave out the name" in run(capsys, "artifacts", "get", "last", "x", "--diagnostics", "-o", "x", code=2)


def test_nothing_that_was_kept_leads_out_of_the_folder(store, tmp_path, capsys):
    folder = tmp_path / "ws"
    folder.mkdir()
    (folder / "way-out").symlink_to(tmp_path / "secret")
    kept(store, folder)
    said = run(capsys, "artifacts", "get", "last", "--diagnostics", "-o", str(tmp_path / "out"), code=2)
    assert "leads outside" in said
    assert "hint: `tar --zstd -xf" in said
    assert not (tmp_path / "out" / "way-out").is_symlink()
