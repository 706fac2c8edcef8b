"""contractor init, actions, schema: before the first build."""

from __future__ import annotations

import json

import pytest

from contractor.cli.main import COMMANDS, main
from contractor.spec.actions import ACTIONS
from contractor.spec.load import load_spec


def run(capsys, *argv: str) -> str:
    assert main(list(argv)) == 0
    return capsys.readouterr().out


def test_init_writes_what_loads_and_does_not_replace(tmp_path, capsys):
    project = tmp_path / "My Project"
    project.mkdir()
    (project / "Makefile").write_text("all:\n")
    out = run(capsys, "init", str(project))
    assert f"contractor build '{project}' -o out" in out
    text = (project / "contractor.yaml").read_bytes()
    assert load_spec(text, "contractor.yaml").name == "my-project"
    assert main(["init", str(project)]) == 2
    assert "--force" in capsys.readouterr().err
    run(capsys, "init", str(project), "--force", "--name", "other")
    assert load_spec((project / "contractor.yaml").read_bytes(), "contractor.yaml").name == "other"
    assert sorted(path.name for path in project.iterdir()) == ["Makefile", "contractor.yaml"]


def test_init_sees_files_one_level_below(tmp_path, capsys):
    (tmp_path / "debian").mkdir()
    (tmp_path / "debian" / "control").write_text("Source: x\n")
    run(capsys, "init", str(tmp_path))
    assert "dpkg-buildpackage" in (tmp_path / "contractor.yaml").read_text()


def test_init_where_one_may_not_write_or_nothing_is(tmp_path, capsys):
    assert main(["init", str(tmp_path / "missing")]) == 2
    assert "cannot be read" in capsys.readouterr().err


@pytest.mark.parametrize("name", ACTIONS)
def test_every_action_is_shown_with_its_fields(name, capsys):
    assert name in run(capsys, "actions")
    shown = run(capsys, "actions", name)
    found = json.loads(run(capsys, "actions", name, "--json"))["actions"][0]
    for field in ACTIONS[name].fields:
        assert field.help in shown
    assert [field["name"] for field in found["fields"]] == [field.name for field in ACTIONS[name].fields]


def test_a_mistyped_action(capsys):
    assert main(["actions", "shel"]) == 2
    assert "did you mean shell?" in capsys.readouterr().err


def test_schema_is_json_and_can_be_a_file(tmp_path, capsys):
    printed = run(capsys, "schema")
    assert json.loads(printed)["type"] == "object"
    path = tmp_path / "schema.json"
    assert run(capsys, "schema", "--output", str(path)) == ""
    assert path.read_text() == printed
    assert main(["schema", "-o", str(tmp_path / "no" / "file")]) == 2


MINE = ("plan", "list", "show", "log", "artifacts", "bases", "actions", "schema", "init", "clean", "gc")


@pytest.mark.parametrize("command", MINE)
def test_every_command_has_help_and_refuses_unknown_options(command, capsys):
    from importlib import import_module

    assert command in COMMANDS
    assert "usage: contractor" in import_module(f"contractor.cli.commands.{command}").parser().format_help()
    assert main([command, "--no-such-option"]) == 2
