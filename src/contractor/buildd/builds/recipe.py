"""sourcepackagerecipe: git repositories joined as a recipe says, with a new version, into a Debian source package.

Exit codes as the protocol has them: 200 tools cannot be installed, 201 the tree cannot be made, 202 its build
dependencies cannot be installed (they clean the tree), 203 the source package cannot be built.
"""

from __future__ import annotations

import email.utils
import re
import time
from typing import TYPE_CHECKING

from contractor.buildd.builds import depwait, vcs
from contractor.buildd.builds.recipe_text import Recipe, lines_of, manifest, parse, upstream_of, version_of
from contractor.buildd.builds.recipe_tree import Tree
from contractor.buildd.debian import listed_files, paragraphs
from contractor.buildd.target.preparation import APT_ENV, host_of, install
from contractor.buildd.target.target import HOME, Failed, Target, TargetFailed
from contractor.core.errors import Rejected

if TYPE_CHECKING:
    from contractor.buildd.arguments import Recipe as Arguments

PACKAGES = ("dpkg-dev", "fakeroot", "make", "xz-utils", *vcs.PACKAGES)
_WORK = f"{HOME}/work"
_TREE = f"{_WORK}/tree"
_FILE_MAX = 16 << 20
_HEARD = 4 << 20  # bytes of the end of what installing said
_FIRST = re.compile(r"(?P<source>[a-z0-9][a-z0-9+.-]+) \((?P<version>[^()\s]+)\)")
_ENTRY = """\
{source} ({version}) {suite}; urgency=low

  * Auto build.

 -- {name} <{email}>  {date}

"""
_TREE_FAILED, _DEPENDENCIES_FAILED, _SOURCE_FAILED = 201, 202, 203


def build(target: Target, args: Arguments) -> str:
    """Build the source package; the name of a BuildStatus. Failed: with one of the codes above, or DEPFAIL."""
    try:
        recipe = parse(args.recipe_text)
    except Rejected as error:
        raise Failed(_TREE_FAILED, error.message, hint=error.hint) from error
    for line in lines_of(recipe.base):
        vcs.require_url(line.url)
        target.allow = tuple(dict.fromkeys([*target.allow, *host_of(line.url)]))
    install(target, PACKAGES)
    try:
        source, version = _make_tree(target, args, recipe)
    except (Rejected, TargetFailed) as error:
        raise Failed(_TREE_FAILED, f"the tree cannot be made: {error.message}", hint=error.hint) from error
    folder = f"{_WORK}/{source}-{upstream_of(version)}"
    target.run(["mv", "-T", _TREE, folder], user="buildd", echo=False, check=True)
    _install_dependencies(target, args, source, folder)
    _build_source(target, version, folder)
    with target.collecting():
        _collect(target)
    return "OK"


def _make_tree(target: Target, args: Arguments, recipe: Recipe) -> tuple[str, str]:
    """The tree, its changelog and the manifest; the source's name and its new version."""
    target.mkdir(_WORK, user="buildd")
    tree = Tree(target, args.author_name, args.author_email)
    tree.make(recipe.base, _TREE)
    target.extra(revision_id=tree.commit(""))
    path = f"{_TREE}/debian/changelog"
    if target.kind(path, follow=False) != "file":
        raise Rejected("the tree has no debian/changelog", hint="nest or merge the packaging")
    changelog = target.read(path, _FILE_MAX).decode("utf-8", "surrogateescape")
    source, before = first_of(changelog)
    now = time.time()
    version = version_of(recipe.version, tree.look, now, before) if recipe.version else before
    target.result_bytes("manifest", manifest(recipe, version if recipe.version else "", tree.commits).encode())
    version += _appendix(target)
    entry = _ENTRY.format(
        source=source,
        version=version,
        suite=args.suite,
        name=_one_line(args.author_name),
        email=_one_line(args.author_email),
        date=email.utils.formatdate(now),
    )
    target.write(path, (entry + changelog).encode("utf-8", "surrogateescape"), user="buildd")
    target.log.line(f"The source package is {source} {version}.")
    return source, version


def first_of(changelog: str) -> tuple[str, str]:
    """The name and the version of a changelog's first entry. Rejected: it has none."""
    match = _FIRST.match(changelog.lstrip())
    if match is None:
        raise Rejected("debian/changelog does not begin with `name (version)`")
    return match["source"], match["version"]


def _one_line(text: str) -> str:
    return " ".join(text.replace("<", " ").replace(">", " ").split())


def _appendix(target: Target) -> str:
    """What every version gets, so that the package of a later release is newer: ~ubuntu24.04.1, ~debian12.1."""
    text = target.read("/etc/os-release", _FILE_MAX).decode() if target.exists("/etc/os-release") else ""
    fields = dict(line.replace('"', "").split("=", 1) for line in text.splitlines() if "=" in line)
    name, number = fields.get("ID", ""), fields.get("VERSION_ID", "")
    return f"~{name}{number}.1" if re.fullmatch(r"[a-z0-9]+[0-9.]*", name + number) else ""


def _install_dependencies(target: Target, args: Arguments, source: str, folder: str) -> None:
    """Failed(DEPFAIL), with what it waits for; or 202."""
    lines = [f"Package: {source}", f"Suite: {args.suite}", f"Component: {args.ogrecomponent}"]
    lines += [f"Purpose: {args.archive_purpose}", "Build-Debug-Symbols: no"]
    target.write("/CurrentlyBuilding", "".join(f"{line}\n" for line in lines).encode())
    with target.listening(_HEARD) as heard:
        argv = ["apt-get", "build-dep", "-y", "--no-install-recommends", folder]
        if target.run(argv, env=APT_ENV, network="archives").code == 0:
            return
    if b"unmet dependencies" in heard:
        said = depwait.sentences(bytes(heard))
        waits = said.definite or _missing(target, args, folder) or said.dubious
        raise Failed("DEPFAIL", f"The build waits for: {', '.join(waits)}", ", ".join(waits))
    raise Failed(_DEPENDENCIES_FAILED, "the build dependencies cannot be installed")


def _missing(target: Target, args: Arguments, folder: str) -> tuple[str, ...]:
    """The build dependencies that nothing which apt can see fulfils."""
    control = target.read(f"{folder}/debian/control", _FILE_MAX).decode("utf-8", "replace")
    dump = target.run(["/bin/sh", "-c", depwait.DUMP], echo=False, get_output=True).decode("utf-8", "replace")
    try:
        wanted = depwait.build_depends(next(paragraphs(control), {}), arch_indep=True)
    except Rejected:
        return ()
    return tuple(depwait.missing(wanted, depwait.available_of(dump), args.arch_tag))


def _build_source(target: Target, version: str, folder: str) -> None:
    """Failed(203): dpkg-buildpackage said no."""
    path = f"{folder}/debian/source/format"
    given = target.read(path, _FILE_MAX).decode("utf-8", "replace").strip() if target.exists(path) else "1.0"
    if given == "3.0 (quilt)":
        _make_native(target, folder, version)
    argv = ["dpkg-buildpackage", "-i", "-I", "-us", "-uc", "-S", "-sa"]
    if target.run(argv, cwd=folder, user="buildd").code:
        raise Failed(_SOURCE_FAILED, "the source package cannot be built")


def _make_native(target: Target, folder: str, version: str) -> None:
    """A recipe's tree has no released tarball beside it: its patches are applied, and all of it is the package."""
    if target.run(["dpkg-source", "--before-build", "."], cwd=folder, user="buildd").code:
        raise Failed(_SOURCE_FAILED, "the patches in debian/patches cannot be applied")
    for name in (".pc", "debian/patches"):
        target.remove(f"{folder}/{name}")
    native = "1.0" if "-" in version else "3.0 (native)"  # the latter takes no version with a revision
    target.write(f"{folder}/debian/source/format", f"{native}\n".encode(), user="buildd")
    target.log.line(f"There is no tarball of a release, so the source format 3.0 (quilt) becomes {native}.")


def _collect(target: Target) -> None:
    """The _source.changes, and every file that it lists. Rejected: one is not there."""
    found = [name for name in target.list(_WORK) if name.endswith("_source.changes")]
    if len(found) != 1:
        raise Rejected(f"the build left {len(found)} _source.changes files instead of one")
    text = target.read(f"{_WORK}/{found[0]}", _FILE_MAX).decode("utf-8", "replace")
    for name in (found[0], *listed_files(next(paragraphs(text), {}))):
        if not target.result(f"{_WORK}/{name}"):
            raise Rejected(f"{name}, which {found[0]} lists, is no file")
