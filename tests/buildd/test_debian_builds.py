"""Real builds of Debian's: GNU hello from its source package, a recipe, templates; and what they wait for."""

from __future__ import annotations

import base64
import email.utils
import hashlib
import io
import subprocess
import tarfile
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from debian_image import ARCHIVES, make_image
from repositories import Server, git_daemon, serving
from target_kit import Account, folder_for_all
from worker_kit import Done, Worker

from contractor.buildd.debian import listed_files, paragraphs

POOL = "http://deb.debian.org/debian/pool/main/h/hello"
HELLO = ("hello_2.10-3.dsc", "hello_2.10.orig.tar.gz", "hello_2.10.orig.tar.gz.asc", "hello_2.10-3.debian.tar.xz")
PACKAGE = {"suite": "bookworm", "ogrecomponent": "main", "archive_purpose": "PRIMARY"}


class Builder:
    """An ordinary user who builds in a Debian image."""

    def __init__(self, top: Path) -> None:
        self.account = Account("user", top / "user")
        self.image = make_image(self.account, top / "image")
        self.sources = top / "sources"
        self.sources.mkdir()

    def build(self, tag: str, arguments: dict[str, Any], files: dict[str, bytes] | None = None) -> Done:
        given: dict[str, str] = {}
        for name, content in (files or {}).items():
            (self.sources / name).write_bytes(content)
            (self.sources / name).chmod(0o644)
            given[name] = str(self.sources / name)
        account = self.account
        return Worker(account.folder, tag, self.image, arguments, prefix=account.prefix, files=given).finish()


@pytest.fixture(scope="module")
def builder() -> Iterator[Builder]:
    with folder_for_all() as top:
        yield Builder(top)


@pytest.fixture(scope="module")
def hello() -> dict[str, bytes]:
    found = {}
    for name in HELLO:
        with urllib.request.urlopen(f"{POOL}/{name}", timeout=60) as answer:
            found[name] = answer.read()
    return found


@pytest.fixture
def server(tmp_path: Path) -> Iterator[Server]:
    with serving(tmp_path) as made:
        yield made


def test_hello_from_its_source_package(builder: Builder, hello: dict[str, bytes]) -> None:
    done = builder.build("binarypackage", {**PACKAGE, "archives": ARCHIVES}, hello)
    assert done.status == "OK", done
    assert set(done.files) == {f"hello_2.10-3_amd64.{kind}" for kind in ("changes", "buildinfo", "deb")}
    changes = next(paragraphs(done.content("hello_2.10-3_amd64.changes").decode()))
    assert (changes["source"], changes["distribution"]) == ("hello", "bookworm")
    assert set(listed_files(changes)) | {"hello_2.10-3_amd64.changes"} == set(done.files)
    assert done.content("hello_2.10-3_amd64.deb").startswith(b"!<arch>\ndebian-binary")
    assert "noautodbgsym" in done.content("hello_2.10-3_amd64.buildinfo").decode()
    assert "Status: successful" in done.log and "Toolchain package versions:" in done.log
    assert builder.account.leftovers() == []


def _source(depends: str, rules: str = "exit 1") -> dict[str, bytes]:
    """A source package, native, without more than what is asked for."""
    files = {
        "debian/control": f"Source: small\nMaintainer: A <a@example.org>\nBuild-Depends: {depends}\n\n"
        "Package: small\nArchitecture: any\nDescription: x\n",
        "debian/changelog": "small (1) unstable; urgency=low\n\n  * x\n\n"
        " -- A <a@example.org>  Mon, 01 Jan 2024 00:00:00 +0000\n",
        "debian/rules": f"#!/bin/sh\n{rules}\n",
    }
    data = io.BytesIO()
    with tarfile.open(fileobj=data, mode="w:gz") as archive:
        for name, text in files.items():
            member = tarfile.TarInfo(f"small-1/{name}")
            member.size, member.mode = len(text), 0o755
            archive.addfile(member, io.BytesIO(text.encode()))
    content = data.getvalue()
    sums = {
        kind: f"{hashlib.new(kind, content).hexdigest()} {len(content)} small_1.tar.gz" for kind in ("md5", "sha256")
    }
    dsc = (
        f"Format: 1.0\nSource: small\nBinary: small\nArchitecture: any\nVersion: 1\nMaintainer: A <a@example.org>\n"
        f"Build-Depends: {depends}\nChecksums-Sha256:\n {sums['sha256']}\nFiles:\n {sums['md5']}\n"
    )
    return {"small_1.dsc": dsc.encode(), "small_1.tar.gz": content}


@pytest.mark.parametrize(
    ("depends", "waits"),
    [
        ("nosuch-package (>= 3) [amd64], other [arm64], third <nocheck>", "nosuch-package (>= 3)"),
        ("debhelper (>= 99~), hello (>= 1:99) <!nocheck>, make", "debhelper (>= 99~), hello (>= 1:99)"),
    ],
)
def test_what_a_build_waits_for(builder: Builder, depends: str, waits: str) -> None:
    done = builder.build("binarypackage", {**PACKAGE, "archives": ARCHIVES}, _source(depends))
    assert (done.status, done.ended["dependencies"]) == ("DEPFAIL", waits), done
    assert "\nFail-Stage: install-deps\n" in done.log


def test_a_build_that_fails(builder: Builder) -> None:
    done = builder.build("binarypackage", PACKAGE, _source("make", "echo this is the end; exit 1"))
    assert (done.status, done.files) == ("PACKAGEFAIL", {}), done
    assert "this is the end" in done.log and "\nFail-Stage: build\n" in done.log


def test_a_source_that_was_changed_on_the_way(builder: Builder) -> None:
    source = _source("make")
    done = builder.build("binarypackage", PACKAGE, {**source, "small_1.tar.gz": source["small_1.tar.gz"] + b"x"})
    assert done.status == "PACKAGEFAIL", done
    assert "\nFail-Stage: unpack\n" in done.log


CHANGELOG = """proj (1.5-2) unstable; urgency=low

  * x

 -- A <a@example.org>  Mon, 01 Jan 2024 00:00:00 +0000
"""
PACKAGING = {
    "changelog": CHANGELOG,
    "control": "Source: proj\nMaintainer: A <a@example.org>\n\nPackage: proj\nArchitecture: all\nDescription: x\n",
    "rules": "#!/usr/bin/make -f\nclean:\n\ttrue\n",
    "source/format": "3.0 (quilt)\n",
    "patches/series": "p.patch\n",
    "patches/p.patch": "--- a/README\n+++ b/README\n@@ -1,3 +1,3 @@\n a\n-b\n+B\n c\n",
}


def _recipe(server: Server, **packaging: str) -> tuple[str, dict[str, str]]:
    """A recipe's text, and the commits of its repositories."""
    project, packed, docs = server.repository("proj"), server.repository("packaging"), server.repository("docs")
    project.commit({"main.c": "int main(){return 0;}\n", "README": "a\nb\nc\n"})
    project.git("tag", "1")
    fixes = project.commit({"fix": "1\n"}, branch="fixes")
    project.git("checkout", "-q", "main")
    main = project.commit({"other": "x\n"})
    packed.commit({**PACKAGING, **packaging})
    docs.commit({"manual/en/index": "hello\n", "manual/de/index": "hallo\n"})
    version = "{debupstream}+r{revno}.{latest-tag}-0~{git-commit:fixes}"
    text = f"""# git-build-recipe format 0.4 deb-version {version}
{project.url} main
merge fixes {project.url} fixes
nest packaging {packed.url} debian
nest-part docs {docs.url} manual/en doc
"""
    return text, {"main": main, "fixes": fixes}


def _arguments(text: str) -> dict[str, Any]:
    who = {"author_name": "Auth Or", "author_email": "author@example.org"}
    return {**PACKAGE, **who, "recipe_text": text, "git": True}


def test_a_recipe(builder: Builder, server: Server) -> None:
    text, commits = _recipe(server)
    done = builder.build("sourcepackagerecipe", _arguments(text))
    assert done.status == "OK", done
    version = f"1.5+r2.1-0~{commits['fixes'][:7]}~debian12.1"
    assert set(done.files) == {
        "manifest", f"proj_{version}.dsc", f"proj_{version}.tar.gz", f"proj_{version}_source.buildinfo",
        f"proj_{version}_source.changes",
    }  # fmt: skip
    manifest = done.content("manifest").decode()
    assert commits["main"] in manifest and commits["fixes"] in manifest
    assert done.extra["revision_id"] == commits["main"]
    changes = next(paragraphs(done.content(f"proj_{version}_source.changes").decode()))
    assert (changes["version"], changes["changed-by"]) == (version, "Auth Or <author@example.org>")
    with tarfile.open(fileobj=io.BytesIO(done.content(f"proj_{version}.tar.gz"))) as archive:
        names = {name.partition("/")[2] for name in archive.getnames()}
        readme = archive.extractfile(next(name for name in archive.getnames() if name.endswith("README")))
        assert readme is not None and readme.read() == b"a\nB\nc\n"  # patched
    assert {"main.c", "fix", "other", "doc/index", "debian/control"} <= names
    assert not any(name.startswith((".git", "debian/.git", "doc/de")) for name in names)


def test_a_recipe_that_waits(builder: Builder, server: Server) -> None:
    control = PACKAGING["control"].replace("\n\n", "\nBuild-Depends: nosuch-package (>> 3)\n\n", 1)
    done = builder.build("sourcepackagerecipe", _arguments(_recipe(server, control=control)[0]))
    assert (done.status, done.ended["dependencies"]) == ("DEPFAIL", "nosuch-package (>> 3)"), done


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (("merge fixes", "run rm -rf /\nmerge fixes"), "line 3 of the recipe: `run` is not allowed"),
        (("fixes\nnest", "no-such-branch\nnest"), "fixes: its repository has no no-such-branch"),
        (("{latest-tag}", "{nosuch}"), "there is no such variable"),
    ],
)
def test_recipes_that_fail(builder: Builder, server: Server, change: tuple[str, str], words: str) -> None:
    text = _recipe(server)[0].replace(*change)
    done = builder.build("sourcepackagerecipe", _arguments(text))
    assert done.status == "PACKAGEFAIL", done
    assert words in done.log


def test_templates(builder: Builder, server: Server) -> None:
    project = server.repository("project")
    first = project.commit(
        {
            "configure.ac": "AC_INIT([project], [1.0])\nGETTEXT_PACKAGE=project-domain\n",
            "src/main.c": 'int main() { puts(_("Hello, world")); }\n',
            "po/POTFILES.in": "# files\nsrc/main.c\n",
            "lib/po/POTFILES.in": "a.py\n",
            "lib/po/Makevars": "DOMAIN = library\n",
            "lib/a.py": "print(_('From Python'))\n",
        }
    )
    project.commit({"src/main.c": "broken", "po/POTFILES.in": "nothing-here.c\n"})
    project.git("tag", "old", first)
    project.git("update-server-info")
    done = builder.build("translation-templates", {"git_repository": project.url, "git_path": "refs/tags/old"})
    assert done.status == "OK", done
    assert done.extra == {"revision_id": first}
    with tarfile.open(fileobj=io.BytesIO(done.content("translation-templates.tar.gz"))) as archive:
        texts = {member.name: archive.extractfile(member) for member in archive}
        assert set(texts) == {"po/project-domain.pot", "lib/po/library.pot"}
        assert b'msgid "Hello, world"' in texts["po/project-domain.pot"].read()  # type: ignore[union-attr]
        assert b'msgid "From Python"' in texts["lib/po/library.pot"].read()  # type: ignore[union-attr]
    bare = server.repository("bare")
    bare.commit({"README": "no po\n"})
    done = builder.build("translation-templates", {"git_repository": bare.url})
    assert (done.status, done.files) == ("OK", {}), done
    assert "There is no template" in done.log


_CLONES = """
from contractor.buildd.builds import vcs
t.allow = ("127.0.0.1:{port}",)
for number, (path, shallow) in enumerate({paths!r}):
    folder = f"/tmp/{{number}}"
    try:
        commit = vcs.clone(t, {url!r}, path, folder, shallow=shallow)
        say([commit, t.list(folder), t.list(folder + "/sub"), t.exists(folder + "/.git/shallow")])
    except TargetFailed as error:
        say(error.code)
"""


def test_what_a_git_path_may_be(builder: Builder, tmp_path: Path) -> None:
    with git_daemon(tmp_path) as server:
        other, project = server.repository("other"), server.repository("project")
        other.commit({"s": "s"})
        first = project.commit({"a": "1"})
        project.git("tag", "-m", "annotated", "v1")
        project.git("-c", "protocol.file.allow=always", "submodule", "-q", "add", str(other.folder), "sub")
        project.git("config", "-f", ".gitmodules", "submodule.sub.url", other.url)
        last = project.commit({"a": "2"})
        project.git("update-ref", "refs/merge/7/head", first)
        project.git("checkout", "-q", "-b", "topic/x", first)
        project.git("checkout", "-q", "main")
        paths = [("", False), ("refs/heads/main", False), ("v1", False), ("refs/tags/v1", False), (first, False),
                 ("refs/merge/7/head", False), ("topic/x", False), ("refs/heads/topic/x", True), ("", True),
                 ("v1", True), (last, True), ("no-such", False), ("no-such", True)]  # fmt: skip
        port = int(project.url.split(":")[2].split("/")[0])
        said = builder.account.target(builder.image, _CLONES.format(port=port, url=project.url, paths=paths))
    old, new = [first, [".git", "a"], []], [last, [".git", ".gitmodules", "a", "sub"], [".git", "s"]]
    assert [value[:3] for value in said.values[:11]] == [new, new, old, old, old, old, old, old, new, old, new], said
    assert [value[3] for value in said.values[:11]] == [shallow for _path, shallow in paths[:11]]
    assert all(isinstance(code, int) and code for code in said.values[11:13])


def _archive(folder: Path, url: str) -> tuple[list[str], bytes, bytes]:
    """An archive that is signed with a key of its own: the lines of sources.list, the key binary and armored."""
    home = folder / "gnupg"
    home.mkdir(mode=0o700)
    gpg = ["gpg", "--batch", "--yes", "--homedir", str(home), "--pinentry-mode", "loopback"]

    def run(*arguments: str, data: bytes = b"") -> bytes:
        return subprocess.run([*gpg, *arguments], input=data, capture_output=True, check=True).stdout

    run("--quick-gen-key", "--passphrase", "", "Tests <tests@example.org>", "default", "sign", "never")
    when = email.utils.formatdate(usegmt=True).replace("GMT", "UTC")
    empty = f"{hashlib.sha256(b'').hexdigest()} 0 main/binary-amd64/Packages"
    release = f"Suite: test\nCodename: test\nDate: {when}\nArchitectures: amd64\nComponents: main\nSHA256:\n {empty}\n"
    (folder / "dists/test/main/binary-amd64").mkdir(parents=True)
    (folder / "dists/test/main/binary-amd64/Packages").write_bytes(b"")
    (folder / "dists/test/InRelease").write_bytes(run("--clearsign", data=release.encode()))
    return [f"deb {url} test main"], run("--export"), run("--armor", "--export")


def test_an_archive_with_a_key_of_its_own(builder: Builder, tmp_path: Path) -> None:
    with serving(tmp_path) as server:
        lines, binary, armored = _archive(tmp_path, server.url)
        for key in (binary, armored):
            keys = [base64.b64encode(key).decode()]
            done = builder.build("binarypackage", {**PACKAGE, "archives": lines, "trusted_keys": keys}, _source("make"))
            assert done.status == "PACKAGEFAIL", done  # the rules say so: it came that far
            assert "\nFail-Stage: build\n" in done.log
        done = builder.build("binarypackage", {**PACKAGE, "archives": lines}, _source("make"))
    assert done.status == "CHROOTFAIL", done
    assert "NO_PUBKEY" in done.log
