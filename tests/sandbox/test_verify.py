"""A build, built again from its record: what is varied really is, all outputs are compared, and nothing piles up."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import msgspec
import pytest

from conftest import PROGRAM, Account
from contractor.build.verify.verify import Verdict
from contractor.cli.verify_text import lines

LOOK = """python3 - <<'EOP'
import os, time
uname = os.uname()
with open("kernel", "w") as f: f.write(uname.release)
with open("random", "w") as f: f.write(str(open("/proc/self/personality").read().strip()))
with open("cpus", "w") as f: f.write(str(len(os.sched_getaffinity(0))))
with open("time", "w") as f: f.write(str(int(time.time())))
with open("day", "w") as f: f.write(time.strftime("%F"))
mask = os.umask(0); os.umask(mask)
with open("unseen", "w") as f: f.write(f"{uname.nodename} {mask:o} {time.tzname} {sorted(os.environ)} {os.getuid()}")
os.mkdir("d")
for name in "cab": open(f"d/{name}", "w").close()
with open("order", "w") as f: f.write(" ".join(os.listdir("d")))
EOP"""
SEEN = ("kernel", "random", "cpus", "time", "day", "unseen", "order")
ALWAYS = {"time"}
ALL = "date,kernel,cpus,file-order,hostname,umask,environment"


@pytest.fixture
def spec(account: Account) -> Iterator[Path]:
    """Where the specification of a test is; what it built goes with it."""
    folder = account.home / f"v-{os.urandom(4).hex()}"
    folder.mkdir()
    folder.chmod(0o777)
    yield folder / "contractor.yaml"
    shutil.rmtree(folder, ignore_errors=True)


def _write(account: Account, spec: Path, steps: list[dict[str, Any]], **top: object) -> None:
    first = [] if top.pop("bare", False) else [{"create-systree": {"artifact": account.tree}}]
    body = {"contractor": 1, "name": spec.parent.name, **top, "steps": [*first, *steps]}
    spec.write_text(json.dumps(body))
    spec.chmod(0o644)


def _build(account: Account, spec: Path, *options: str, code: int = 0) -> str:
    """The build's id."""
    done = account.run("build", str(spec), "--plain", "--events", "-", *options)
    assert done.returncode == code, done.stderr.decode()
    return str(json.loads(done.stdout.splitlines()[0])["build"])


# Does not wait for another second than that in which the build ended.
HASTY = f"import contractor.build.verify.verify as v; v._SECOND = 0.0; {PROGRAM}"


def _verify(account: Account, build: str, *options: str, code: int = 0, hasty: bool = True) -> dict[str, Any]:
    command = account.command("verify", build, "--json", *options)
    argv = [HASTY if word == PROGRAM and hasty else word for word in command]
    done = subprocess.run(argv, capture_output=True, timeout=120, cwd=account.home, check=False)
    assert done.returncode == code, done.stderr.decode() + done.stdout.decode()
    found: dict[str, Any] = json.loads(done.stdout)
    return found


def _refused(account: Account, build: str, *options: str, code: int = 2) -> str:
    done = account.run("verify", build, "--plain", *options)
    assert done.returncode == code, done.stderr.decode()
    assert b"Traceback" not in done.stderr
    return done.stderr.decode()


def _told(found: dict[str, Any]) -> str:
    """What people are told of a verdict, without having it made once more."""
    return "\n".join(lines(msgspec.convert(found, Verdict)))


def _artifacts(*names: str) -> list[dict[str, Any]]:
    return [{"create-artifact": {"name": name, "files": [name]}} for name in names]


@pytest.fixture(scope="module")
def looked() -> dict[str, str]:
    """The build that looks around, by the kind of account: it is verified several times."""
    return {}


@pytest.mark.parametrize(
    ("vary", "other"),
    [
        ("", set()),
        ("kernel", {"kernel", "random"}),
        ("cpus", {"cpus"}),
        ("file-order", {"order"}),
        ("date", {"day"}),
        ("umask,hostname,environment", set()),
        (ALL, {"kernel", "random", "cpus", "order", "day"}),
    ],
)
def test_each_condition_is_really_another_and_nothing_else(
    account: Account, spec: Path, looked: dict[str, str], vary: str, other: set[str]
) -> None:
    if (os.cpu_count() or 1) == 1:
        other = other - {"cpus"}
    if account.kind not in looked:
        _write(account, spec, [{"shell": LOOK}, {"create-artifact": {"name": "seen", "files": [*SEEN]}}])
        looked[account.kind] = _build(account, spec)
    found = _verify(account, looked[account.kind], "--vary", vary, code=3, hasty=False)
    (difference,) = found["differences"]
    assert {change["path"] for change in difference["members"]["changes"]} == other | ALWAYS
    assert found["varied"][0].startswith("the time, by ")
    for name in ALL.split(","):
        assert any(text.startswith(f"{name} (") for text in found["constant"]) == (name not in vary)


# What no step sees: so these are Contractors that leak it into the environment of their steps.
LEAKING = """import ctypes, locale, os, socket, time
import msgspec
import contractor.build.context as context, contractor.sandbox.bwrap as bwrap

def umask():
    mask = os.umask(0); os.umask(mask)
    return str(mask)

def leaking(function, leak, place):
    def wrapper(*args):
        args = list(args)
        found = function(*args) if place is None else args[place]
        spec = msgspec.structs.replace(found, env={{**found.env, "LEAK": leak()}})
        if place is None:
            return spec
        args[place] = spec
        return function(*args)
    return wrapper

context.StepContext.tree_spec = leaking(context.StepContext.tree_spec, {outside}, None)
bwrap.bwrap_options = leaking(bwrap.bwrap_options, {inside}, 0)
"""
LEAKS = {
    "umask": ("umask", "umask", None),
    "time zone": ("environment", "lambda: time.strftime('%Z')", None),
    "locale": ("environment", "lambda: locale.setlocale(locale.LC_ALL)", None),
    "environment": ("environment", "lambda: str(sorted(os.environ.items()))", None),
    "host name": ("hostname", None, "socket.gethostname"),
    "folder": ("", None, "os.getcwd"),
}


def _leaking(account: Account, leak: str, *argv: str) -> subprocess.CompletedProcess[bytes]:
    _condition, outside, inside = LEAKS[leak]
    same = "lambda: 'same'"
    lines = LEAKING.format(outside=outside or same, inside=inside or same).splitlines()
    program = "\n".join(line for line in lines if not line.startswith("bwrap." if outside else "context."))
    command = [f"{program}\n{PROGRAM}" if word == PROGRAM else word for word in account.command(*argv)]
    return subprocess.run(command, capture_output=True, check=False)


@pytest.mark.parametrize("leak", LEAKS)
def test_what_no_step_sees_is_really_another_outside(
    accounts: dict[str, Account], spec_of_root: Path, leak: str
) -> None:
    account, condition = next(iter(accounts.values())), LEAKS[leak][0]
    _write(account, spec_of_root, [{"shell": 'echo "$LEAK" > a; test -n "$LEAK"'}, *_artifacts("a")])
    assert _leaking(account, leak, "build", str(spec_of_root), "-q").returncode == 0
    others = ",".join(name for name in ALL.split(",") if name != condition)
    caught = _leaking(account, leak, "verify", "last", "--plain", "--vary", condition)
    assert caught.returncode == 3, caught.stderr.decode()
    assert b"  changed a: other content" in caught.stdout
    if condition:
        assert _leaking(account, leak, "verify", "last", "--plain", "--vary", others).returncode == 0


@pytest.fixture
def spec_of_root(accounts: dict[str, Account]) -> Iterator[Path]:
    folder = next(iter(accounts.values())).home / f"v-{os.urandom(4).hex()}"
    folder.mkdir()
    folder.chmod(0o755)
    yield folder / "contractor.yaml"
    shutil.rmtree(folder, ignore_errors=True)


def test_the_date_is_another_and_what_waits_does_not_wait_longer(account: Account, spec: Path) -> None:
    script = """import ctypes, queue, select, subprocess, threading, time
class Moment(ctypes.Structure):
    _fields_ = [("seconds", ctypes.c_long), ("nanoseconds", ctypes.c_long)]
libc = ctypes.CDLL(None, use_errno=True)
def soon():
    moment = Moment()
    assert libc.clock_gettime(0, ctypes.byref(moment)) == 0
    moment.seconds += 1
    return ctypes.byref(moment)
semaphore, mutex, other, condition = (ctypes.create_string_buffer(64) for _ in range(4))
def on_condition():
    libc.pthread_mutex_lock(mutex)
    return libc.pthread_cond_timedwait(condition, mutex, soon())
def on_mutex():
    libc.pthread_mutex_lock(other)
    return libc.pthread_mutex_timedlock(other, soon())
libc.sem_init(semaphore, 0, 0)
waits = {
    "semaphore": lambda: libc.sem_timedwait(semaphore, soon()) == -1 and ctypes.get_errno() == 110,
    "condition": lambda: on_condition() == 110,
    "mutex": lambda: on_mutex() == 110,
    "sleep": lambda: libc.clock_nanosleep(0, 1, soon(), None) == 0,
}
found = {}
def wait(name):
    began = time.monotonic()
    found[name] = waits[name]() and 0.9 < time.monotonic() - began < 3
threads = [threading.Thread(target=wait, args=(name,)) for name in waits]
[thread.start() for thread in threads]; [thread.join() for thread in threads]
assert found == dict.fromkeys(waits, True), found
assert not threading.Event().wait(0.1) and not threading.Lock().acquire(timeout=0.1) is False
select.select([], [], [], 0.1)
assert time.strftime("%Y") == time.strftime("%Y", time.gmtime(time.time()))
assert libc.clock_gettime(99, ctypes.byref(Moment())) == -1 and ctypes.get_errno() == 22
open("a", "w").write("waited")"""
    _write(account, spec, [_python(script), *_artifacts("a")])
    found = _verify(account, _build(account, spec), "--vary", "date")
    assert any(text.startswith("the date in shell steps") for text in found["varied"])


def test_nothing_piles_up(account: Account, spec: Path) -> None:
    unpack = {"unpack-artifact": {"digest": account.tree, "to": "tree"}}
    own = [unpack, {"create-artifact": {"name": "t", "files": ["tree"]}}, {"create-systree": "t"}]
    _write(account, spec, [{"shell": "echo a > a"}, *_artifacts("a"), *own])  # with a layer of its own
    build = _build(account, spec)
    before = _stored(account)
    for _ in range(3):
        found = _verify(account, build)
        assert found["outcome"] == "reproduced"
        assert Path(found["signed"]).exists()
    assert _stored(account) == before
    assert account.leftovers() == []
    noted = account.run("audit", "show", "--kind", "verdict", "--build", build, "--json", "-n", "0").stdout
    assert len(noted.splitlines()) == 3  # each once
    assert account.run("audit", "verify").returncode == 0


def _stored(account: Account) -> set[str]:
    """Everything but records: those of verifications stay, as those of builds do."""
    kept = ("results", "states", "layers", "blobs", "work", "trash")
    until = time.monotonic() + 10
    while [*account.store.glob("results/unsynced/*/*")] and time.monotonic() < until:
        time.sleep(0.05)  # a build's results move up a moment after it
    return {str(path) for name in kept for path in account.store.glob(f"{name}/*/*")} | {
        str(path) for name in kept for path in account.store.glob(f"{name}/*") if path.name != "unsynced"
    }


def test_what_differs_is_there_to_be_looked_at_until_gc(account: Account, spec: Path) -> None:
    _write(account, spec, [{"shell": "date=$(python3 -c 'import time; print(time.time())'); echo $date > a"},
                           {"create-artifact": "a"}])  # fmt: skip
    build = _build(account, spec)
    found = _verify(account, build, code=3)
    (difference,) = found["differences"]
    assert [change["path"] for change in difference["members"]["changes"]] == ["a"]
    assert _blob(account, difference["after"]).exists()
    assert account.run("gc").returncode == 0
    assert _blob(account, difference["after"]).exists()
    record = account.store / "builds" / found["again"] / "record.json"
    record.write_text(_older(record.read_text(), days=8))
    for path in (_blob(account, difference["after"]), *account.store.glob("results/**/*.json")):
        if path.suffix != ".json" or found["again"] in path.read_text():
            os.utime(path, (0, 0))
            if path.suffix == ".json":
                path.write_text(_older(path.read_text(), days=8))
    assert account.run("gc").returncode == 0
    assert not _blob(account, difference["after"]).exists()
    assert _blob(account, difference["before"]).exists()


def _older(text: str, days: int) -> str:
    value = json.loads(text)
    for name in ("started", "finished"):
        if name in value:
            value[name] -= days * 86400
    return json.dumps(value)


def _blob(account: Account, digest: str) -> Path:
    return account.store / "blobs" / "sha256" / digest[:2] / f"{digest}.zst"


def test_a_second_build_that_fails_is_another_output(account: Account, spec: Path) -> None:
    """By the clock, which no milder conditions turn back."""
    until = int(time.time()) + 4
    script = f"python3 -c 'import time, sys; sys.exit(time.time() > {until})'; echo > a"
    _write(account, spec, [{"shell": script}, {"create-artifact": "a"}])
    build = _build(account, spec)
    time.sleep(max(0.0, until + 1 - time.time()))
    found = _verify(account, build, code=3)
    assert found["outcome"] == "not-reproducible"
    assert [(item["name"], item["after"]) for item in found["differences"]] == [("a", "")]
    assert "failed with exit code 1" in found["message"]
    said = _told(found)
    assert "a: only in the first build" in said
    assert "NOT REPRODUCIBLE: the second build of" in said


@pytest.mark.parametrize("condition", ["kernel", "file-order", "date"])
def test_a_build_that_does_not_bear_a_condition_is_built_without_it(
    account: Account, spec: Path, condition: str
) -> None:
    bears = {
        "kernel": "import os, sys; sys.exit(os.uname().release.startswith('2.6'))",
        "file-order": "import os; os.mkdir('d'); [open(f'd/{c}', 'w') for c in 'cab'];"
        "import sys; sys.exit(os.listdir('d') == ['b', 'a', 'c'])",
        "date": f"import time, sys; sys.exit(time.time() > {time.time() + 86400})",
    }
    _write(account, spec, [{"shell": f'python3 -c "{bears[condition]}"; echo > a'}, *_artifacts("a")])
    found = _verify(account, _build(account, spec))
    assert found["outcome"] == "reproduced"
    (why,) = (text for text in found["constant"] if text.startswith(condition))
    assert "with it the second build ended as failed" in why
    assert not any("2.6" in text or "order" in text or "date" in text for text in found["varied"])


def test_a_workspace_that_does_not_fit_into_memory_is_on_the_disk(account: Account, spec: Path) -> None:
    _write(account, spec, [{"shell": "head -c 100000000 /dev/zero > big; rm big; echo > a"}, *_artifacts("a")])
    build = _build(account, spec)
    little = f"import contractor.build.verify.conditions as c; c._free_memory = lambda: 260 << 20; {PROGRAM}"
    argv = [little if word == PROGRAM else word for word in account.command("verify", build, "--json")]
    done = subprocess.run(argv, capture_output=True, check=False)
    assert done.returncode == 0, done.stderr.decode()
    found = json.loads(done.stdout)
    assert any(text.startswith("file-order (with it the second build ended as") for text in found["constant"])


def _python(script: str) -> dict[str, str]:
    return {"shell": f"cat > /tmp/s.py <<'EOS'\n{script}\nEOS\npython3 /tmp/s.py"}


def test_one_byte_in_a_million_is_seen_and_named(account: Account, spec: Path) -> None:
    script = """import os, time
os.makedirs("deep/er")
data = bytearray(3_000_000)
data[2_000_000] = time.time_ns() // 10**9 % 251
open("deep/er/file", "wb").write(data)
open("deep/same", "w").write("same")"""
    _write(account, spec, [_python(script), *_artifacts("deep")])
    found = _verify(account, _build(account, spec), code=3, hasty=False)
    (difference,) = found["differences"]
    assert [change["path"] for change in difference["members"]["changes"]] == ["deep/er/file"]
    if shutil.which("diffoscope"):
        assert "deep/er/file" in difference["explained"]


HOSTILE = {
    # 300 MB of zeros, gzipped twice; what differs is at its end.
    "bomb": """import gzip, io, time
inner = io.BytesIO()
with gzip.GzipFile(fileobj=inner, mode="wb", mtime=0, compresslevel=1) as file:
    for _ in range(300): file.write(bytes(1 << 20))
    file.write(str(time.time()).encode())
open("a", "wb").write(gzip.compress(inner.getvalue(), 1, mtime=0))""",
    "names": r"""import os, time
for name in (b"\x1b[31mred", b"new\nline", b"-rf", b"..dots", b"\xff", b"~1", b"a b"):
    open(b"a" + name, "w").write(str(time.time()))
open(b"a" + b"x" * 240, "w").write(str(time.time()))""",
    "sparse": """import time
file = open("a", "wb"); file.truncate(1 << 29); file.seek(1 << 28); file.write(str(time.time()).encode())""",
    "many": """import time
for number in range(500): open(f"a{number}", "w").write(str(time.time()))""",
}


@pytest.mark.parametrize("hostile", HOSTILE)
def test_hostile_outputs_are_explained_within_limits(account: Account, spec: Path, hostile: str) -> None:
    _write(account, spec, [_python(HOSTILE[hostile]), {"create-artifact": {"name": "x", "files": ["a*"]}}])
    began = time.monotonic()
    found = _verify(account, _build(account, spec), code=3)
    assert time.monotonic() - began < 200
    (difference,) = found["differences"]
    assert difference["members"]["changes"]
    assert account.leftovers() == []
    if shutil.which("diffoscope"):
        assert difference["explained"]
    said = _told(found)
    if hostile == "names":  # by the program as well
        said += account.run("verify", found["build"], "--plain", timeout=300).stdout.decode()
    assert "NOT REPRODUCIBLE" in said
    assert "\x1b" not in said
    assert len(said) < 50_000


def test_secrets_are_asked_for_before_anything_runs(account: Account, spec: Path) -> None:
    secret = spec.parent / "token"
    secret.write_text("a-token-for-all")
    secret.chmod(0o644)
    _write(account, spec, [{"shell": "test -s /run/secrets/T; echo > a", "secrets": ["T"]}, *_artifacts("a")])
    build = _build(account, spec, "--secret", f"T={secret}")
    said = _refused(account, build)
    assert f"used secrets: T\nhint: contractor verify {build} --secret T=FILE" in said
    assert _verify(account, build, "--secret", f"T={secret}")["outcome"] == "reproduced"


def test_what_proves_nothing_is_refused(account: Account, spec: Path) -> None:
    _write(account, spec, [{"shell": "echo > a"}, *_artifacts("a"), {"name": "no", "shell": "false"}])
    assert "has not succeeded (failed)" in _refused(account, _build(account, spec, code=1))
    said = _refused(account, _build(account, spec, "--until", "3"))
    assert "was asked for something else than its plan (--until 3)" in said
    _write(account, spec, [{"shell": "echo > a"}])
    assert "made no artifact" in _refused(account, _build(account, spec))
    for text in ("nonsense", "../../etc", "last~99"):
        _refused(account, text)
    _refused(account, "last", "--vary", "nonsense")


def test_a_later_build_is_not_compared_with_a_verification(account: Account, spec: Path) -> None:
    _write(account, spec, [{"shell": "echo a > a"}, *_artifacts("a")])
    _verify(account, _build(account, spec), "-o", str(account.home / "verdict"))
    assert account.run("provenance", "show", str(account.home / "verdict")).returncode == 0
    _write(account, spec, [{"shell": "echo b > a"}, *_artifacts("a")])
    done = account.run("build", str(spec), "--plain")
    assert b"script line 1 changed" in done.stderr
    assert b"verify" not in done.stderr


def test_two_at_once(account: Account, spec: Path) -> None:
    _write(account, spec, [{"shell": "sleep 0.5; echo > a"}, *_artifacts("a")])
    build = _build(account, spec)
    running = [account.start("verify", build, "--plain") for _ in range(2)]
    for one in running:
        _out, err = one.communicate(timeout=60)
        assert one.returncode == 0, err.decode()
    assert account.leftovers() == []


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGKILL])
def test_stopped_in_the_middle(account: Account, spec: Path, number: signal.Signals) -> None:
    long = f"import time; time.sleep(60 if time.time() > {time.time() + 86400} else 0)"  # at another date
    _write(account, spec, [{"shell": f"echo > a; python3 -c '{long}'"}, *_artifacts("a")])
    build = _build(account, spec)
    before = _stored(account)
    running = account.start("verify", build, "--plain")
    until = time.monotonic() + 20
    while not [*account.store.glob("work/*/place/ws/a"), *account.store.glob("work/*/place")]:
        assert time.monotonic() < until
        time.sleep(0.02)
    time.sleep(0.3)
    os.kill(running.pid, number)
    running.communicate(timeout=20)
    assert running.returncode == (130 if number != signal.SIGKILL else -9)
    if number == signal.SIGKILL:
        time.sleep(0.5)
        for name in account.leftovers():
            os.utime(account.store / "work" / name, (0, 0))
        assert account.run("gc").returncode == 0
    assert account.leftovers() == []
    assert _stored(account) == before
    assert _verify(account, build, "--vary", "kernel,cpus,file-order")["outcome"] == "reproduced"


def test_other_results_are_taken_from_other_builds_and_all_steps_run_again(account: Account, spec: Path) -> None:
    """Steps that were found, and not run, in the build that is verified."""
    first = [{"name": "one", "shell": "echo 1 > one"}]
    _write(account, spec, [*first, *_artifacts("one")])
    _build(account, spec)
    _write(account, spec, [*first, {"name": "two", "shell": "cat one one > two"}, *_artifacts("one", "two")])
    found = _verify(account, _build(account, spec))
    assert found["same"] == ["one", "two"]
    record = json.loads((account.store / "builds" / found["again"] / "record.json").read_text())
    assert [step["outcome"] for step in record["steps"]][1:] == ["succeeded"] * 4


def test_a_matrix_is_verified_one_by_one(account: Account, spec: Path) -> None:
    steps = [{"shell": "echo $CONTRACTOR_MATRIX_KIND > a"}, *_artifacts("a")]
    _write(account, spec, steps, matrix={"kind": ["x", "y"]})
    done = account.run("build", str(spec), "--plain", "--events", "-")
    events = [json.loads(line) for line in done.stdout.splitlines()]
    for build in {event["build"] for event in events if event["event"] == "build-started"}:
        assert _verify(account, build)["same"] == ["a"]


def test_a_verification_is_verified_as_what_it_verified(account: Account, spec: Path) -> None:
    _write(account, spec, [{"shell": "echo > a"}, *_artifacts("a")])
    build = _build(account, spec)
    again = _verify(account, build)["again"]
    assert _verify(account, again)["build"] == build


def test_by_provenance(account: Account, spec: Path) -> None:
    _write(account, spec, [{"shell": "echo > a"}, *_artifacts("a")])
    build = _build(account, spec)
    path = account.store / "builds" / build / "provenance" / "a.intoto.jsonl"
    found = _verify(account, str(path))
    assert (found["build"], found["outcome"]) == (build, "reproduced")
    signed = Path(found["signed"])
    assert _verify(account, str(signed))["build"] == build  # the verdict is about it as well
    other = spec.parent / "other.jsonl"
    other.write_text(path.read_text().replace("payload", "paylaod"))
    other.chmod(0o644)
    _refused(account, str(other))
    record = account.store / "builds" / build / "record.json"
    record.write_text(record.read_text().replace('"epoch_origin": "', '"epoch_origin": "not '))
    assert f"the record of {build} is not the one that" in _refused(account, str(path), code=3)
    shutil.rmtree(record.parent)
    spec.write_text("gone")
    path.parent.mkdir(parents=True)
    assert "there is no file" in _refused(account, str(path))


def test_by_provenance_alone_in_another_store_as_another_user(accounts: dict[str, Account]) -> None:
    """Root's build, verified by an ordinary user; and nothing else is taken for it."""
    if len(accounts) < 2:
        pytest.skip("only root can be two users")
    first, second = accounts["root"], accounts["user"]
    folder = Path(tempfile.mkdtemp(prefix="contractor-elsewhere-", dir="/var/tmp"))
    try:
        spec = folder / "contractor.yaml"
        (folder / "src").mkdir()
        (folder / "src" / "word").write_text("a word")
        steps = [{"shell": "cat word > a; id -u > b"}, *_artifacts("a", "b")]
        top = {"source": {"path": "src"}, "parameters": {"X": {"default": "1"}}}
        _write(first, spec, steps, **top)
        assert first.run("lock", str(spec)).returncode == 0
        _build(first, spec, "--locked", "-p", "X=2", "-o", str(folder / "out"))
        assert first.run("keys", "export", "-o", str(folder / "key")).returncode == 0
        subprocess.run(["chmod", "-R", "a+rX", str(folder)], check=True)
        provenance, options = str(folder / "out" / "a.tar.zst.intoto.jsonl"), ("--trust", str(folder / "key"))
        assert "that is not trusted" in _refused(second, provenance, "--spec", str(spec))
        assert "--spec SPEC" in _refused(second, provenance, *options)
        found = _verify(second, provenance, *options, "--spec", str(folder))
        assert (found["outcome"], found["same"], found["elsewhere"]) == ("reproduced", ["a", "b"], True)
        verdict = second.run("provenance", "verify", found["signed"], str(folder / "out" / "a.tar.zst"))
        assert verdict.returncode == 0, verdict.stderr
        assert b"verdict" in second.run("audit", "show").stdout
        assert "is in another store" in _refused(second, found["again"])
        (folder / "src" / "word").write_text("another")
        said = _refused(second, provenance, *options, "--spec", str(spec), code=3)
        assert "is not what" in said
        assert "the source of the step source src" in said
        (folder / "contractor.lock").unlink()
        assert "there is no lock" in _refused(second, provenance, *options, "--spec", str(spec))
    finally:
        shutil.rmtree(folder)


def test_the_plan_that_was_run_counts_and_no_file_of_today(account: Account, spec: Path) -> None:
    folder = spec.parent
    (folder / "src").mkdir()
    (folder / "src" / "file").write_text("as it was")
    (folder / ".contractor" / "actions").mkdir(parents=True)
    action = folder / ".contractor" / "actions" / "act"
    action.write_text("#!/bin/sh\necho $CONTRACTOR_ARG_X > acted\n")
    action.chmod(0o755)
    for path in folder.rglob("*"):
        path.chmod(0o755)
    steps = [{"custom": {"name": "act", "args": {"x": "5"}}}, {"create-artifact": "all"}]
    _write(account, spec, steps, source={"path": "src"})
    build = _build(account, spec)
    (folder / "src" / "file").write_text("as it is")
    action.write_text("#!/bin/sh\nexit 1\n")
    spec.write_text("contractor: 1")
    assert _verify(account, build)["outcome"] == "reproduced"
    shutil.rmtree(folder)
    assert _verify(account, build)["outcome"] == "reproduced"
    folder.mkdir()


def test_what_is_gone_from_the_store_is_told_at_once(account: Account, spec: Path) -> None:
    (spec.parent / "src").mkdir()
    (spec.parent / "src" / "file").write_text(spec.parent.name)
    (spec.parent / "src").chmod(0o755)
    _write(account, spec, [{"create-artifact": "all"}], source={"path": "src"})
    build = _build(account, spec)
    plan = json.loads((account.store / "builds" / build / "plan.json").read_text())
    source = next(action["inputs"]["source"] for action in plan["actions"] if "source" in action["inputs"])
    os.unlink(_blob(account, source))
    said = _refused(account, build)
    assert f"the source's archive sha256:{source} is not in the store any more" in said
    for name in ("plan.json", "record.json"):
        path = account.store / "builds" / build / name
        text = path.read_text()
        path.write_text(text[:-20])
        _refused(account, build, code=6)
        path.write_text(text)


def test_what_was_changed_since_is_refuted_before_anything_runs(account: Account, spec: Path) -> None:
    _write(account, spec, [{"shell": "echo > a"}, *_artifacts("a")])
    build = _build(account, spec)
    folder = account.store / "builds" / build
    for name, old, new in (
        ("plan.json", "echo > a", "echo b>a"),
        ("record.json", '"epoch_origin": "', '"epoch_origin": "not '),
        ("record.json", '"digest": "', '"digest": "0'),
        ("provenance/a.intoto.jsonl", '"payload":"ey', '"payload":"eY'),
    ):
        text = (folder / name).read_text()
        assert old in text
        (folder / name).write_text(text.replace(old, new))
        said = _refused(account, build, code=3)
        assert "[1/" not in said
        (folder / name).write_text(text)
    (folder / "provenance" / "a.intoto.jsonl").rename(folder / "gone")
    done = account.run("verify", build, "--plain")
    assert (done.returncode, b"nobody whom you trust vouches for the record" in done.stderr) == (0, True)


def test_only_what_has_one_id_is_verified_with_one_id(account: Account, spec: Path) -> None:
    _write(account, spec, [{"shell": "echo > a"}, *_artifacts("a")])
    build = _build(account, spec)
    assert "was built with a range of ids" in _refused(account, build, "--one-id")
