"""Images, CI jobs, snaps and crafts built for real, by a worker, in a small image, as root and as an ordinary user."""

from __future__ import annotations

import base64
import gzip
import hashlib
import io
import json
import os
import pwd
import shutil
import subprocess
import sys
import tarfile
import tempfile
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest
import small_image
import worker_kit
from proxy_kit import Service, TokenServer, proxy_of

from ordinary_user import ordinary_user

PROJECT_TOOL = """#!/bin/sh
# A tool of the tests: it records how it was called, and leaves what a real one would.
echo "$(basename "$0") $*" >> /build/calls; env | sort > /build/env
case "$(basename "$0") $1" in
"snapcraft pull") echo pulled ;;
"snapcraft ") echo snap > hello_1_amd64.snap; echo list > hello_1_amd64.manifest; ln -s /etc/passwd evil.snap
  cat /build/calls ; head -n 100 /build/env ;;
"rockcraft pack") echo rock > hello_1_amd64.rock ;;
esac
"""


class Builder:
    """One who builds, with folders of his own. A store that keeps the image's layer."""

    def __init__(self, kind: str, top: Path, image: Path) -> None:
        self.image = image
        self.folder = top / kind
        self.folder.mkdir()
        self.prefix: list[str] = []
        self.count = 0
        if kind == "user" and os.getuid() == 0:
            entry = pwd.getpwnam(ordinary_user())
            os.chown(self.folder, entry.pw_uid, entry.pw_gid)
            self.prefix = ["setpriv", f"--reuid={entry.pw_uid}", f"--regid={entry.pw_gid}", "--clear-groups"]
            (self.folder / "cache").mkdir()
            os.chown(self.folder / "cache", entry.pw_uid, entry.pw_gid)

    def build(self, tag: str, files: Mapping[str, str | bytes], **arguments: Any) -> worker_kit.Done:
        """Build a repository that has these files."""
        self.count += 1
        repository = self.folder / f"source-{self.count}"
        small_image.make_repository(repository, files)
        with small_image.served(repository) as url:
            given = {"name": "hello", "git_repository": f"{url}/source.git", **arguments}
            return worker_kit.Worker(self.folder, tag, self.image, given, prefix=self.prefix).finish()


@pytest.fixture(scope="module")
def builders() -> Iterator[dict[str, Builder]]:
    top = Path(tempfile.mkdtemp(prefix="contractor-types-", dir="/var/tmp"))
    top.chmod(0o755)
    (top / "image").mkdir()
    image = small_image.make_image(top / "image", {"snapcraft": PROJECT_TOOL, "rockcraft": PROJECT_TOOL})
    kinds = ("root", "user") if os.getuid() == 0 else ("user",)
    try:
        yield {kind: Builder(kind, top, image) for kind in kinds}
    finally:
        subprocess.run(["unshare", "--map-auto", "--map-root-user", "rm", "-rf", top], check=False, capture_output=True)
        shutil.rmtree(top, ignore_errors=True)


@pytest.fixture(params=("root", "user") if os.getuid() == 0 else ("user",))
def builder(request: pytest.FixtureRequest, builders: dict[str, Builder]) -> Builder:
    return builders[request.param]


def layers(done: worker_kit.Done) -> list[dict[str, tarfile.TarInfo]]:
    """The members of each layer, once every digest that names it has been checked."""
    (entry,) = json.loads(done.content("manifest.json"))
    (digests,) = json.loads(done.content("digests.json"))
    config = done.content(entry["Config"])
    assert entry["Config"] == f"{hashlib.sha256(config).hexdigest()}.json"
    found = []
    for diff_id, name in zip(json.loads(config)["rootfs"]["diff_ids"], entry["Layers"], strict=True):
        layer_id = name.removesuffix("/layer.tar")
        data = done.content(f"{layer_id}.tar.gz")
        with tarfile.open(fileobj=io.BytesIO(data)) as opened:
            found.append({member.name: member for member in opened})
        assert diff_id == f"sha256:{hashlib.sha256(gzip.decompress(data)).hexdigest()}"
        assert digests[diff_id] == {
            "digest": f"sha256:{hashlib.sha256(data).hexdigest()}", "source": None, "layer_id": layer_id,
        }  # fmt: skip
    return found


DOCKERFILE = """\
FROM debian:12 AS first
RUN echo built > /made; rm /etc/group; id > /who
FROM scratch AS small
COPY data/a.txt /only
FROM docker.io/library/debian:bookworm
ENV GREETING=hello
ARG WHAT=nothing
WORKDIR /srv/app
COPY --chown=app:staff data/ ./data/
COPY --from=first /made /who /from/
COPY --from=small / /all/
RUN <<E
echo "$GREETING $WHAT" > greeting; rm -r /home /usr/bin/sleep; ln -s greeting link
rm -r /var; mkdir -p /var/new; chmod 4755 /usr/bin/head
E
USER app
RUN ["/usr/bin/touch", "/tmp/mine"]
CMD ["cat", "greeting"]
"""


def test_an_image_layer_by_layer_and_twice_the_same(builder: Builder) -> None:
    files = {
        "sub/Dockerfile": DOCKERFILE,
        "sub/data/a.txt": "a\n",
        "sub/data/x.o": "object",
        "sub/data/l": "-> /etc/passwd",
        "sub/.dockerignore": "**/*.o\n",
    }
    more = {"build_path": "sub", "build_args": {"WHAT": "world", "SECRET": "s3cr3t"}}
    done = builder.build("oci", files, **more)
    assert done.status == "OK", done.log
    base, work, copied, stage, whole, run, last = layers(done)
    assert "usr/bin/bash" in base and base["etc/passwd"].uid == 0
    assert {name for name, member in work.items() if not member.isdir()} == set() and "srv/app" in work
    assert set(copied) == {"srv", "srv/app", "srv/app/data", "srv/app/data/a.txt", "srv/app/data/l"}
    assert (copied["srv/app/data/a.txt"].uid, copied["srv/app/data/a.txt"].gid) == (77, 50)
    assert copied["srv/app/data/l"].linkname == "/etc/passwd"
    assert set(stage) == {"from", "from/made", "from/who"}
    assert set(whole) == {"all", "all/only"}, "nothing that only the building of a stage needs"
    assert {".wh.home", "usr/bin/.wh.sleep", "srv/app/greeting", "srv/app/link", "var/new"} <= set(run)
    assert "var/.wh..wh..opq" in run, "what was made anew hides what was below it"
    assert run["usr/bin/head"].mode == 0o4755
    assert {name: member.uid for name, member in last.items() if not member.isdir()} == {"tmp/mine": 77}
    assert all(member.mtime <= small_image.EPOCH for layer in (base, work, run, last) for member in layer.values())
    (entry,) = json.loads(done.content("manifest.json"))
    config = json.loads(done.content(entry["Config"]))
    assert config["config"]["Cmd"] == ["cat", "greeting"]
    assert config["config"]["Env"][1:] == ["GREETING=hello"]
    assert config["created"] == small_image.WHEN
    assert "s3cr3t" not in json.dumps(config) + done.log
    assert done.extra["revision_id"]
    if builder.prefix or os.getuid():  # once is enough
        assert builder.build("oci", files, **more).files == done.files


TRUSTING = """\
FROM base
RUN cat "$SSL_CERT_FILE"; for f in $CURL_CA_BUNDLE $GIT_SSL_CAINFO $REQUESTS_CA_BUNDLE $APT_CONFIG $WGETRC; \
    do test -s $f || exit 9; done
RUN mkdir -p /etc/ssl/certs; printf 'own certificate' > /etc/ssl/certs/ca-certificates.crt
RUN cat "$SSL_CERT_FILE"
RUN --network=none echo "OFFLINE ${SSL_CERT_FILE:-none}"
ENV SSL_CERT_FILE="set by the author"
RUN echo "OWN $SSL_CERT_FILE"
"""


@pytest.mark.parametrize(
    ("dockerfile", "says"),
    [
        ("FROM alpine:3\n", "line 1: FROM: images cannot be fetched here, and alpine:3 is not this build's own"),
        ("FROM base\nRUN exit 3\n", "line 2: RUN: the command failed (exit code 3)"),
        ("FROM scratch\nRUN echo x\n", "line 2: RUN: the stage has no program /bin/sh"),
        (
            "FROM base\nCOPY ../../etc/passwd /x\n",
            "line 2: '../../etc/passwd' leads out of where files are copied from",
        ),
        ("FROM base\nCOPY up /x\n", "line 2: no file matches 'up'"),
        ("FROM base\nUSER ²\nRUN true\n", "line 2: USER: '²' is not USER or USER:GROUP"),
        ("FROM base\nUSER 99999\nRUN true\n", "line 3: the number 99999 is larger than 65535"),
        (f"FROM base\nUSER {'9' * 5000}\nRUN true\n", "line 3: the number 99999999999999999999 is larger than 65535"),
        ("FROM base\nUSER none\nRUN true\n", "line 3: the image's /etc/passwd does not know none"),
        ("FROM base\nHEALTHCHECK NONE\nFOO x\n", "line 2: HEALTHCHECK: this instruction is not supported"),
        ("FROM base\nRUN touch /.wh.x\n", "has a name that means something else"),
        ("FROM base\nRUN rm -r /sys; ln -s / /sys\nRUN true\n", "line 3: the image has no directory /sys"),
    ],
)
def test_what_cannot_be_an_image_says_why(builders: dict[str, Builder], dockerfile: str, says: str) -> None:
    builder = next(iter(builders.values()))
    done = builder.build("oci", {"Dockerfile": dockerfile, "up": "-> ../../../etc/passwd"})
    assert done.status == "PACKAGEFAIL", done
    assert says in done.log, done.log


def test_a_user_whose_group_has_another_number(builder: Builder) -> None:
    text = "FROM base\nUSER odd\nRUN id -u > /tmp/ids; id -g >> /tmp/ids\nUSER 5:6\nRUN touch /tmp/by-number\n"
    done = builder.build("oci", {"Dockerfile": text})
    assert done.status == "OK", done.log
    _base, odd, numbers = layers(done)
    assert (odd["tmp/ids"].uid, odd["tmp/ids"].gid) == (78, 79)
    assert (numbers["tmp/by-number"].uid, numbers["tmp/by-number"].gid) == (5, 6)
    assert odd["tmp/ids"].size == len("78\n79\n")


def test_commands_of_a_stage_trust_the_fetch_service_and_layers_do_not_have_it(builder: Builder) -> None:
    request = ["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2", "-subj", "/CN=fetch"]
    pem = subprocess.run([*request, "-keyout", "/dev/null"], capture_output=True, check=True).stdout
    body = pem.decode().splitlines()[3]
    top = builder.folder / "trusting"  # an image whose git has the source: a shallow clone needs a server
    top.mkdir()
    git = f"""#!/bin/sh
case "$*" in
*rev-parse*) echo {"5" * 40} ;;
*log*) echo {small_image.EPOCH} ;;
*checkout*) mkdir -p /build/hello; cat > /build/hello/Dockerfile <<'END'
{TRUSTING}END
esac
"""
    image = small_image.make_image(top, {"../sbin/update-ca-certificates": "#!/bin/sh\n", "git": git})
    with Service(TokenServer) as tokens, proxy_of(tokens) as proxy:
        tokens.live["OCI-7"] = "very-secret"
        given = {
            "name": "hello",
            "git_repository": "https://git.example.org/x",
            "proxy_url": f"http://OCI-7:very-secret@{proxy.place}",
            "revocation_endpoint": f"http://{tokens.place}/tokens/OCI-7",
            "use_fetch_service": True,
            "secrets": {"fetch_service_mitm_certificate": base64.b64encode(pem).decode()},
        }
        done = worker_kit.Worker(builder.folder, "oci", image, given, prefix=builder.prefix).finish()
    assert done.status == "OK", done.log
    assert done.log.count(body) == 2, "the first command, and the one with certificates of its own"
    assert "OFFLINE none" in done.log and "OWN set by the author" in done.log
    assert "own certificate\n-----BEGIN CERTIFICATE-----" in done.log
    for name in done.files:
        if name.endswith(".tar.gz"):
            content = gzip.decompress(done.content(name))
            assert body.encode() not in content and b"fetch-service" not in content and b"local-ca.crt" not in content


def test_jobs_with_results(builder: Builder) -> None:
    text = """
pipeline: [[test, build], never]
jobs:
  test: {series: bookworm, architectures: amd64, run: "echo from the test; exit 3"}
  build:
    series: bookworm
    architectures: [amd64]
    run: |
      mkdir dist; echo wheel > dist/a.whl; ln -s /etc/passwd dist/evil.whl; mkfifo dist/fifo.whl
      ln -s / dist/root; echo up > ../up.deb; echo "VERSION=$N" > p; id -u
    environment: {N: "1.2"}
    root: false
    output: {paths: ["dist/*.whl", "dist/root/etc/*", "../*.deb"], properties: {a: b}, dynamic-properties: p}
  never: {series: bookworm, architectures: amd64, run: "true"}
"""
    jobs = [[["test", 0], ["build", 0]], [["never", 0]]]
    done = builder.build("ci", {".launchpad.yaml": text}, jobs=jobs)
    assert done.status == "PACKAGEFAIL", done
    found = done.extra["jobs"]
    assert {name: job["result"] for name, job in found.items()} == {"test:0": "FAILED", "build:0": "SUCCEEDED"}
    cache = builder.folder / "cache"
    assert "from the test\n" in (cache / found["test:0"]["log"]).read_text()
    build = found["build:0"]
    assert "\n2001\n" in (cache / build["log"]).read_text()
    assert {name: (cache / sha1).read_text() for name, sha1 in build["output"].items()} == {
        "a.whl": "wheel\n", "up.deb": "up\n",
    }  # fmt: skip
    assert json.loads((cache / build["properties"]).read_text()) == {"a": "b", "VERSION": "1.2"}


def test_a_snap_with_a_small_snapcraft(builder: Builder) -> None:
    more = {"build_request_id": "7", "target_architectures": ["arm64"], "build_source_tarball": True}
    files = {"snap/snapcraft.yaml": "name: hello", "src/hello": "#!/bin/sh\necho hello\n"}
    done = builder.build("snap", files, **more)
    assert done.status == "OK", done.log
    assert set(done.files) == {"hello_1_amd64.snap", "hello_1_amd64.manifest", "hello.tar.gz"}
    assert "snapcraft pull\nsnapcraft \n" in done.log
    for line in (
        'SNAPCRAFT_IMAGE_INFO={"build-request-id": "lp-7"}',
        "SNAPCRAFT_BUILD_FOR=arm64",
        "SNAPCRAFT_BUILD_INFO=1",
    ):
        assert f"\n{line}\n" in done.log
    sha512 = hashlib.sha512(done.content("hello_1_amd64.snap")).hexdigest()
    assert f"{sha512}  ./hello_1_amd64.snap" in done.log
    with tarfile.open(fileobj=io.BytesIO(done.content("hello.tar.gz"))) as opened:
        members = {member.name: member for member in opened}
    assert "hello/src/hello" in members and not any(".git" in name for name in members)
    assert {(member.uid, member.gid, member.mtime) for member in members.values()} == {(0, 0, small_image.EPOCH)}
    again = builder.build("snap", files, **more)
    assert again.files["hello.tar.gz"] == done.files["hello.tar.gz"]


def test_a_rock_and_a_charm_without_its_tool(builders: dict[str, Builder]) -> None:
    builder = next(iter(builders.values()))
    done = builder.build("rock", {"deep/rockcraft.yaml": "x", "evil": "-> /build"}, build_path="deep")
    assert (done.status, set(done.files)) == ("OK", {"hello_1_amd64.rock"}), done
    done = builder.build("rock", {"rockcraft.yaml": "x", "evil": "-> /build"}, build_path="evil")
    assert done.status == "PACKAGEFAIL" and "build_path: 'evil' leads out of the source" in done.log, done
    done = builder.build("charm", {"charmcraft.yaml": "x"})
    assert done.status == "PACKAGEFAIL" and "charmcraft is not in this image" in done.log, done


def test_the_fake_is_like_the_real_one() -> None:
    """The contract that fake_target.py and the target both keep; in a process of its own, because it is many."""
    code = "import test_fake_target; test_fake_target.check_real()"
    env = {"PATH": os.environ["PATH"], "PYTHONPATH": f"{worker_kit.ROOT}/src:{worker_kit.ROOT}/tests/buildd"}
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, env=env, timeout=120, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr
