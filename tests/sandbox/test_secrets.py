"""Whatever a step with a secret tries, the value is in nothing that is stored or said: the whole store is searched."""

from __future__ import annotations

import base64
import json
import os
import signal
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
import zstandard

from conftest import Account, Done, _events

TOKEN = b"tok/9aZ-kQ+7&m=Lx3vR_sesame-Grotte"
KEY = b"-----BEGIN X KEY-----\nMIIEvQIBADANBgkqhkiG9w0BAQEFAASCBKcw\nSecondLineOfTheKey0123456789abcdef\nshort\n"
FORMS = (
    TOKEN,
    TOKEN[:20],
    base64.b64encode(TOKEN)[:30],
    base64.b64encode(b"x" + TOKEN)[4:30],
    base64.b64encode(b"xx" + TOKEN)[4:30],
    TOKEN.hex().encode(),
    TOKEN.hex().upper().encode(),
    b"tok%2F9aZ-kQ%2B7",
    b"SecondLineOfTheKey0123456789abcdef",
)
_SEARCHED: dict[Path, tuple[int, ...]] = {}
# In Python, which the small tree has; `t` is the token.
START = """import base64, os, sys
t = open("/run/secrets/TOKEN", "rb").read()
def w(name, data): open(name, "wb").write(data)
w("always", b"there")
"""


def _in_store(account: Account) -> Iterator[tuple[str, bytes]]:
    """Every name and every content in the store, unpacked."""
    for folder, folders, files in os.walk(account.store):
        for name in (*folders, *files):
            yield f"the name of {folder}/{name}", os.fsencode(name)
        for name in files:
            path = Path(folder, name)
            if path.is_symlink():
                yield f"the target of {path}", os.fsencode(os.readlink(path))
            elif path.is_file() and "/layers/" not in folder and _is_new(path):
                data = path.read_bytes()
                yield str(path), data
                if data[:4] == b"\x28\xb5\x2f\xfd":
                    yield f"{path}, unpacked", zstandard.ZstdDecompressor().decompressobj().decompress(data)


def _is_new(path: Path) -> bool:
    """Whether it has not been looked through as it is now."""
    found = path.stat()
    now = (found.st_ino, found.st_size, found.st_mtime_ns, found.st_ctime_ns)
    changed = _SEARCHED.get(path) != now
    _SEARCHED[path] = now
    return changed


def _search(account: Account, *said: bytes) -> None:
    found = [*_in_store(account), *(("what was said", text) for text in said)]
    for where, data in found:
        for form in FORMS:
            assert form not in data, f"{where} has {form!r}"
            assert form not in data.translate(None, b" \n"), f"{where} has {form!r}, wrapped"


@pytest.fixture
def given(account: Account) -> tuple[str, ...]:
    """The options that give the secrets."""
    files = {"TOKEN": TOKEN, "KEY": KEY}
    for name, value in files.items():
        path = account.home / f"secret-{name}"
        path.write_bytes(value)
        path.chmod(0o644)
    return tuple(option for name in files for option in ("--secret", f"{name}={account.home}/secret-{name}"))


def _write(account: Account, steps: list[dict[str, object]], **top: object) -> str:
    body = {"contractor": 1, "name": "s", **top, "steps": [{"create-systree": {"artifact": account.tree}}, *steps]}
    path = account.home / "s.yaml"
    path.write_text(json.dumps(body))
    path.chmod(0o644)
    return str(path)


def _python(name: str, script: str) -> dict[str, object]:
    shell = f"cat > /tmp/s.py <<'EOS'\n{START}{script}\nEOS\npython3 /tmp/s.py"
    return {"name": name, "shell": shell, "secrets": ["TOKEN", "KEY"]}


def _build(account: Account, spec: str, *options: str) -> Done:
    done = account.run("build", spec, "--fresh", "--plain", "--events", "-", *options)
    _search(account, done.stdout, done.stderr)
    return Done(done.returncode, done.stderr.decode(errors="replace"), _events(done.stdout))


OUT = {"create-artifact": {"name": "out"}}


@pytest.mark.parametrize(
    "script",
    [
        "os.write(1, t + b'\\n' + base64.b64encode(b'user:' + t) + base64.encodebytes(b'x' * 50 + t))",
        "print(t.hex(), t.hex().upper(), t.hex(' ')); print(open('/run/secrets/KEY').read())",
        "[(os.write(1, t[i:i+1])) for i in range(len(t))]; os.write(1, base64.urlsafe_b64encode(t))",
        "w('gone', t); os.unlink('gone'); w('/tmp/kept-nowhere', t); os.mkdir('d'); os.rmdir('d')",
        "w('hash', __import__('hashlib').sha256(t).hexdigest().encode()); w('part', t[:8])",
    ],
)
def test_what_is_only_said_is_hidden_and_builds(account: Account, given: tuple[str, ...], script: str) -> None:
    done = _build(account, _write(account, [_python("says", script), OUT]), *given)
    assert done.code == 0, done


@pytest.mark.parametrize(
    ("script", "where"),
    [
        ("w('deep', t)", "deep"),
        ("os.makedirs('a/b'); w('a/b/conf', b'x' * 2000000 + b'password=' + t)", "a/b/conf"),
        ("w('wrapped', base64.encodebytes(b'y' * 40 + t))", "wrapped (in base64)"),
        ("w('hex', t.hex().encode())", "hex (in hexadecimal)"),
        ("w('json', __import__('json').dumps({'t': t.decode()}).encode())", "json"),
        ("w('line', open('/run/secrets/KEY', 'rb').read().splitlines()[2])", "line"),
        ("os.makedirs(t[:3]); w(t.decode().replace('\\n', ''), b'')", "[secret] (in its name)"),
        ("os.symlink(b'/nowhere/' + t, 'link')", "link"),
        ("w('a', b''); os.setxattr('a', 'user.note', t)", "a"),
        ("w('hidden', t); os.chmod('hidden', 0)", "hidden"),
        ("f = open('sparse', 'wb'); f.seek(1 << 33); f.write(t)", "sparse"),
        ("w('first', t); w('second', b' ' + t)", "first"),
    ],
)
def test_what_is_left_in_the_workspace_is_not_stored(
    account: Account, given: tuple[str, ...], script: str, where: str
) -> None:
    step = {**_python("leaves", script), "limits": {"file-size": "20G"}}
    done = _build(account, _write(account, [step, OUT], limits={"disk": "20G"}), *given)
    assert done.code == 2, done
    assert f"left the secret {'KEY' if where == 'line' else 'TOKEN'} in the workspace: {where}\n" in done.text, done
    assert "hint: the workspace is stored after each step" in done.text
    assert account.leftovers() == []


@pytest.mark.parametrize("options", [(), ("--keep",)])
def test_what_a_failed_step_left_is_not_stored(account: Account, given: tuple[str, ...], options: tuple[str]) -> None:
    step = {**_python("fails", "w('a.log', t); w('b.log', b'fine'); sys.exit(3)"), "diagnostics": ["*.log"]}
    done = _build(account, _write(account, [step]), *given, *options)
    assert done.code == 1, done
    assert "not kept for diagnosis, for it has the secret TOKEN: a.log" in done.text
    assert "1 file kept for diagnosis" in done.text
    assert "the workspace of the failed step could not be kept: the step left the secret TOKEN" in done.text
    assert ("the workspace is not kept, for it has the secret TOKEN: a.log" in done.text) == bool(options)
    assert account.leftovers() == []


def test_a_workspace_without_secrets_is_kept(account: Account, given: tuple[str, ...]) -> None:
    done = _build(account, _write(account, [_python("fails", "w('a', b'fine'); sys.exit(3)")]), *given, "--keep")
    assert done.code == 1, done
    assert "the workspace is kept" in done.text
    assert _build(account, _write(account, [_python("other", "pass")]), *given).code == 0  # does not sweep it away
    assert len(account.leftovers()) == 1
    assert account.run("clean", "--kept").returncode == 0
    assert account.leftovers() == []


def test_a_later_step_cannot_bring_it_back(account: Account, given: tuple[str, ...]) -> None:
    packs = _python("packs", "import zlib; w('packed', zlib.compress(t))")
    unpacks = "python3 -c \"import zlib; open('plain', 'wb').write(zlib.decompress(open('packed', 'rb').read()))\""
    done = _build(account, _write(account, [packs, {"name": "unpacks", "shell": unpacks}, OUT]), *given)
    assert done.code == 2, done
    assert "left the secret TOKEN in the workspace: plain" in done.text


def test_an_artifact_with_a_secret_is_not_made(account: Account, given: tuple[str, ...]) -> None:
    """The file was there before the secret was used: as if somebody had checked it in."""
    other = b"a-value-that-was-checked-in"
    (account.home / "secret-OTHER").write_bytes(other)
    # What is younger than the clock's tick would count as changed by the next step.
    script = f"mkdir d; python3 -c \"print('{other[::-1].decode()}'[::-1])\" > d/oops; sleep 0.1"
    before = {"name": "before", "shell": script}
    uses = {**_python("uses", "w('fine', b'fine')"), "secrets": ["TOKEN", "KEY", "OTHER"]}
    spec = _write(account, [before, uses, {"create-artifact": {"name": "good", "files": ["fine"]}}, OUT])
    done = account.run("build", spec, "--fresh", "--plain", *given, "--secret", f"OTHER={account.home}/secret-OTHER")
    assert done.returncode == 2, done.stderr.decode()
    assert b"the secret OTHER would be in the artifact out: d/oops\n" in done.stderr
    assert b"hint: an artifact is for others" in done.stderr
    assert not [where for where, data in _in_store(account) if "/blobs/" in where and other in data]


def test_no_process_shows_it_while_it_is_used(accounts: dict[str, Account]) -> None:
    """Neither by its arguments nor by its environment, inside or outside; as whoever may look at all of them."""
    account = next(iter(accounts.values()))
    path = account.home / "secret-TOKEN"
    path.write_bytes(TOKEN)
    step = {"shell": "cat /run/secrets/TOKEN > /tmp/copy; touch begun; sleep 3", "secrets": ["TOKEN"]}
    running = account.start("build", _write(account, [step]), "--fresh", "--plain", "--secret", f"TOKEN={path}")
    until = time.monotonic() + 20
    while not [*account.store.glob("work/*/place/ws/begun")] and time.monotonic() < until:
        time.sleep(0.05)
    looked = 0
    for shown in (*Path("/proc").glob("[0-9]*/cmdline"), *Path("/proc").glob("[0-9]*/environ")):
        try:
            data = shown.read_bytes()
        except OSError:
            continue
        looked += b"sleep\0003" in data
        assert TOKEN not in data, shown
    assert looked, "the step was not running"
    out, err = running.communicate(timeout=30)
    assert running.returncode == 0, err
    _search(account, out, err)


def test_a_secret_that_the_plan_has_anyway_is_none(account: Account, given: tuple[str, ...]) -> None:
    spec = _write(account, [_python("uses", "pass"), {"name": "other", "shell": f"echo {TOKEN.decode()}"}])
    done = account.run("build", spec, "--fresh", "--plain", *given)
    assert done.returncode == 2, done.stderr.decode()
    assert b"the value of the secret TOKEN is in the plan" in done.stderr
    _search(account)


def test_killed_in_the_middle_it_is_swept_away(account: Account, given: tuple[str, ...]) -> None:
    spec = _write(
        account, [_python("hangs", "w('leak', t); sys.stdout.write('here'); sys.stdout.flush()\nwhile 1: pass")]
    )
    running = subprocess.Popen(
        account.command("build", spec, "--fresh", "--plain", *given), stderr=subprocess.PIPE, start_new_session=True
    )
    until = time.monotonic() + 20
    while not [*account.store.glob("work/*/place/ws/leak")]:
        assert time.monotonic() < until
        time.sleep(0.02)
    os.killpg(running.pid, signal.SIGKILL)
    running.communicate()
    assert len(account.leftovers()) == 1
    until = time.monotonic() + 20
    while account.leftovers() and time.monotonic() < until:  # its processes may take a moment to end
        assert _sweeping_build(account).code == 0
    assert account.leftovers() == []
    _search(account)


def _sweeping_build(account: Account) -> Done:
    done = account.run("build", _write(account, [{"name": "harmless", "shell": "true"}]), "--fresh", "--plain")
    return Done(done.returncode, done.stderr.decode(), [])


@pytest.mark.parametrize("options", [(), ("--keep",)])
def test_stopped_in_the_middle_nothing_of_it_stays(
    account: Account, given: tuple[str, ...], options: tuple[str, ...]
) -> None:
    spec = _write(
        account, [_python("hangs", "w('leak', t); sys.stdout.write('here'); sys.stdout.flush()\nwhile 1: pass")]
    )
    running = subprocess.Popen(
        account.command("build", spec, "--fresh", "--plain", *given, *options), stderr=subprocess.PIPE
    )
    until = time.monotonic() + 20
    while not [*account.store.glob("work/*/place/ws/leak")]:
        assert time.monotonic() < until
        time.sleep(0.02)
    running.send_signal(signal.SIGINT)
    _out, err = running.communicate(timeout=20)
    assert running.returncode == 130, err.decode()
    assert account.leftovers() == []
    _search(account, err)


def test_no_other_command_shows_or_stores_it(account: Account, given: tuple[str, ...]) -> None:
    says = _python("says", "os.write(1, t + base64.b64encode(t)); w('fine', b'fine')")
    assert _build(account, _write(account, [says, OUT]), *given).code == 0
    for argv in (
        ("verify", "last", "--plain", *given),
        ("retry", "s~0", "--step", "says", "--times", "2", *given),
        ("show", "s", "--json"),
        ("log", "s"),
        ("report", "s", "-o", str(account.home / "report.html")),
        ("why", "s"),
        ("compare", "s", "s"),
        ("gc",),
    ):
        done = account.run(*argv)
        _search(account, done.stdout, done.stderr)
    assert TOKEN not in (account.home / "report.html").read_bytes()


def test_a_secret_by_descriptor(account: Account) -> None:
    read, write = os.pipe()
    os.write(write, TOKEN)
    os.close(write)
    spec = _write(account, [{"name": "reads", "shell": "cat /run/secrets/TOKEN", "secrets": ["TOKEN"]}])
    argv = account.command("build", spec, "--fresh", "--plain", "--secret", f"TOKEN=fd:{read}")
    done = subprocess.run(argv, capture_output=True, pass_fds=[read], check=False)
    os.close(read)
    assert done.returncode == 0, done.stderr.decode()
    assert b"[secret]" in done.stderr
    _search(account, done.stderr)
