"""The figures of debugging: a snapshot, a shell, an edit near the end, a report."""

from __future__ import annotations

import random

from bench.figures import Figure, fifty
from bench.machine import Machine, median

_MANY = "for d in $(seq 100); do mkdir $d; (cd $d; seq 100 | split -l 1 -d -a 3); done"
# In a terminal of its own: the seconds until something ends with the prompt of step 3.
_PROMPT = """
import os, pty, sys, time
began = time.perf_counter()
pid, fd = pty.fork()
if pid == 0:
    os.execvp(sys.argv[1], sys.argv[1:])
seen = b""
while b"/workspace $ " not in seen:
    seen += os.read(fd, 4096)
print(time.perf_counter() - began)
os.write(fd, b"exit\\n")
try:
    while os.read(fd, 4096):
        pass
except OSError:
    pass
os.waitpid(pid, 0)
"""
_HEAD = "contractor: 1\nname: debug\nsteps:\n  - create-systree: {base: debian-12}\n"


def snapshot(machine: Machine) -> list[Figure]:
    """What a step that changes one file costs more in a workspace of 10,000 files than in an empty one."""
    took: dict[str, list[float]] = {_MANY: [], "true": []}
    for _ in range(3):
        for first, found in took.items():
            salt = random.random()
            one = "".join(f"  - shell: echo {number} {salt} > changed\n" for number in range(20))
            machine.run(machine.build(machine.write("debug.yaml", f"{_HEAD}  - shell: {first} # {salt}\n{one}")))
            found += [step["seconds"] for step in machine.record()["steps"][2:]]
    cost = (median(took[_MANY]) - median(took["true"])) * 1e3
    return [Figure("snapshot of 10k files after one has changed", "60 ms", f"{cost:.0f} ms", cost <= 60)]


def shell(machine: Machine) -> list[Figure]:
    """From `contractor shell` to its prompt, in the sandbox of a step that failed."""
    spec = machine.write("debug.yaml", f"{_HEAD}  - shell: echo > made\n  - shell: 'false'\n")
    machine.run(machine.build(spec), check=False)
    argv = ["/usr/bin/python3", "-c", _PROMPT, machine.command, "shell", "debug"]
    times = [float(machine.run(["env", "TERM=xterm", *argv]).stdout) for _ in range(7)]
    found = median(times)
    return [Figure("a prompt in the failed step's sandbox", "0.3 s", f"{found:.2f} s", found <= 0.3)]


def edit(machine: Machine) -> list[Figure]:
    """Step 48 of 50 is edited, and it is built again."""
    times = []
    for _ in range(7):
        text = fifty("debug").replace("echo debug 47 >", f"echo {random.random()} >")
        times.append(machine.timed(machine.build(machine.write("edit.yaml", text))))
    found = median(times[1:])  # the first runs all of them
    return [Figure("step 48 of 50 edited, built again", "0.2 s", f"{found:.2f} s", found <= 0.2)]


def report(machine: Machine) -> list[Figure]:
    """A report of a build with 50 MB of log, and a browser's way to the page's end."""
    spec = machine.write(
        "debug.yaml", f"{_HEAD}  - shell: yes 'a line of a log, as they are' 2> errors | head -c 50M || true\n"
    )
    machine.run(machine.build(spec, "--fresh"))
    page = machine.folder / "report.html"
    made = median([machine.timed([machine.command, "report", "debug", "-o", str(page)]) for _ in range(3)])
    profile = ["env", f"TMPDIR={machine.folder}", "chromium", f"--user-data-dir={machine.folder}/profile"]
    browser = [*profile, "--headless=new", "--no-sandbox", "--disable-gpu", "--dump-dom"]
    empty = machine.write("empty.html", "<!doctype html><title>empty</title>")
    opened = [machine.timed([*browser, f"file://{path}"]) for _ in range(3) for path in (page, empty)]
    shown = median(opened[::2]) - median(opened[1::2])
    return [
        Figure("report of a build with a 50 MB log", "2 s", f"{made:.2f} s", made <= 2),
        Figure("the page opens in a browser (beyond an empty one)", "2 s", f"{shown:.2f} s", shown <= 2),
    ]


ALL = {"snapshot": snapshot, "shell": shell, "edit": edit, "report": report}
