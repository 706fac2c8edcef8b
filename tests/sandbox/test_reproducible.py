"""What a step sees is the same whoever calls, from where, and how: a step writes down all of it, and it is compared."""

from __future__ import annotations

import json
import os
import subprocess
from pathlib import Path

import pytest
import zstandard

from conftest import Account, Done, _events

# In Python, which the small tree has. Left out is what cannot be the same: times, and in the kernel's own files the
# machine's; ARCHITECTURE.md says what a step can see of its host.
PROBE = """
import ctypes, json, locale, os, resource, signal, socket, stat, sys, time
limits = ("NOFILE", "STACK", "CORE", "FSIZE", "NPROC")
status = dict(line.split(":\\t", 1) for line in open("/proc/self/status") if ":\\t" in line)
def tree(top):
    return sorted((name, oct(os.lstat(f"{top}/{name}").st_mode), os.lstat(f"{top}/{name}").st_uid)
                  for name in os.listdir(top))
domain = open("/proc/sys/kernel/domainname").read()
mask = os.umask(0); os.umask(mask)
seen = {
    "environment": dict(os.environ), "ids": [os.getresuid(), os.getresgid(), os.getgroups()], "umask": oct(mask),
    "folder": os.getcwd(), "argv": sys.argv, "names": [os.uname().nodename, os.uname().sysname, domain],
    "limits": {name: resource.getrlimit(getattr(resource, f"RLIMIT_{name}"))[0] for name in limits},
    "signals": [status[name].strip() for name in ("SigBlk", "SigIgn", "SigCgt")],
    "rights": [status[name].strip() for name in ("CapEff", "CapBnd", "NoNewPrivs", "Seccomp")],
    "zone": [time.tzname, time.timezone], "locale": locale.setlocale(locale.LC_ALL, ""),
    "encoding": sys.getfilesystemencoding(),
    "personality": open("/proc/self/personality").read(), "processes": os.getpid() < 20,
    "files": sorted(os.listdir("/proc/self/fd"))[:3], "root": tree("/"), "etc": tree("/etc"), "dev": tree("/dev"),
    "run": tree("/run"), "tmp": tree("/tmp"), "home": tree("/build"), "workspace": tree("/workspace"),
    "accounts": open("/etc/passwd").read() + open("/etc/group").read() + open("/etc/hosts").read(),
    "cpus": [len(os.sched_getaffinity(0)), os.cpu_count(), os.sysconf("SC_NPROCESSORS_CONF")],
    "terminal": [os.isatty(n) for n in range(3)], "network": sorted(name for _n, name in socket.if_nameindex()),
}
json.dump(seen, open("seen.json", "w"), indent=1, sort_keys=True)
"""
EPOCH = 1_000_000_000
CALLERS: dict[str, list[str]] = {
    "as ever": [],
    "another environment": ["env", "TZ=Asia/Tokyo", "LANG=de_DE.UTF-8", "LC_ALL=C", "USER=eve", "CI=1",
                            "SOURCE_DATE_EPOCH=1", "TERM=dumb", "MAKEFLAGS=-j9", "PYTHONHASHSEED=1"],
    "another umask": ["sh", "-c", 'umask 077; exec "$@"', "sh"],
    "a generous umask": ["sh", "-c", 'umask 000; exec "$@"', "sh"],
    "other limits": ["prlimit", "--stack=1048576:", "--nofile=256:", "--core=unlimited", "--"],
    "another personality": ["setarch", os.uname().machine, "--addr-no-randomize", "--uname-2.6", "--"],
    "ignored signals": ["sh", "-c", 'trap "" HUP PIPE USR1; exec "$@"', "sh"],
    "one CPU": ["taskset", "-c", "0"],
    "another folder": ["env", "--chdir=/"],
    "closed input": ["sh", "-c", 'exec "$@" <&-', "sh"],
}  # fmt: skip


def _spec(account: Account, name: str, **step: object) -> str:
    (account.home / "probe").mkdir(exist_ok=True)
    (account.home / "probe" / "probe.py").write_text(PROBE)
    steps = [
        {"create-systree": {"artifact": account.tree}},
        {"name": "probe", "shell": "python3 probe.py", **step},
        {"create-artifact": {"name": "seen", "files": ["seen.json"]}},
    ]
    source = {"path": "probe"}
    body = {"contractor": 1, "name": name, "epoch": EPOCH, "source": source, "steps": steps, "limits": {"cpus": 1}}
    path = account.home / f"{name}.yaml"
    path.write_text(json.dumps(body))
    path.chmod(0o644)
    return str(path)


def _build(account: Account, name: str, wrap: list[str], **step: object) -> Done:
    argv = ("build", _spec(account, name, **step), "--fresh", "--plain", "--events", "-")
    done = account.run(*argv, wrap=tuple(wrap))
    return Done(done.returncode, done.stderr.decode(errors="replace"), _events(done.stdout))


def _digest(done: Done) -> str:
    assert done.code == 0, done
    artifact = next(event["artifact"] for event in done.events if event["event"] == "artifact-stored")
    assert isinstance(artifact, dict)
    return str(artifact["digest"])


def _seen(account: Account, digest: str) -> dict[str, object]:
    data = (account.store / "blobs" / "sha256" / digest[:2] / f"{digest}.zst").read_bytes()
    text = zstandard.ZstdDecompressor().decompressobj().decompress(data)
    start = text.index(b"{\n")
    value: dict[str, object] = json.JSONDecoder().raw_decode(text[start:].decode())[0]
    return value


@pytest.fixture(scope="module")
def first(accounts: dict[str, Account]) -> dict[str, dict[str, object]]:
    """What the step sees when each account calls it as ever."""
    return {kind: _seen(account, _digest(_build(account, "p", []))) for kind, account in accounts.items()}


@pytest.mark.parametrize("how", [name for name in CALLERS if name != "as ever"])
def test_a_step_sees_the_same_however_it_is_called(
    account: Account, first: dict[str, dict[str, object]], how: str
) -> None:
    done = _build(account, "p", CALLERS[how])
    assert _seen(account, _digest(done)) == first[account.kind]


def test_root_and_an_ordinary_user_see_the_same_in_two_stores(
    accounts: dict[str, Account], first: dict[str, dict[str, object]]
) -> None:
    assert len({json.dumps(seen, sort_keys=True) for seen in first.values()}) == 1
    assert len({_digest(_build(account, "p", [])) for account in accounts.values()}) == 1


def test_the_environment_is_made_from_nothing(first: dict[str, dict[str, object]]) -> None:
    """The whole list, so that nothing comes to it unseen."""
    for seen in first.values():
        assert seen["environment"] == {
            "CONTRACTOR_ARCH": {"x86_64": "amd64", "aarch64": "arm64"}[os.uname().machine],
            "CONTRACTOR_NAME": "p",
            "CONTRACTOR_STEP": "probe",
            "HOME": "/build",
            "LC_ALL": "C.UTF-8",
            "LOGNAME": "build",
            "PATH": "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin",
            "PWD": "/workspace",
            "SHELL": "/bin/sh",
            "SHLVL": "1",
            "SOURCE_DATE_EPOCH": str(EPOCH),
            "TERM": "dumb",
            "TZ": "UTC",
            "USER": "build",
            "WORKSPACE": "/workspace",
            "_": "/usr/bin/python3",
        }
        assert seen["names"] == ["contractor", "Linux", "(none)\n"]
        assert seen["folder"] == "/workspace"
        assert seen["ids"] == [[1000] * 3, [1000] * 3, []]
        assert seen["cpus"] == [1, 1, 1]


def test_cpus_is_what_programs_count_and_part_of_the_key(account: Account) -> None:
    spec = account.spec("python3 -c 'import os; print(len(os.sched_getaffinity(0)), os.cpu_count())'", name="c")
    body = json.loads(Path(spec).read_text())
    found = {}
    for cpus in (0, 1, 2):
        body["limits"] = {"cpus": cpus}
        Path(spec).write_text(json.dumps(body))
        done = account.run("build", spec, "--fresh", "--plain", "--events", "-")
        there = os.cpu_count() or 1
        if cpus > there:
            assert done.returncode == 5, done.stderr
            continue
        events = _events(done.stdout)
        started = next(event for event in events if event["event"] == "build-started")
        found[cpus] = started["steps"][1]["key"]  # type: ignore[index]
        seen = cpus or there
        assert f"\n{seen} {seen}\n" in done.stderr.decode()
    assert len(set(found.values())) == len(found)


def test_more_cpus_than_there_are_is_unavailable(account: Account) -> None:
    done = account.build("true", limits={"cpus": 4096})
    assert done.code == 5, done
    assert "the step is to see 4096 CPUs, and there are" in done.text


def _epoch(done: Done) -> str:
    return next(line for line in done.text.splitlines() if line.startswith("epoch is "))


@pytest.mark.parametrize(
    ("top", "expected"),
    [({"epoch": 5}, 5), ({}, 315532800), ({"source": {"path": "s"}}, 1_234_567_890)],
)
def test_the_epoch_is_the_specifications_or_the_sources(
    account: Account, top: dict[str, object], expected: int
) -> None:
    (account.home / "s").mkdir(exist_ok=True)
    for name, time in (("old", 1_000_000_000), ("new", 1_234_567_890)):
        (account.home / "s" / name).write_text(name)
        os.utime(account.home / "s" / name, (time, time))
    done = account.build("echo epoch is $SOURCE_DATE_EPOCH", **top)
    assert _epoch(done) == f"epoch is {expected}"


def test_the_epoch_of_a_checkout_is_its_commits_time(account: Account) -> None:
    path = account.home / "checkout"
    path.mkdir()
    when = {"GIT_COMMITTER_DATE": "1300000000 +0000", "GIT_AUTHOR_DATE": "1200000000 +0000"}
    name = ["-c", "user.name=a", "-c", "user.email=a@b"]
    (path / "file").write_text("x")
    for argv in (["init", "-q"], ["add", "."], [*name, "commit", "-q", "-m", "x"]):
        subprocess.run(["git", *argv], cwd=path, check=True, env={"PATH": os.environ["PATH"], "HOME": "/", **when})
    (path / "file").write_text("changed since")
    subprocess.run(["chmod", "-R", "a+rX", path], check=True)
    done = account.build("echo epoch is $SOURCE_DATE_EPOCH", source={"path": "checkout"})
    assert _epoch(done) == "epoch is 1300000000"
