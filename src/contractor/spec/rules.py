"""What a text must look like, by the kind of thing it names. Each rule: text -> a fault (message, hint), or None.

Rules that are an alphabet are data (ALPHABETS), so that the JSON Schema has the same ones as the loader.
"""

from __future__ import annotations

from collections.abc import Callable

from contractor.spec.problems import Fault, shown

LOWER = "abcdefghijklmnopqrstuvwxyz"
UPPER = "ABCDEFGHIJKLMNOPQRSTUVWXYZ"
DIGITS = "0123456789"
HEX = DIGITS + "abcdef"
MAX_NAME = 100  # names become file names, where 255 bytes is the limit and we add to them

_LETTERS = LOWER + UPPER
_IN_NAMES = "._+-"
_NAME_WORDS = "letters, digits and . _ + -"
_NO_DIGIT = ", no digit first"
# kind -> what it is called, first characters, further characters, what may be used in words
ALPHABETS: dict[str, tuple[str, str, str, str]] = {
    "name": ("name", LOWER + DIGITS, LOWER + DIGITS + _IN_NAMES, f"lower-case {_NAME_WORDS}"),
    "artifact": ("artifact name", _LETTERS + DIGITS, _LETTERS + DIGITS + _IN_NAMES, _NAME_WORDS),
    "program": ("name of a custom action", _LETTERS + DIGITS, _LETTERS + DIGITS + _IN_NAMES, _NAME_WORDS),
    "variable": ("name of a variable", _LETTERS + "_", _LETTERS + DIGITS + "_", "letters, digits and _" + _NO_DIGIT),
    "argument": (
        "name of an argument",
        _LETTERS + "_",
        _LETTERS + DIGITS + "_-",
        "letters, digits, _ and -" + _NO_DIGIT,
    ),
    "suite": ("Debian suite", LOWER + DIGITS, LOWER + DIGITS + ".-", "its code name, such as bookworm"),
    "arch": ("Debian architecture", LOWER + DIGITS, LOWER + DIGITS + "-", "Debian's name, such as amd64 or arm64"),
}
RESERVED = ("HOME", "USER", "SOURCE_DATE_EPOCH", "WORKSPACE")
SHARED = ("PATH", "LC_ALL", "TZ")  # Contractor sets these too, but a step may say otherwise
GIT_CHARACTERS = LOWER + UPPER + DIGITS + "._/+-@"


def check(kind: str, text: str) -> Fault | None:
    """What is wrong with a text of this kind, or None. A kind without a rule (text, script) takes everything."""
    if kind in ALPHABETS:
        return _alphabet(kind, text)
    rule = _RULES.get(kind)
    return rule(text) if rule else None


def normal(kind: str, text: str) -> str:
    """The one way to write what may be written in several: digests and hosts in lower case."""
    return text.lower() if kind in ("sha256", "host") or (kind == "artifact-ref" and is_sha256(text.lower())) else text


def is_sha256(text: str) -> bool:
    """True for 64 lower-case hexadecimal digits."""
    return len(text) == 64 and not text.strip(HEX)


def environment(name: str) -> Fault | None:
    """Names of `env:` entries."""
    if name in RESERVED or name.startswith("CONTRACTOR_"):
        return f"{name} is set by Contractor itself, and the same on every machine", "choose another name"
    return check("variable", name)


def parameter(name: str) -> Fault | None:
    """Names of parameters: they become variables of every shell step, so that PATH is no parameter either."""
    if name == "SOURCE_DATE_EPOCH":
        return "SOURCE_DATE_EPOCH can only be a parameter that is the epoch", f"write epoch: ${{{name}}} at the top"
    if name in SHARED:
        return (
            f"{name} cannot be a parameter: every shell step would get it",
            f"set {name} under env: where it is needed",
        )
    return environment(name)


def _alphabet(kind: str, text: str) -> Fault | None:
    what, first, further, words = ALPHABETS[kind]
    if not text:
        return f"the {what} is empty", f"use {words}"
    if text[0] not in first or text.strip(further):
        return f"{shown(text)} is not {'an' if what[0] == 'a' else 'a'} {what}", f"use {words}"
    if len(text) > MAX_NAME:
        return f"the {what} {shown(text)} is longer than {MAX_NAME} characters", "shorten it"
    if kind == "artifact" and is_sha256(text.lower()):
        return "an artifact's name cannot look like a digest", "choose a name that says what is in it"
    return None


def _reference(text: str) -> Fault | None:
    return None if is_sha256(text.lower()) else _alphabet("artifact", text)


def _sha256(text: str) -> Fault | None:
    if is_sha256(text.lower()):
        return None
    found = f"{len(text)} characters" if len(text) != 64 else "other characters"
    return f"a sha256 is 64 hexadecimal digits, this has {found}", "sha256sum FILE prints it"


def _path(text: str) -> Fault | None:
    """A path inside the workspace or the source: nothing that could point out of it."""
    if not text or "\0" in text:
        return f"{shown(text)} is not a path", "write a relative path; . is the top"
    if text.startswith("/"):
        return f"the path {shown(text)} is absolute", "write it relative to the top, without the leading /"
    if ".." in text.split("/"):
        return f"the path {shown(text)} leads out by ..", "write it without .."
    if len(text) > 4095:
        return f"the path {shown(text)} is longer than 4095 characters", "shorten it"
    if text[0] == "~":
        return f"the path {shown(text)} begins with ~", "write a relative path; there is no home folder here"
    return None


def _url(text: str) -> Fault | None:
    scheme, mark, rest = text.partition("://")
    if not mark or scheme.lower() not in ("http", "https"):
        hint = "write https://HOST/PATH"
        if text.startswith("git@") and ":" in text:
            hint = "write https://" + text[4:].replace(":", "/", 1) if text.isprintable() and len(text) < 200 else hint
        return f"{shown(text)} is not an http or https URL", hint
    if not text.isprintable() or " " in text or "\\" in text:
        return (
            f"the URL {shown(text)} holds a space, a backslash or a control character",
            "write it with %20 and the like",
        )
    place = rest.split("/", 1)[0].split("?", 1)[0].split("#", 1)[0]
    if "@" in place:  # never show it: it may hold a password
        return (
            "the URL holds a user name or password",
            "credentials do not belong in a specification: give them as a secret",
        )
    if not (_bracketed(place) if place.startswith("[") else valid_host(place)):
        return f"the URL {shown(text)} has no valid host", "write https://HOST/PATH"
    return None


def _git(text: str) -> Fault | None:
    """A repository: a URL, or the path of a repository or a bundle beside the specification."""
    return _url(text) if "://" in text or text.startswith("git@") else _path(text)


def valid_host(text: str) -> bool:
    """True for `host` and `host:port`."""
    host, colon, port = text.partition(":")
    if colon and not (port and len(port) <= 5 and not port.strip(DIGITS) and 0 < int(port) < 65536):
        return False
    if len(host) > 253:
        return False
    labels = host.removesuffix(".").split(".")
    allowed = LOWER + UPPER + DIGITS + "-_"
    return all(
        label and len(label) < 64 and not label.strip(allowed) and "-" not in (label[0], label[-1]) for label in labels
    )


def _bracketed(text: str) -> bool:
    """True for an IPv6 address in a URL: `[::1]` or `[::1]:8000`."""
    address, close, port = text[1:].partition("]")
    return bool(address and close) and not address.strip(HEX + "ABCDEF:.") and (not port or valid_host("x" + port))


def _host(text: str) -> Fault | None:
    """An entry of `network:`. The allow-list is the promise of a step, so nothing in it may mean nearly everything."""
    bare = text.partition(":")[0]
    if bare in ("*", "**", "*.*", "") or text.lower() in ("all", "any", "everything", "yes", "true", "on", "full"):
        return (
            f"{shown(text)} would open the whole network, and a build that may fetch anything cannot be repeated",
            "list the hosts that the step needs, such as pypi.org; a refused host is named in the log",
        )
    if "://" in text or "/" in text:
        place = text.split("://", 1)[-1].split("/", 1)[0]
        hint = f"write {place}" if valid_host(place) else "write the host, such as pypi.org"
        return f"{shown(text)} is not a host but a URL or an address range", hint
    if bare.startswith("*.") and "." not in bare[2:]:
        return f"{shown(text)} would open a whole top-level domain", "name the domain, such as *.example.org"
    if not valid_host(text.removeprefix("*.")) or text.count(":") > 1:
        return f"{shown(text)} is not a host", "write HOST, HOST:PORT or *.DOMAIN"
    return None


def _package(text: str) -> Fault | None:
    """A Debian package, with :ARCH, =VERSION or /SUITE; nothing that apt would read as an option or a removal."""
    name, rest = text, ""
    for mark in (":", "=", "/"):
        name, found, tail = name.partition(mark)
        rest = rest or (tail if found else "")
    good = len(name) > 1 and name[0] in LOWER + DIGITS and not name.strip(LOWER + DIGITS + "+.-")
    if good and not name.endswith("-") and not rest.strip(LOWER + UPPER + DIGITS + "+.:~=/-"):
        return None
    return f"{shown(text)} is not a Debian package", "write its name, or NAME=VERSION"


def _git_ref(text: str) -> Fault | None:
    """A branch, tag or commit (git check-ref-format); a leading - would be an option of git's."""
    bad = not text or text[0] in "-/." or text.strip(GIT_CHARACTERS) or ".." in text or "@{" in text or "//" in text
    if bad or text.endswith(("/", ".", ".lock")):
        return f"{shown(text)} is not a git branch, tag or commit", "write a tag, or a commit's digest to be exact"
    return None


def _script(text: str) -> Fault | None:
    if not text.strip():
        return "the script is empty", "write the commands, after `shell: |` on lines of their own"
    return None


_RULES: dict[str, Callable[[str], Fault | None]] = {
    "artifact-ref": _reference,
    "sha256": _sha256,
    "path": _path,
    "glob": _path,
    "url": _url,
    "git": _git,
    "ref": _git_ref,
    "host": _host,
    "package": _package,
    "script": _script,
}
