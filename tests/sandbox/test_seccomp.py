"""The filter as data: run by a tiny BPF machine, for both architectures."""

from __future__ import annotations

import hashlib
import struct

import pytest

from contractor.core.errors import Unavailable
from contractor.sandbox import seccomp

ALLOW, KILL, ERRNO = 0x7FFF0000, 0x80000000, 0x00050000
EPERM, ENOSYS, EAFNOSUPPORT = 1, 38, 97
ARCH = {"x86_64": 0xC000003E, "aarch64": 0xC00000B7}
GOLDEN = {
    "x86_64": "0ed72e3fea276758",
    "aarch64": "95be44101de00d58",
}


def run(program: bytes, arch: int, number: int, *args: int) -> int:
    """What the kernel does with a filter: seccomp(2), bpf's accumulator and jumps."""
    data = struct.pack(
        "<iIQ6Q", number if number < 1 << 31 else number - (1 << 32), arch, 0, *args, *[0] * (6 - len(args))
    )
    code = [struct.unpack_from("<HBBI", program, at) for at in range(0, len(program), 8)]
    at = accumulator = 0
    while True:
        kind, yes, no, value = code[at]
        at += 1
        if kind == 0x20:
            accumulator = struct.unpack_from("<I", data, value)[0]
        elif kind == 0x06:
            return value
        else:
            holds = {0x15: accumulator == value, 0x35: accumulator >= value, 0x45: bool(accumulator & value)}[kind]
            at += yes if holds else no


def column(machine: str) -> int:
    return int(machine == "aarch64")


@pytest.fixture(params=sorted(ARCH))
def machine(request: pytest.FixtureRequest) -> str:
    return str(request.param)


def test_ordinary_calls_pass(machine: str) -> None:
    program = seccomp.filter_program(machine)
    ordinary = {"read": (0, 63), "openat": (257, 56), "execve": (59, 221), "exit_group": (231, 94), "mmap": (9, 222)}
    for numbers in ordinary.values():
        assert run(program, ARCH[machine], numbers[column(machine)]) == ALLOW


def test_denied_calls(machine: str) -> None:
    program = seccomp.filter_program(machine)
    for name, numbers in {**seccomp._DENIED, **seccomp._MOUNT}.items():
        assert run(program, ARCH[machine], numbers[column(machine)]) == ERRNO | EPERM, name


def test_foreign_architectures_die(machine: str) -> None:
    program = seccomp.filter_program(machine)
    for arch in (0x40000003, 0x40000028, 0xC00000F3, ARCH["aarch64" if machine == "x86_64" else "x86_64"]):
        assert run(program, arch, 0) == KILL
    if machine == "x86_64":
        assert run(program, ARCH[machine], 0x40000000) == KILL
        assert run(program, ARCH[machine], 0x40000000 + 39) == KILL
        assert run(program, ARCH[machine], 0xFFFFFFFF) == KILL


def test_calls_newer_than_the_table_are_not_there(machine: str) -> None:
    program = seccomp.filter_program(machine)
    for number in (470, 500, 1000, 0x3FFFFFFF):
        assert run(program, ARCH[machine], number) == ERRNO | ENOSYS
    assert run(program, ARCH[machine], 435) == ERRNO | ENOSYS  # clone3


@pytest.mark.parametrize("high", [0, 1 << 32, 0xFFFFFFFF << 32])
def test_arguments_are_compared_as_the_kernel_does(machine: str, high: int) -> None:
    program, arch, at = seccomp.filter_program(machine), ARCH[machine], column(machine)
    ioctl, ptrace = seccomp._IOCTL[at], seccomp._PTRACE[at]
    assert run(program, arch, ioctl, 1, 0x5412 | high) == ERRNO | EPERM
    assert run(program, arch, ioctl, 1, 0x541C | high) == ERRNO | EPERM
    assert run(program, arch, ioctl, 1, 0x5401 | high) == ALLOW
    assert run(program, arch, ptrace, 16, 1 | high) == ERRNO | EPERM
    assert run(program, arch, ptrace, 16, 2) == ALLOW
    assert run(program, arch, seccomp._PRCTL[at], 1 | high, 9) == ERRNO
    assert run(program, arch, seccomp._PRCTL[at], 15) == ALLOW


@pytest.mark.parametrize("flag", [0x20000, 0x2000000, 0x4000000, 0x8000000, 0x10000000, 0x20000000, 0x40000000])
def test_clone_makes_no_namespace(machine: str, flag: int) -> None:
    program, clone = seccomp.filter_program(machine), seccomp._CLONE[column(machine)]
    assert run(program, ARCH[machine], clone, flag | 17) == ERRNO | EPERM
    assert run(program, ARCH[machine], clone, 0x3D0F00) == ALLOW  # a thread
    assert run(program, ARCH[machine], clone, 17) == ALLOW  # fork


def test_socket_families(machine: str) -> None:
    program, socket = seccomp.filter_program(machine), seccomp._SOCKET[column(machine)]
    for family in range(46):
        expected = ALLOW if family in (1, 2, 10, 16) else ERRNO | EAFNOSUPPORT
        assert run(program, ARCH[machine], socket, family, 1) == expected, family


def test_variants(machine: str) -> None:
    arch, at = ARCH[machine], column(machine)
    chroot, mount, setuid = seccomp._MOUNT["chroot"][at], seccomp._MOUNT["mount"][at], seccomp._OWNERS["setuid"][at]
    plain = seccomp.filter_program(machine)
    assert [run(plain, arch, number) for number in (chroot, mount, setuid)] == [ERRNO | 1, ERRNO | 1, ALLOW]
    rooted = seccomp.filter_program(machine, chroot=True)
    assert [run(rooted, arch, number) for number in (chroot, mount)] == [ALLOW, ERRNO | 1]
    trusted = seccomp.filter_program(machine, mounts=True)
    assert [run(trusted, arch, number) for number in (chroot, mount)] == [ALLOW, ALLOW]
    assert run(trusted, arch, seccomp._DENIED["unshare"][at]) == ERRNO | 1
    assert run(seccomp.filter_program(machine, fake_owners=True), arch, setuid) == ERRNO


def test_jumps_stay_within_the_program(machine: str) -> None:
    for options in ({}, {"mounts": True}, {"chroot": True}, {"fake_owners": True}):
        program = seccomp.filter_program(machine, **options)
        count = len(program) // 8
        assert count <= 4096
        for at in range(count):
            kind, yes, no, _value = struct.unpack_from("<HBBI", program, at * 8)
            if kind not in (0x20, 0x06):
                assert at + 1 + max(yes, no) < count
        assert struct.unpack_from("<HBBI", program, (count - 1) * 8) == (0x06, 0, 0, ALLOW)


def test_golden(machine: str) -> None:
    """The filter changes only when somebody means it: then write the new digest here."""
    assert hashlib.sha256(seccomp.filter_program(machine)).hexdigest()[:16] == GOLDEN[machine]


def test_other_architectures_are_refused() -> None:
    with pytest.raises(Unavailable, match="riscv64"):
        seccomp.filter_program("riscv64")
