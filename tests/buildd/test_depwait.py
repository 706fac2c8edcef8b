"""Dependency waits: apt's sentences, what it can see, and versions as dpkg orders them."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from apt_words import CASES, SUMMARY, said
from hypothesis import given
from hypothesis import strategies as st

from contractor.buildd.builds import depwait
from contractor.buildd.debian import Atom, architecture_matches, compare, listed_files, paragraphs, relations
from contractor.core.errors import Rejected


@pytest.mark.parametrize("asked", CASES)
def test_sentences(asked: str) -> None:
    lines, definite, dubious = CASES[asked]
    assert depwait.sentences(said(*lines)) == (definite, dubious)


def _never() -> Iterator[str]:
    raise AssertionError("asked for what apt can see, though its sentences were definite")
    yield ""


def test_a_definite_sentence_decides() -> None:
    lines = CASES["nosuch-package, by build-dep"][0]
    assert depwait.reason(said(*lines) + SUMMARY, _never()) == ("DEPFAIL", "nosuch-package")
    both = depwait.reason(said(*lines, " x : Depends: other (= 1) but it is not installable") + SUMMARY, _never())
    assert both == ("DEPFAIL", "nosuch-package, other (= 1)")


def test_a_dubious_sentence_asks_what_is_missing() -> None:
    log = said(*CASES["debhelper (>= 99), hello (>= 9:1)"][0]) + SUMMARY
    assert depwait.reason(log, iter(["debhelper (>= 99)"])) == ("DEPFAIL", "debhelper (>= 99)")
    assert depwait.reason(log, iter([])) == ("PACKAGEFAIL", "")


def test_without_the_stage_it_is_a_plain_failure() -> None:
    log = said(*CASES["nosuch-package, by build-dep"][0])
    assert depwait.reason(log, _never()) == ("PACKAGEFAIL", "")
    assert depwait.reason(log + SUMMARY + b"x" * 5000, _never()) == ("PACKAGEFAIL", "")  # not in the last 4 KiB
    assert depwait.reason(log + b" Fail-Stage: install-deps-and-more\n", _never()) == ("PACKAGEFAIL", "")


def test_what_the_build_prints_is_no_sentence_of_apt() -> None:
    inside = b"Toolchain package versions: gcc\n x : Depends: faked but it is not installable\n"
    assert depwait.sentences(inside) == ((), ())
    assert depwait.sentences(b"this depends on that but it is not installable, says the manual\n") == ((), ())


def test_untrusted_archives_stay_given_back() -> None:
    log = b"E: There are problems and -y was used without --force-yes\n" + SUMMARY
    assert depwait.reason(log, iter([])) == ("GIVENBACK", "")


@given(st.binary(max_size=2000))
def test_any_log_has_an_answer(log: bytes) -> None:
    assert depwait.reason(log + SUMMARY, iter([])).status in ("DEPFAIL", "GIVENBACK", "PACKAGEFAIL")


DUMP = """\
Package: debhelper
Version: 13.11.4
Provides: debhelper-compat (= 13), dh-sequence-single-binary

Package: gawk
Version: 1:5.2.1-2
Provides: awk

Package: hello
Version: 2.10-3

Package: hello
Version: 2.12-1
"""


@pytest.mark.parametrize(
    ("field", "missing"),
    [
        ("debhelper (>= 13)", []),
        ("debhelper (>= 99), hello", ["debhelper (>= 99)"]),
        ("debhelper-compat (= 13), debhelper-compat (= 14)", ["debhelper-compat (= 14)"]),
        ("awk, awk (>= 1)", ["awk (>= 1)"]),  # provided without a version
        ("hello (<< 2.11), hello (>> 2.11), hello (= 2.12-1)", []),
        ("nosuch | hello", []),
        ("nosuch (>= 1) | nosuch2:any [amd64] <!nocheck>", ["nosuch (>= 1) | nosuch2"]),
        ("nosuch [arm64], nosuch2 [!amd64], nosuch3 <nocheck>, nosuch4 [linux-any]", ["nosuch4"]),
        ("gawk (>= 2)", ["gawk (>= 2)"][:0]),
        ("gawk (>= 2:1), gawk (>= 2:1)", ["gawk (>= 2:1)"]),
    ],
)
def test_missing(field: str, missing: list[str]) -> None:
    available = depwait.available_of(DUMP)
    assert depwait.missing(relations(field), available, "amd64") == missing


def test_arch_indep_counts_only_where_it_is_built() -> None:
    dsc = {"build-depends": "a", "build-depends-arch": "b", "build-depends-indep": "c"}
    assert [atom[0].name for atom in depwait.build_depends(dsc, arch_indep=False)] == ["a", "b"]
    assert [atom[0].name for atom in depwait.build_depends(dsc, arch_indep=True)] == ["a", "b", "c"]


@pytest.mark.parametrize("field", ["a b", "a (1.0)", "a (== 1)", "(>= 1)", "a (>= )", "a [", "a <", "ä"])
def test_what_is_no_relation(field: str) -> None:
    with pytest.raises(Rejected, match="no dependency"):
        relations(field)


# deb-version(7): each is older than the next.
ORDER = ("0~~", "0~~a", "0~", "0", "0a", "0+", "1.0~rc1", "1.0~rc1+b", "1.0", "1.0-0ubuntu1", "1.0-1~bpo12+1",
         "1.0-1", "1.0-1+b1", "1.0-1.1", "1.0-10", "1.0a", "1.0+dfsg", "1.00001", "1.2", "1.10",
         "2", "1:0.1", "2:0")  # fmt: skip


def test_versions_in_order() -> None:
    for i, one in enumerate(ORDER):
        for j, other in enumerate(ORDER):
            assert (compare(one, other) > 0) - (compare(one, other) < 0) == (i > j) - (i < j), (one, other)
    assert compare("1.0", "0:1.0-0") == 0
    assert compare("1.001", "1.01") == 0


VERSIONS = st.from_regex(r"([0-9]:)?[0-9][A-Za-z0-9.+~]{0,6}(-[A-Za-z0-9.+~]{1,4})?", fullmatch=True)


@given(VERSIONS, VERSIONS, VERSIONS)
def test_the_order_is_one(a: str, b: str, c: str) -> None:
    assert compare(a, a) == 0
    assert (compare(a, b) > 0) == (compare(b, a) < 0)
    if compare(a, b) <= 0 and compare(b, c) <= 0:
        assert compare(a, c) <= 0


NAMES = st.from_regex(r"[a-z0-9][a-z0-9+.-]{1,8}", fullmatch=True)
ATOMS = st.builds(
    lambda name, sign, version: Atom(name, sign, version if sign else ""),
    NAMES,
    st.sampled_from(["", "<<", "<=", "=", ">=", ">>"]),
    VERSIONS,
)


@given(st.lists(st.lists(ATOMS, min_size=1, max_size=3), max_size=4))
def test_relations_are_read_as_they_are_written(wanted: list[list[Atom]]) -> None:
    text = ", ".join(" | ".join(atom.plain for atom in alternatives) for alternatives in wanted)
    assert relations(text) == [tuple(alternatives) for alternatives in wanted]


@given(st.lists(ATOMS, max_size=5))
def test_what_is_there_is_never_missing(atoms: list[Atom]) -> None:
    available = {atom.name: frozenset([atom.version or "1"]) for atom in atoms}
    plain = [(Atom(atom.name),) for atom in atoms]
    assert depwait.missing(plain, available, "amd64") == []
    assert depwait.missing(plain, {}, "amd64") == list(dict.fromkeys(atom.name for atom in atoms))


def test_architectures() -> None:
    assert all(architecture_matches("amd64", word) for word in ("any", "amd64", "linux-any", "any-amd64"))
    assert not any(architecture_matches("amd64", word) for word in ("arm64", "kfreebsd-any", "any-arm64", "hurd-amd64"))


def test_a_signed_dsc() -> None:
    text = """-----BEGIN PGP SIGNED MESSAGE-----
Hash: SHA256

Format: 3.0 (quilt)
Source: hello
Build-Depends: debhelper,
 texinfo
Files:
 00 725946 hello_2.10.orig.tar.gz
 00 12684 hello_2.10-3.debian.tar.xz
-----BEGIN PGP SIGNATURE-----

Source: forged
-----END PGP SIGNATURE-----
"""
    found = list(paragraphs(text))
    assert [fields["source"] for fields in found] == ["hello"]
    assert [atom[0].name for atom in relations(found[0]["build-depends"])] == ["debhelper", "texinfo"]
    assert listed_files(found[0]) == ["hello_2.10.orig.tar.gz", "hello_2.10-3.debian.tar.xz"]
    with pytest.raises(Rejected, match="plain name"):
        listed_files({"files": " 00 1 ../../etc/passwd"})
