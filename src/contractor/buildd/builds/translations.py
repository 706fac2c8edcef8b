"""translation-templates: the POT files of a source tree, as one tar.gz for the translators.

A directory with a POTFILES.in has one, under its gettext domain. intltool makes it where it can, for it knows more
kinds of files; else xgettext reads what POTFILES.in lists. Nothing of the tree is executed.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING

from contractor.buildd.builds import vcs
from contractor.buildd.target.preparation import install
from contractor.buildd.target.target import HOME

if TYPE_CHECKING:
    from contractor.buildd.arguments import Translations
    from contractor.buildd.target.target import Target

PACKAGES = ("gettext", "intltool", *vcs.PACKAGES)
_TREE = f"{HOME}/source-tree"
_FIND = ["find", ".", "-name", ".git", "-prune", "-o", "-name", "POTFILES.in", "-type", "f", "-print0"]
_FILE_MAX = 4 << 20
_DOMAIN = re.compile(r"[A-Za-z0-9][A-Za-z0-9+._-]{0,99}\Z")
_VALUE = r"[ \t]*[:?]?=[ \t]*[\"']?(?P<value>[^\s\"'#]+)"
# Where a domain is said, the most certain first: file (beside POTFILES.in, or at the top), how.
_SAID = (
    ("./Makevars", re.compile(rf"^DOMAIN{_VALUE}", re.MULTILINE)),
    ("./Makefile.in.in", re.compile(rf"^GETTEXT_PACKAGE{_VALUE}", re.MULTILINE)),
    ("./Makefile.in", re.compile(rf"^GETTEXT_PACKAGE{_VALUE}", re.MULTILINE)),
    ("./meson.build", re.compile(r"\.gettext\(\s*'(?P<value>[^']+)'")),
    ("configure.ac", re.compile(rf"^[ \t]*GETTEXT_PACKAGE{_VALUE}", re.MULTILINE)),
    ("configure.in", re.compile(rf"^[ \t]*GETTEXT_PACKAGE{_VALUE}", re.MULTILINE)),
    ("setup.cfg", re.compile(rf"^domain{_VALUE}", re.MULTILINE)),
    ("meson.build", re.compile(r"^\s*project\(\s*'(?P<value>[^']+)'", re.MULTILINE)),
    ("configure.ac", re.compile(r"^\s*AC_INIT\(\s*\[?(?P<value>[^\],)]+)", re.MULTILINE)),
    ("configure.in", re.compile(r"^\s*AC_INIT\(\s*\[?(?P<value>[^\],)]+)", re.MULTILINE)),
)
_VARIABLE = re.compile(r"\$\(?\{?(\w+)\)?\}?|@(\w+)@")
_KEYWORDS = ("_", "N_", "Q_", "gettext", "C_:1c,2", "NC_:1c,2", "ngettext:1,2", "pgettext:1c,2")


def build(target: Target, args: Translations) -> str:
    """Make the templates; the name of a BuildStatus. Failed: 200, or 201 when the sources cannot be had."""
    vcs.require_git(args)
    install(target, PACKAGES)
    vcs.fetch(target, args, _TREE, user="buildd")
    made = [pot for folder in _folders(target) if (pot := _template(target, folder))]
    if not made:
        target.log.line("There is no template: no directory with a POTFILES.in from which one could be made.")
        return "OK"
    name = target.job.settings.get("resultarchive") or "translation-templates.tar.gz"
    with target.collecting():
        _pack(target, made, name)
    return "OK"


def _folders(target: Target) -> list[str]:
    """The directories with a POTFILES.in, below the tree; sorted."""
    found = target.run(_FIND, cwd=_TREE, user="buildd", echo=False, get_output=True)
    paths = [path.decode("utf-8", "surrogateescape") for path in found.split(b"\0") if path]
    return sorted(path.rpartition("/")[0].removeprefix("./") or "." for path in paths)


def _template(target: Target, folder: str) -> str:
    """Make a directory's template; its path below the tree, or nothing when that cannot be done."""
    domain = domain_of(_texts(target, folder), folder, target.arguments.git_repository)
    where = f"{_TREE}/{folder}"
    target.log.line(f"Making the template {domain} of {folder}.")
    pot = f"{domain}.pot"
    target.run(["intltool-update", "-p", "-g", domain], cwd=where, user="buildd")
    if target.kind(f"{where}/{pot}", follow=False) != "file":
        _xgettext(target, folder, domain)
    if target.kind(f"{where}/{pot}", follow=False) != "file":
        target.log.line(f"No template could be made of {folder}.")
        return ""
    return pot if folder == "." else f"{folder}/{pot}"


def _xgettext(target: Target, folder: str, domain: str) -> None:
    where = f"{_TREE}/{folder}"
    listed = sources_of(target.read(f"{where}/POTFILES.in", _FILE_MAX).decode("utf-8", "replace"))
    up = "/".join([".."] * len([part for part in folder.split("/") if part != "."])) or "."
    argv = ["xgettext", "--from-code=UTF-8", "--add-comments", "-D", up, "-D", ".", f"--default-domain={domain}"]
    argv += [f"--keyword={keyword}" for keyword in _KEYWORDS]
    names = "".join(f"{name}\n" for name in listed).encode("utf-8", "surrogateescape")
    target.run([*argv, "-f", "-", "-o", f"{domain}.pot"], cwd=where, user="buildd", stdin=names)


def sources_of(potfiles: str) -> Iterator[str]:
    """The files that a POTFILES.in lists, without comments and intltool's [type: ...] marks."""
    for line in potfiles.splitlines():
        name = re.sub(r"^\[[^\]]*\]\s*", "", line.strip())
        if name and not name.startswith("#"):
            yield name


def _texts(target: Target, folder: str) -> dict[str, str]:
    """The files in which the domain may be said, by the names of _SAID."""
    found = {}
    for name in dict.fromkeys(name for name, _how in _SAID):
        path = f"{_TREE}/{folder}/{name[2:]}" if name.startswith("./") else f"{_TREE}/{name}"
        if target.kind(path, follow=False) == "file":
            found[name] = target.read(path, _FILE_MAX).decode("utf-8", "replace")
    return found


def domain_of(texts: Mapping[str, str], folder: str, repository: str) -> str:
    """The gettext domain of a directory. texts: files by the names of _SAID. Without a word about it, it is the name of
    the directory (of the one above `po`), or of the repository."""
    for name, how in _SAID:
        match = how.search(texts.get(name, ""))
        if match and (value := _value(match["value"], texts, seen=())):
            return value
    parts = [part for part in folder.split("/") if part not in (".", "po")]
    last = parts[-1] if parts else repository.rstrip("/").rpartition("/")[2].removesuffix(".git")
    return last if _DOMAIN.match(last) else "messages"


def _value(text: str, texts: Mapping[str, str], seen: tuple[str, ...]) -> str:
    """A domain, a variable that stands for it looked up in configure; empty when it is none."""
    text = text.strip().strip("[]\"'")
    variable = _VARIABLE.fullmatch(text)
    if variable is None:
        return text if _DOMAIN.match(text) else ""
    name = variable[1] or variable[2]
    if name in seen:
        return ""
    for file in ("configure.ac", "configure.in"):
        content = texts.get(file, "")
        if match := re.search(rf"^[ \t]*{re.escape(name)}{_VALUE}", content, re.MULTILINE):
            return _value(match["value"], texts, (*seen, name))
        init = re.search(r"^\s*AC_INIT\(\s*\[?(?P<value>[^\],)]+)", content, re.MULTILINE)
        if name in ("PACKAGE", "PACKAGE_NAME", "PACKAGE_TARNAME") and init:
            return _value(init["value"], texts, (*seen, name))
    return ""


def _pack(target: Target, made: list[str], name: str) -> None:
    """The same templates give the same bytes: sorted, nobody's, of the revision's time."""
    when = target.run(
        ["git", "-C", _TREE, "log", "-1", "--format=%ct"], user="buildd", echo=False, get_output=True
    ).decode()
    archive = f"{HOME}/templates.tar"
    owner = ["--owner=0", "--group=0", "--numeric-owner", "--mode=0644", f"--mtime=@{int(when)}"]
    names = "".join(f"{pot}\0" for pot in made).encode("utf-8", "surrogateescape")
    argv = ["tar", "-C", _TREE, "--sort=name", "--format=gnu", *owner, "--null", "--verbatim-files-from", "-T", "-"]
    target.run([*argv, "-c", "-f", archive], user="buildd", stdin=names, check=True)
    target.run(["gzip", "-n", "-9", archive], user="buildd", check=True)
    target.result(f"{archive}.gz", name)
