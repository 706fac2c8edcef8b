"""The attacks that a sandbox must survive, as data: what each does, where it is run, and what stops it.

Each is a function of contractor/data/attacks/MODULE.py, run inside by /usr/bin/python3 as `run.py MODULE NAME BAITS`.
Its last line is HELD or ESCAPED, with the reason; attacks that use too much are ended by a limit instead.
`contractor doctor --attack` and tests/sandbox/test_attacks.py run all of them.
"""

from __future__ import annotations

from contractor.core.values import Value
from contractor.spec.model import Limits

SHELL, ROOT, NETWORK, TRUSTED = "shell", "root", "network", "trusted"
ALONE = (SHELL,)
STEPS = (SHELL, ROOT, NETWORK)  # what a specification's own commands and packages' scripts run in

# Small, so that the attacks that use too much end soon.
LIMITS = Limits(
    time=2.0, memory=192 << 20, disk=96 << 20, processes=60, log=16 << 20, file_size=48 << 20, files=500
)  # fmt: skip


class Attack(Value, frozen=True):
    """name: module and function. expected: "held", or the limits that may end it. degraded: holds with one id too."""

    name: str
    does: str
    stopped_by: str
    steps: tuple[str, ...] = (SHELL, ROOT)
    expected: tuple[str, ...] = ("held",)
    degraded: bool = True

    @property
    def module(self) -> str:
        return self.name.partition(".")[0]

    @property
    def function(self) -> str:
        return self.name.partition(".")[2]


_FILTER = "seccomp"
_IDS = "the id map"

ATTACKS = (
    Attack("host.environ", "read the host's environment in /proc/*/environ", "bwrap has an empty environment", STEPS),
    Attack("host.cmdline", "read host paths in /proc/*/cmdline", "bwrap gets its options by --args", STEPS),
    Attack("host.files", "read the store, the user's home, /etc/shadow", "mount namespace", STEPS),
    Attack("host.services", "find the sockets of the host's daemons", "mount namespace"),
    Attack("host.signals", "signal the processes of the host", "pid namespace"),
    Attack("host.loopback", "connect to a server on the host's loopback", "network namespace", STEPS),
    Attack("host.abstract", "connect to an abstract unix socket", "network namespace", STEPS),
    Attack("host.interfaces", "see the host's network interfaces", "network namespace", STEPS),
    Attack("host.direct", "reach any address, ask a name server", "network namespace", STEPS),
    Attack("host.proxy", "reach other hosts and ports through the proxy", "the allow-list", (ROOT, NETWORK)),
    Attack("host.families", "open AF_VSOCK, AF_PACKET, AF_ALG sockets", _FILTER, STEPS),
    Attack("host.raw", "open raw IP sockets", "no capability"),
    Attack("process.capabilities", "have a capability that its kind of step has not", "bwrap --cap-drop", STEPS),
    Attack("process.privileges", "run without the filter, or able to gain privileges", "no_new_privs, seccomp", STEPS),
    Attack("process.ids", "take the caller's id", _IDS, degraded=False),
    Attack("process.descriptors", "find a descriptor that leaked in", "all are closed before exec", STEPS),
    Attack("process.outlive", "take back the death signal that ends it with Contractor", _FILTER, (SHELL, NETWORK)),
    Attack("process.own_program", "write /proc/self/exe and /proc/1/exe", "file owners"),
    Attack("process.oom", "hide from the out-of-memory killer", "no capability"),
    Attack("process.limits", "raise its own limits, run in real time", "hard limits"),
    Attack("process.descend", "walk out of a chroot of its own", "mount namespace"),
    Attack("kernel.user_namespace", "make a user namespace (unshare, clone, clone3)", _FILTER, STEPS),
    Attack("kernel.namespaces", "make or enter other namespaces", _FILTER),
    Attack("kernel.mounts", "mount, remount, unmount, pivot_root", _FILTER, STEPS),
    Attack("kernel.new_mounts", "fsopen, open_tree, move_mount, mount_setattr", _FILTER, STEPS),
    Attack("kernel.keyring", "use the kernel's keyrings", _FILTER),
    Attack("kernel.io_uring", "set up an io_uring", _FILTER),
    Attack("kernel.bpf", "load a program into the kernel", _FILTER),
    Attack("kernel.perf", "watch the machine by perf_event_open", _FILTER),
    Attack("kernel.userfaultfd", "handle page faults", _FILTER),
    Attack("kernel.modules", "load a module or a kernel", _FILTER),
    Attack("kernel.machine", "reboot, set the clock, read the kernel's log", _FILTER),
    Attack("kernel.handles", "open files by handle", _FILTER),
    Attack("kernel.ptrace_pid1", "take over the sandbox's pid 1 by ptrace", _FILTER),
    Attack("kernel.terminal", "type into a terminal (TIOCSTI)", _FILTER),
    Attack("kernel.i386", "make 32-bit system calls", _FILTER),
    Attack("kernel.x32", "make x32 system calls", _FILTER),
    Attack("files.sysctl", "write /proc/sys", _IDS),
    Attack("files.kernel_files", "read kcore and kmsg, trigger sysrq, see /sys", _IDS),
    Attack("files.nodes", "make device nodes", "user namespace"),
    Attack("files.devices", "open devices of the host", "bwrap --dev"),
    Attack("files.setuid_programs", "gain an id by a setuid program", "nosuid, no_new_privs"),
    Attack("files.tree", "write the system tree and the host's /usr", "read-only mounts"),
    Attack("limits.fork_bomb", "fork without end", "RLIMIT_NPROC", expected=("processes", "time")),
    Attack("limits.big_file", "write a file of 10 GB", "RLIMIT_FSIZE", ALONE, expected=("file-size",)),
    Attack("limits.sparse_file", "claim a file of 10 TB", "RLIMIT_FSIZE", ALONE, expected=("file-size",)),
    Attack("limits.disk", "fill the disk", "the disk's watch", expected=("disk",)),
    Attack(
        "limits.hidden_disk", "fill the disk with files without a name", "the disk's watch", ALONE, expected=("disk",)
    ),
    Attack("limits.many_files", "make a million files", "the disk's watch", ALONE, expected=("files",)),
    Attack("limits.output", "write 1 GB of output", "the log's limit", ALONE, expected=("log",)),
    Attack("limits.memory", "take 1 GB of memory", "memory limit", ALONE, expected=("memory",)),
    Attack("limits.hidden_memory", "take memory that no process maps", "memory limit", ALONE, expected=("memory",)),
    Attack("limits.temporary", "fill /tmp and /dev/shm", "their sizes", ALONE, expected=("held", "memory", "disk")),
    Attack("limits.ignore_signals", "ignore every signal", "SIGKILL to pid 1", expected=("time",)),
    Attack("limits.runaway", "run on in a session of its own", "SIGKILL to pid 1", ALONE, expected=("time",)),
    Attack("limits.chatter", "run on while it writes", "the time limit", ALONE, expected=("time",)),
    Attack("limits.daemon", "leave a daemon behind", "pid namespace"),
    Attack("limits.quick_exit", "leave children that hold its output", "pid namespace", ALONE),
)


class Result(Value, frozen=True):
    """What happened. stopped is true when the attack did not work."""

    attack: str
    step: str
    does: str
    expected: str
    happened: str
    stopped_by: str
    stopped: bool
    seconds: float


def judge(attack: Attack, step: str, limit: str, said: str, seconds: float) -> Result:
    """limit: what ended the step, if a limit did. said: the attack's last line, or what a check on the host found."""
    verdict, _, why = said.partition(":")
    if limit:
        stopped, happened = limit in attack.expected, f"ended by the limit: {limit}"
    else:
        stopped = verdict == "HELD" and "held" in attack.expected
        happened = why.strip() if verdict == "HELD" else said or "it said nothing"
    return Result(
        attack=attack.name,
        step=step,
        does=attack.does,
        expected=" or ".join(attack.expected),
        happened=happened,
        stopped_by=attack.stopped_by,
        stopped=stopped,
        seconds=round(seconds, 3),
    )
