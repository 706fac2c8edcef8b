"""A person's terminal, lent to a shell in a sandbox: it works as one, and nothing inside reaches the person's own."""

from __future__ import annotations

import fcntl
import json
import os
import signal
import struct
import subprocess
import termios
import textwrap
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from conftest import Account, processes
from contractor.sandbox.terminal import Terminal
from person import Person

_FACTS = """
import json, os, resource
status = dict(line.split(":", 1) for line in open("/proc/self/status"))
names = ("Uid", "Gid", "Groups", "CapPrm", "CapEff", "CapBnd", "NoNewPrivs", "Seccomp")
limits = [resource.getrlimit(number) for number in range(16) if number != resource.RLIMIT_CPU]
mounts = [line.split()[4] for line in open("/proc/self/mountinfo")]
changing = {"PWD", "OLDPWD", "SHLVL", "_"}
print(json.dumps({"env": {k: v for k, v in os.environ.items() if k not in changing}, "limits": limits,
                  "mounts": mounts, "uname": os.uname()[:2], "cwd": os.getcwd(), "umask": os.umask(0),
                  "namespaces": len(os.listdir("/proc/self/ns")),
                  "network": open("/proc/net/dev").read().count(":"), **{n: status[n].strip() for n in names}}))
"""
_FAILS = "echo half > half; exit 3"


@pytest.fixture(scope="session")
def failed(accounts: dict[str, Account]) -> dict[str, str]:
    """A failed build of each account, whose step left a file."""
    made = {}
    for kind, account in accounts.items():
        done = account.build(_FAILS, name="shell-of", env={"GREETING": "hello"})
        assert done.code == 1, done
        made[kind] = str(done.events[0]["build"])
    return made


@contextmanager
def shell(account: Account, build: str, *options: str, **more: Any) -> Iterator[Person]:
    """In the sandbox of the failed step, at the first prompt."""
    with person(account, "shell", build, *options, **more) as made:
        yield made


@contextmanager
def person(account: Account, *argv: str, **more: Any) -> Iterator[Person]:
    command = account.command(*argv, env={"TERM": "xterm-256color"})
    with Person(command, cwd=account.home, **more) as made:
        made.sees("  leave ")
        made.sees(" $ ")
        yield made


def python(at: Person, script: str) -> str:
    """Run a script inside, and what it prints. It comes as a line of hexadecimal digits, so that nothing is special."""
    code = f"exec(bytes.fromhex('{textwrap.dedent(script).encode().hex()}').decode())"
    return at.run(f'python3 -ISB -c "{code}"')


def unread(at: Person) -> int:
    """Bytes that wait to be read by whatever reads the person's terminal next."""
    fd = os.open(at.device, os.O_RDWR | os.O_NOCTTY)
    try:
        return int(struct.unpack("i", fcntl.ioctl(fd, termios.FIONREAD, b"\0" * 4))[0])
    finally:
        os.close(fd)


def test_it_is_the_step_s_own_sandbox(account: Account) -> None:
    """Of everything that a step can see of itself, only TERM and the terminal are others."""
    source = f"python3 -ISB - <<'END'\n{_FACTS}\nEND\nexit 1"
    done = account.build(source, name="facts")
    ran = json.loads(next(line for line in done.text.splitlines() if line.startswith('{"env"')))
    assert ran["env"].pop("TERM") == "dumb"  # bash's own
    with shell(account, str(done.events[0]["build"])) as at:
        again = json.loads(at.run("again").splitlines()[0])
        inside = json.loads(python(at, _FACTS))
        at.line("exit")
        at.leaves()
    assert inside["env"].pop("TERM") == again["env"].pop("TERM") == "xterm-256color"
    for found in (again, inside):
        assert found["mounts"].count("/run/contractor/shell") == 1
        found["mounts"].remove("/run/contractor/shell")
        assert found["env"].items() ^ ran["env"].items() == set()
        assert found == ran


def test_it_is_a_terminal(account: Account, failed: dict[str, str]) -> None:
    with shell(account, failed[account.kind], size=(93, 31)) as at:
        assert at.run("cat half; echo $GREETING") == "half\nhello\n"
        assert python(at, "import os; print(os.isatty(0), os.ttyname(1), *os.get_terminal_size())") == (
            "True /dev/pts/0 93 31\n"
        )
        at.line("sleep 31537")
        _wait_until(lambda: _alive("31537"))
        at.type("\x1a")
        at.sees("Stopped")
        at.sees(" $ ")
        at.line("fg")
        at.sees("fg\r\nsleep 31537\r\n")
        at.type("\x03")
        at.line("echo it was $?")
        at.sees("it was 130\r\n")
        assert "Terminated" in at.run("sleep 31537 & kill %1; wait; jobs")
        assert at.run("type -t exit again") == "function\nfunction\n"
        assert at.run("echo to > /dev/tty; echo the >/dev/stderr; echo same > /dev/pts/0") == "to\nthe\nsame\n"
        at.line("exit 7")
        assert at.leaves() == 7


@pytest.mark.parametrize(("keys", "code"), [("exit\r", 0), ("\x04", 0), ("exit 3\r", 3), ("exit $((1 + 1))\r", 2)])
def test_leaving_means_what_it_says_whatever_ran_before(
    account: Account, failed: dict[str, str], keys: str, code: int
) -> None:
    with shell(account, failed[account.kind]) as at:
        at.line("false")
        at.sees(" $ ")
        at.type(keys)
        assert at.leaves() == code


def test_a_resize_reaches_a_program_that_runs(account: Account, failed: dict[str, str]) -> None:
    script = """
        import os, signal, time
        told = []
        signal.signal(signal.SIGWINCH, lambda *_: told.append(os.get_terminal_size()))
        print("waiting", flush=True)
        while not told:
            time.sleep(0.01)
        print("now", *told[0])
    """
    code = f"exec(bytes.fromhex('{textwrap.dedent(script).encode().hex()}').decode())"
    with shell(account, failed[account.kind]) as at:
        at.line(f'python3 -ISB -c "{code}"')
        at.sees("waiting\r\n")
        at.resize(121, 17)
        at.sees("now 121 17\r\n", 5)


def test_every_byte_gets_through_both_ways(account: Account, failed: dict[str, str]) -> None:
    script = """
        import os, tty
        tty.setraw(0)
        os.write(1, b"ready")
        data = b""
        while len(data) < 256 * 40:
            data += os.read(0, 4096)
        os.write(1, b"<begin>" + data + b"<end>")
    """
    code = f"exec(bytes.fromhex('{textwrap.dedent(script).encode().hex()}').decode())"
    with shell(account, failed[account.kind]) as at:
        at.line(f'python3 -ISB -c "{code}"')
        at.sees("ready")
        data = bytes(range(256)) * 40
        at.type(data)
        at.sees("<end>")
        assert b"<begin>" + data + b"<end>" in at.raw


def test_much_that_is_typed_while_much_is_printed(account: Account, failed: dict[str, str]) -> None:
    """A program that reads nothing must not keep what it prints from being seen: both sides would wait for ever."""
    script = """
        import os, sys, tty
        tty.setraw(0)
        sys.stdout.write("x" * 300000 + "<begin>")
        sys.stdout.flush()
        import time; time.sleep(0.3)
        sys.stdout.write("y" * 3000000 + "<printed>")
        sys.stdout.flush()
        size = 0
        while size < 200000:
            size += len(os.read(0, 65536))
        print("<taken>", size, end="\\r\\n")
    """
    code = f"exec(bytes.fromhex('{textwrap.dedent(script).encode().hex()}').decode())"
    with shell(account, failed[account.kind]) as at:
        at.line(f'python3 -ISB -c "{code}"')
        at.sees("<begin>")
        at.type(b"k" * 200000)
        at.sees("<printed>")
        at.sees("<taken> 200000")


def test_nothing_inside_leads_to_the_person_s_terminal(account: Account, failed: dict[str, str]) -> None:
    with shell(account, failed[account.kind]) as at:
        theirs = os.stat(at.device)
        looked = json.loads(
            python(
                at,
                f"""
                import json, os, stat
                found = []
                for folder, _folders, files in os.walk("/proc"):
                    if folder.endswith("/fd"):
                        files += _folders
                    for name in files if "/fd" in folder else []:
                        try:
                            seen = os.stat(folder + "/" + name)
                        except OSError:
                            continue
                        if stat.S_ISCHR(seen.st_mode):
                            found.append([seen.st_dev, seen.st_ino, seen.st_rdev])
                tty = os.open("/dev/tty", os.O_RDWR)
                print(json.dumps({{"all": found, "pts": sorted(os.listdir("/dev/pts")),
                                   "tty": os.path.exists("{at.device}") and "{at.device}" != "/dev/pts/0",
                                   "own": os.ttyname(0), "same": os.fstat(tty).st_rdev != 0}}))
                """,
            )
        )
        assert looked["own"] == "/dev/pts/0"
        assert looked["pts"] == ["0", "ptmx"]
        assert not looked["tty"]
        assert looked["all"], "nothing was looked at"
        assert [theirs.st_dev, theirs.st_ino, theirs.st_rdev] not in looked["all"]
        at.line("exit")
        at.leaves()


def test_nothing_inside_can_push_keys(account: Account, failed: dict[str, str]) -> None:
    """Neither into the person's terminal nor into its own, and not with another number that means the same."""
    with shell(account, failed[account.kind]) as at:
        tried = python(
            at,
            """
            import ctypes, fcntl, os, termios
            libc = ctypes.CDLL(None, use_errno=True)
            for name in ("/dev/tty", "/dev/pts/0", "/proc/1/fd/0", "/proc/self/fd/2"):
                fd = os.open(name, os.O_RDWR | os.O_NOCTTY)
                for number in (0x5412, 0x5412 | 1 << 32, 0x541C):
                    failed = libc.ioctl(fd, ctypes.c_ulong(number), b"#")
                    print(failed, ctypes.get_errno())
            """,
        )
        assert tried == "-1 1\n" * 12
        at.line("exit")
        at.leaves()
        assert unread(at) == 0


def test_answers_of_the_terminal_are_not_typed_into_the_host_s_shell(account: Account, failed: dict[str, str]) -> None:
    """What is printed may be a question to the terminal; its answer comes as if it had been typed."""
    with shell(account, failed[account.kind]) as at:
        at.line("printf '\\033[5n\\033[5n\\033[5n'; exit 0")
        assert at.leaves() == 0
        assert at.raw.count(b"\x1b[5n") == 4  # its own, and one to know when all have been answered
        assert unread(at) == 0


def test_the_terminal_is_as_it_was_however_the_shell_ends(account: Account, failed: dict[str, str]) -> None:
    for end in ("exit", "kill -9 $$", "TERM"):
        with shell(account, failed[account.kind]) as at:
            inside = at.modes()
            at.line(
                "stty -echo -isig -icanon 2>/dev/null || true; printf '\\033[?1049h\\033[?25l\\033[?1003h\\033[31m'"
            )
            if end == "TERM":
                time.sleep(0.2)
                os.kill(at.process.pid, signal.SIGTERM)
            else:
                at.line(end)
            code = at.leaves()
            assert code == {"exit": 0, "kill -9 $$": 137, "TERM": 130}[end]
            assert inside[3] & (termios.ECHO | termios.ICANON | termios.ISIG) == 0  # raw while it was lent
            flags = at.modes()[3]
            assert flags & termios.ECHO
            assert flags & termios.ICANON
            assert flags & termios.ISIG
            after = bytes(at.raw[at.raw.rindex(b"\x1b[31m") :])
            assert b"\x1b[?25h" in after
            assert b"\x1b[?1000;1002;1003l" in after
            assert after.rindex(b"\x1b[0m") > after.index(b"\x1b[?1047l")


def test_nothing_stays_when_the_shell_is_left(account: Account, failed: dict[str, str]) -> None:
    with shell(account, failed[account.kind]) as at:
        at.line("trap '' HUP TERM; sleep 31538 & setsid sleep 31538 & (setsid sh -c 'trap \"\" TERM; sleep 31538' &)")
        _wait_until(lambda: len(_alive("31538")) >= 3)
        at.line("exit")
        at.leaves()
    assert _alive("31538") == []
    assert account.leftovers() == []


@pytest.mark.parametrize("how", ["window closed", "kill -9"])
def test_nothing_runs_when_the_person_has_gone(account: Account, failed: dict[str, str], how: str) -> None:
    with shell(account, failed[account.kind]) as at:
        at.line("trap '' HUP TERM INT; setsid sleep 31539 & sleep 31539")
        _wait_until(lambda: len(_alive("31539")) >= 2)
        if how == "kill -9":
            os.kill(at.process.pid, signal.SIGKILL)
            at.leaves()
        else:
            at.hang_up()
            assert at.process.wait(20) == 130
        _wait_until(lambda: not _alive("31539"))
        _wait_until(lambda: not _alive(failed[account.kind]))
    for name in account.leftovers():  # gc leaves what may just be starting
        assert how == "kill -9"
        os.utime(account.store / "work" / name, (0, 0))
    assert account.run("gc").returncode == 0
    assert account.leftovers() == []


def test_a_terminal_that_has_gone_before_is_no_accident() -> None:
    """A second shell of the same command: nobody is told that the window was closed."""
    master, slave = os.openpty()
    os.close(master)
    try:
        with pytest.raises(KeyboardInterrupt), Terminal(slave, slave).lent(None):  # type: ignore[arg-type]
            raise AssertionError("it was lent")
    finally:
        os.close(slave)


def test_no_time_limit_runs_for_a_person_and_the_other_limits_do(account: Account) -> None:
    path = account.spec("exit 1", name="limited", limits={"time": "1s", "file-size": "1M", "processes": 40})
    with person(account, "build", path, "--shell", "the-step") as at:
        assert at.run("sleep 1.3; echo fine") == "fine\n"
        assert "File size limit exceeded" in at.run("head -c 2000000 /dev/zero > large")
        at.line("exit")
        assert at.leaves() == 0


def test_two_shells_at_once_do_not_see_each_other(account: Account, failed: dict[str, str]) -> None:
    with shell(account, failed[account.kind]) as one, shell(account, failed[account.kind]) as other:
        assert one.run("echo mine > mine; cat half mine") == "half\nmine\n"
        assert other.run("ls") == "half\n"
        assert other.run("echo /proc/[0-9]*/cmdline | wc -w 2>/dev/null || ls /proc | head -c 1") != ""
        for at in (one, other):
            at.line("exit")
            assert at.leaves() == 0


def test_a_devpts_as_debian_mounts_it_makes_no_difference(account: Account, failed: dict[str, str]) -> None:
    """There, terminals belong to a group that no namespace of ours has. (Only root may mount one.)"""
    if os.getuid() != 0:
        pytest.skip("only root can mount another /dev/pts")
    options = "newinstance,gid=5,mode=620,ptmxmode=666"
    mount = f"mount -t devpts -o {options} devpts /dev/pts && mount --bind /dev/pts/ptmx /dev/ptmx"
    command = account.command("shell", failed[account.kind], env={"TERM": "xterm"})
    script = (
        "import sys; sys.path.insert(0, sys.argv[1]); from person import Person\n"
        "with Person(sys.argv[2:]) as at:\n"
        "    at.sees(' $ ')\n"
        "    print(at.run('echo to > /dev/stderr; cat half'), at.device)\n"
        "    at.line('exit 5')\n"
        "    sys.exit(at.leaves())\n"
    )
    tests = str(Path(__file__).parents[1])
    inner = ["sh", "-c", f'{mount} && exec "$@"', "sh", "python3", "-c", script, tests, *command]
    done = subprocess.run(["unshare", "-m", *inner], capture_output=True, timeout=60, cwd=account.home, check=False)
    assert done.stdout.decode() == "to\nhalf\n /dev/pts/0\n", done.stderr.decode()
    assert done.returncode == 5


def _wait_until(what: Any, seconds: float = 10.0) -> None:
    end = time.monotonic() + seconds
    while not what():
        assert time.monotonic() < end, "did not happen in time"
        time.sleep(0.02)


def _alive(mark: str) -> list[int]:
    """Processes whose command line has a mark, zombies and this one's own apart."""
    found = []
    for pid in processes(mark):
        try:
            state = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
        except OSError:
            continue
        found += [pid] if state != "Z" else []
    return found
