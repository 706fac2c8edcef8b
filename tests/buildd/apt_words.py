"""What apt 2.6 of Debian 12 said when it was asked for what cannot be, word by word (2026-11)."""

from __future__ import annotations

_HEAD = """\
Reading package lists...
Building dependency tree...
Reading state information...
Some packages could not be installed. This may mean that you have
requested an impossible situation or if you are using the unstable
distribution that some required packages have not yet been created
or been moved out of Incoming.
The following information may help to resolve the situation:

The following packages have unmet dependencies:
"""
_FOOT = "E: Unable to correct problems, you have held broken packages.\n"


def said(*lines: str) -> bytes:
    """apt's whole answer, with these sentences in it."""
    return (_HEAD + "".join(f"{line}\n" for line in lines) + _FOOT).encode()


SUMMARY = b"\nDistribution: bookworm\nFail-Stage: install-deps\nJob: x.dsc\nStatus: given-back\n"

# asked for -> sentences, definite, dubious
CASES: dict[str, tuple[tuple[str, ...], tuple[str, ...], tuple[str, ...]]] = {
    "nosuch-package, by build-dep": (
        (" builddeps:/tmp/nosuch.dsc : Depends: nosuch-package but it is not installable",),
        ("nosuch-package",),
        (),
    ),
    "nosuch-package, by a package as sbuild makes it": (
        (" sbuild-build-depends-nosuch-dummy : Depends: nosuch-package but it is not installable",),
        ("nosuch-package",),
        (),
    ),
    "debhelper (>= 99), hello (>= 9:1)": (
        (
            " builddeps:/tmp/toonew.dsc : Depends: debhelper (>= 99) but it is not going to be installed",
            "                             Depends: hello (>= 9:1)",
        ),
        (),
        ("debhelper (>= 99)", "hello (>= 9:1)"),
    ),
    "c-shell (>= 1), which is provided without a version": (
        (" builddeps:/tmp/virtual.dsc : Depends: c-shell (>= 1)",),
        (),
        ("c-shell (>= 1)",),
    ),
    "libc6 (<< 2.30)": (
        (" builddeps:/tmp/installed.dsc : Depends: libc6 (< 2.30) but 2.36-9+deb12u14 is to be installed",),
        ("libc6 (<< 2.30)",),
        (),
    ),
    "debhelper (>= 99), when one is to be installed": (
        (" sbuild-build-depends-toonew-dummy : Depends: debhelper (>= 99) but 13.11.4 is to be installed",),
        ("debhelper (>= 99)",),
        (),
    ),
    "nosuch1 | nosuch2 (>= 2)": (
        (
            " builddeps:/tmp/alt.dsc : Depends: nosuch1 but it is not installable or",
            "                                   nosuch2 (>= 2) but it is not installable",
        ),
        ("nosuch1 | nosuch2 (>= 2)",),
        (),
    ),
    "nosuch1 | debhelper (>= 99)": (
        (
            " builddeps:/tmp/alt2.dsc : Depends: nosuch1 but it is not installable or",
            "                                    debhelper (>= 99) but it is not going to be installed",
        ),
        (),
        ("nosuch1 | debhelper (>= 99)",),
    ),
    "python3:any (>= 3.99), nosuch3:native": (
        (
            " builddeps:/tmp/any.dsc : Depends: python3:any (>= 3.99)",
            "                          Depends: nosuch3:amd64 but it is not installable",
        ),
        ("nosuch3",),
        ("python3 (>= 3.99)",),
    ),
    "a conflict is no dependency": (
        (" builddeps:/tmp/conflict.dsc : Conflicts: dpkg-dev but 1.21.23 is to be installed",),
        (),
        (),
    ),
    "of a package that is there but broken": (
        (
            " debhelper : Depends: dh-autoreconf (>= 17~) but it is not going to be installed",
            "             Depends: libdebhelper-perl (= 13.11.4) but it is not installable",
        ),
        ("libdebhelper-perl (= 13.11.4)",),
        ("dh-autoreconf (>= 17~)",),
    ),
    "after dpkg --force-depends": (
        (
            " sbuild-build-depends-nosuch-dummy : Depends: debhelper but it is not installed",
            "                                     Depends: nosuch-package but it is not installable",
        ),
        ("nosuch-package",),
        ("debhelper",),
    ),
    # The two that this apt did not say; the page of the protocol names them.
    "a virtual package": (
        (" sbuild-build-depends-x-dummy : Depends: mail-transport-agent but it is a virtual package",),
        ("mail-transport-agent",),
        (),
    ),
    "an installed one": (
        (" sbuild-build-depends-x-dummy : Depends: gcc-12 (>= 13) but 12.2.0-14 is installed",),
        ("gcc-12 (>= 13)",),
        (),
    ),
}
