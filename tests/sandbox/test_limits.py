"""Each limit ends the step, names it, and leaves exit code 4; output arrives whole up to its limit."""

from __future__ import annotations

import base64
import json
import time
from pathlib import Path

import pytest

from conftest import Account, Done, processes

EXCEEDED = {
    "time": ("sleep 60", {"time": "1s"}),
    "time, ignoring every signal": ("trap '' HUP INT QUIT TERM USR1 PIPE; while :; do :; done", {"time": "1s"}),
    "time, while it talks": ("while :; do echo still here; done", {"time": "1s", "log": "1G"}),
    "time, forked away": ("setsid sleep 600 & setsid sleep 600 & wait", {"time": "1s"}),
    "memory": ("python3 -c 'x = b\"x\" * (1 << 30); import time; time.sleep(9)'",
               {"memory": "200M"}),
    "processes": ("for i in $(seq 100); do sleep 2 & done; wait; exit 1", {"processes": 40}),
    "file-size": ("head -c 100M /dev/zero > big", {"file-size": "10M"}),
    "disk": ("for i in $(seq 200); do head -c 10M /dev/zero > part-$i; done; sleep 9", {"disk": "100M"}),
    "files": ("python3 -c 'for i in range(4000): open(str(i), \"w\")'; sleep 9", {"files": 1000}),
    "log": ("yes | head -c 50M", {"log": "10M"}),
}  # fmt: skip


@pytest.mark.parametrize("what", EXCEEDED)
def test_limit_ends_the_step_and_is_named(account: Account, what: str) -> None:
    script, limits = EXCEEDED[what]
    before = account.leftovers()
    began = time.monotonic()
    done = account.build(script, limits=limits)
    assert done.code == 4, done
    assert ("log reached" if what == "log" else "the step 'the-step'") in done.text, done
    assert f"limits: {{{next(iter(limits))}: " in done.text, done
    assert time.monotonic() - began < 15
    assert account.leftovers() == before


def test_step_within_its_limits_succeeds(account: Account) -> None:
    done = account.build("head -c 5M /dev/zero > some", limits={"file-size": "10M", "disk": "1G", "files": 90000})
    assert done.code == 0, done


def test_daemon_does_not_hold_the_step(account: Account) -> None:
    began = time.monotonic()
    done = account.build("setsid sleep 987654 & setsid sh -c 'trap \"\" HUP TERM; sleep 987654' & echo main ends")
    assert done.code == 0, done
    assert time.monotonic() - began < 10
    assert not [pid for pid in processes("987654") if b"sleep\x00987654" in _cmdline(pid)]


def _cmdline(pid: int) -> bytes:
    try:
        with open(f"/proc/{pid}/cmdline", "rb") as file:
            return file.read()
    except OSError:
        return b""


def _output(done: Done) -> bytes:
    parts = [event["data"] for event in done.events if event["event"] == "step-output" and event["step"] == 1]
    return b"".join(base64.b64decode(str(part)) for part in parts)


@pytest.mark.parametrize(
    ("script", "expected"),
    [
        ("printf 'no newline at the end'", b"no newline at the end"),
        ("printf '\\377\\376\\200 bad'; printf '\\303'; sleep 0.2; printf '\\251\\n'", b"\xff\xfe\x80 bad\xc3\xa9\n"),
        ("printf one; printf two >&2; printf three", b"onetwothree"),
        ("(echo late; ) & wait; printf '\\0'", b"late\n\0"),
    ],
)
def test_output_arrives_byte_by_byte(account: Account, script: str, expected: bytes) -> None:
    done = account.build(script)
    assert done.code == 0, done
    assert _output(done) == expected


@pytest.mark.parametrize("stream", ["", ">&2"])
def test_ten_mebibytes_of_output_arrive(account: Account, stream: str) -> None:
    done = account.build(f"head -c 10485760 /dev/zero {stream}; printf end {stream}")
    assert done.code == 0, done.text[-500:]
    assert _output(done) == bytes(10485760) + b"end"


def test_missing_program_is_a_failure_that_names_it(account: Account) -> None:
    done = account.build("no-such-program --version")
    assert done.code == 1, done
    assert "no-such-program" in done.text


def test_hidden_files_count(account: Account) -> None:
    script = "exec 9> hidden; rm hidden; head -c 300M /dev/zero >&9; sleep 9"
    done = account.build(script, limits={"disk": "100M"})
    assert done.code == 4, done


def test_the_record_has_the_processor_time_of_all_that_ran(account: Account) -> None:
    done = account.build("python3 -c 'import time\nwhile time.process_time() < 0.3: pass'")
    assert done.code == 0, done
    started = next(event for event in done.events if event["event"] == "build-started")
    record = json.loads(Path(str(started["record"]), "record.json").read_bytes())
    assert 0.25 < record["steps"][-1]["cpu_seconds"] < 5
