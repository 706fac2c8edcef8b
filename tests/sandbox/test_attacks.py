"""Every attack of the table, as root, as an ordinary user and with one id; and that the attacks do attack."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from functools import cache
from typing import Any

import pytest

from conftest import ROOT, Account, kinds
from contractor.sandbox.attacks import ATTACKS, NETWORK, SHELL
from contractor.sandbox.attacks import ROOT as ROOT_STEP

SCRIPTS = ROOT / "src/contractor/data/attacks"
WHO = [*kinds(), "one-id"]
CASES = [(who, a.name, s) for who in WHO for a in ATTACKS for s in a.steps if a.degraded or who != "one-id"]
QUICK = [attack for attack in ATTACKS if attack.module != "limits" and SHELL in attack.steps]


@pytest.fixture(scope="session")
def reports(accounts: dict[str, Account]) -> Any:
    @cache
    def report(who: str) -> dict[tuple[str, str], dict[str, Any]]:
        account = accounts["user" if who == "one-id" else who]
        done = account.run("doctor", "--attack", "--json", *(["--one-id"] if who == "one-id" else []))
        assert done.stdout, done.stderr.decode()
        body = json.loads(done.stdout)
        assert body["degraded"] is (who == "one-id")
        assert account.leftovers() == []
        return {(found["attack"], found["step"]): found for found in body["attacks"]}

    return report


@pytest.mark.parametrize(("who", "attack", "step"), CASES)
def test_attack_fails(reports: Any, who: str, attack: str, step: str) -> None:
    found = reports(who)[attack, step]
    assert found["stopped"], "\n".join(f"{name}: {value}" for name, value in found.items())


def test_every_kind_of_step_is_attacked() -> None:
    assert {step for attack in ATTACKS for step in attack.steps} == {SHELL, ROOT_STEP, NETWORK}
    for attack in ATTACKS:
        assert f"def {attack.function}(" in (SCRIPTS / f"{attack.module}.py").read_text()


@pytest.mark.parametrize(
    "first", [(), ({"shell": "sleep 0.3"},)]
)  # behind another step, its sandbox waits for its turn
def test_attacks_in_a_real_build(account: Account, first: tuple[dict[str, str], ...]) -> None:
    """The same, as steps of a specification in an unpacked tree: nothing of the table's own set-up is needed."""
    source = account.home / "attack-source"
    source.mkdir(exist_ok=True)
    for script in SCRIPTS.glob("*.py"):
        (source / script.name).write_bytes(script.read_bytes())
    values = {"secret": "s3cr3t-of-the-host", "store": str(account.store), "home": str(account.home), "user": "1000",
              "file": str(account.home / "attacks.yaml"), "port": "1", "abstract": "x", "pid": str(os.getpid()),
              "address": "127.0.0.1"}  # fmt: skip
    baits = json.dumps(values).encode().hex()
    lines = [f"echo '== {a.name}'; python3 -ISB run.py {a.module} {a.function} {baits}" for a in QUICK]
    body = {
        "contractor": 1,
        "name": "attacks",
        "source": {"path": "attack-source"},
        "steps": [{"create-systree": {"artifact": account.tree}}, *first, {"shell": "\n".join(lines)}],
    }
    path = account.home / "attacks.yaml"
    path.write_text(json.dumps(body))
    done = account.run("build", str(path), "--fresh", "--plain", "--verbose")
    text = done.stderr.decode(errors="replace")
    assert done.returncode == 0, text
    for attack in QUICK:
        after = text.partition(f"== {attack.name}\n")[2].splitlines()
        assert after[0].startswith("HELD"), (attack.name, after[:3])
    assert "s3cr3t-of-the-host" not in text


@pytest.mark.parametrize(
    "name",
    ["host.abstract", "host.loopback", "host.files", "kernel.keyring", "kernel.terminal", "process.descriptors",
     "process.capabilities", "process.privileges", "process.outlive", "kernel.handles"],
)  # fmt: skip
def test_attack_works_without_a_sandbox(tmp_path: Any, name: str) -> None:
    """An attack that cannot succeed anywhere would prove nothing."""
    import socket

    bait = tmp_path / "bait"
    bait.write_text("secret")
    with socket.socket() as server, socket.socket(socket.AF_UNIX) as local:
        server.bind(("127.0.0.1", 0))
        server.listen()
        local.bind("\0contractor-test-bait")
        local.listen()
        values = {"secret": "xx", "store": str(tmp_path), "home": "/root", "user": "1000", "file": str(bait),
                  "port": str(server.getsockname()[1]), "abstract": "contractor-test-bait", "pid": "1",
                  "address": "127.0.0.1"}  # fmt: skip
        module, _, function = name.partition(".")
        command = [sys.executable, "-ISB", str(SCRIPTS / "run.py"), module, function, json.dumps(values).encode().hex()]
        done = subprocess.run(command, capture_output=True, check=False, pass_fds=[server.fileno()])
    said = done.stdout.decode()
    assert said.startswith("ESCAPED"), (said, done.stderr.decode())
