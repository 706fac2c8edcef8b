"""A good first contractor.yaml for the project it will stand in, by the names of the project's files. Pure."""

from __future__ import annotations

from collections.abc import Collection

from contractor.core.values import Value
from contractor.spec import rules


class _Way(Value, frozen=True):
    """How projects of one kind are built. signs: any of these files shows the kind.

    fetch: commands that need network, and the hosts that they need; build: commands that have none.
    """

    what: str
    signs: tuple[str, ...]
    packages: tuple[str, ...]
    build: str
    fetch: str = ""
    hosts: tuple[str, ...] = ()
    env: tuple[tuple[str, str], ...] = ()
    note: str = ""


_INSTALL = 'make -j"$(nproc)"\nmake install DESTDIR="$WORKSPACE/out"'

# The first kind whose sign is there: packaging before languages, languages before what generates, then plain make.
_WAYS = (
    _Way(
        "a Debian source package",
        ("debian/control",),
        ("build-essential", "debhelper", "dpkg-dev"),
        'dpkg-buildpackage -b -us -uc\nmkdir -p "$WORKSPACE/out"\nmv ../*.deb "$WORKSPACE/out/"',
        note="add what debian/control names in Build-Depends",
    ),
    _Way(
        "a Rust project",
        ("Cargo.toml",),
        ("cargo", "gcc", "libc6-dev", "ca-certificates"),
        'cargo build --release --offline\nmkdir -p "$WORKSPACE/out"\n'
        'find target/release -maxdepth 1 -type f -perm -100 -exec cp -t "$WORKSPACE/out" {} +',
        "cargo fetch",
        ("index.crates.io", "static.crates.io", "crates.io"),
        (("CARGO_HOME", "/workspace/cargo"),),
    ),
    _Way(
        "a Go project",
        ("go.mod",),
        ("golang-go", "ca-certificates"),
        'mkdir -p "$WORKSPACE/out"\ngo build -trimpath -o "$WORKSPACE/out/" ./...',
        "go mod download",
        ("proxy.golang.org", "sum.golang.org"),
        (("GOPATH", "/workspace/go"), ("GOCACHE", "/workspace/go-cache"), ("GOFLAGS", "-mod=mod")),
    ),
    _Way(
        "a Python project",
        ("pyproject.toml", "setup.py"),
        ("python3", "python3-pip", "python3-venv", "ca-certificates"),
        'python3 -m pip wheel --no-deps --no-index --find-links ../wheels -w "$WORKSPACE/out" .',
        "# what the build needs: add the packages of build-system.requires\n"
        "python3 -m pip download -d ../wheels setuptools wheel",
        ("pypi.org", "files.pythonhosted.org"),
    ),
    _Way(
        "a Node.js project",
        ("package.json",),
        ("nodejs", "npm", "ca-certificates"),
        'npm run build --if-present\nmkdir -p "$WORKSPACE/out"\nnpm pack --pack-destination "$WORKSPACE/out"',
        "npm ci --ignore-scripts",
        ("registry.npmjs.org",),
        (("npm_config_cache", "/workspace/npm"),),
        "npm ci needs a package-lock.json",
    ),
    _Way(
        "a Meson project",
        ("meson.build",),
        ("gcc", "g++", "libc6-dev", "meson", "ninja-build", "pkg-config"),
        "meson setup ../build --prefix=/usr --buildtype=release --wrap-mode=nodownload\n"
        'meson compile -C ../build\nDESTDIR="$WORKSPACE/out" meson install -C ../build',
    ),
    _Way(
        "a CMake project",
        ("CMakeLists.txt",),
        ("gcc", "g++", "libc6-dev", "cmake", "make"),
        "cmake -S . -B ../build -DCMAKE_BUILD_TYPE=Release -DCMAKE_INSTALL_PREFIX=/usr\n"
        'cmake --build ../build -j "$(nproc)"\nDESTDIR="$WORKSPACE/out" cmake --install ../build',
    ),
    _Way(
        "a project with a configure script",
        ("configure",),
        ("gcc", "make", "libc6-dev"),
        "./configure --prefix=/usr\n" + _INSTALL,
    ),
    _Way(
        "an Autotools project",
        ("configure.ac", "configure.in"),
        ("gcc", "make", "libc6-dev", "autoconf", "automake", "libtool", "pkg-config"),
        "autoreconf -fi\n./configure --prefix=/usr\n" + _INSTALL,
    ),
    _Way("a project with a Makefile", ("Makefile", "makefile", "GNUmakefile"), ("gcc", "make", "libc6-dev"), _INSTALL),
)
_OTHER = _Way(
    "this project",
    (),
    ("gcc", "make", "libc6-dev"),
    '# your commands here; what is to be kept goes to out\nmkdir -p "$WORKSPACE/out"\ncp -R . "$WORKSPACE/out/"',
)
_DIAGNOSTICS = {"configure": "src/config.log", "configure.ac": "src/config.log", "meson.build": "build/meson-logs/**"}


def starter(files: Collection[str], name: str) -> str:
    """The text of a specification that loads. files: the project's file names, relative; name: what to call it."""
    way = next((way for way in _WAYS if any(sign in files for sign in way.signs)), _OTHER)
    own = _name(name)
    lines = [
        f"# How to build {way.what} in a sealed sandbox: `contractor build`",
        "contractor: 1",
        f"name: {own}",
        "",
        "source:",
        "  path: .       # what git tracks, and what it does not ignore",
        "  to: src       # its folder in the workspace",
        "",
        "limits: {time: 30m, memory: 4G}",
        "",
    ]
    if way.env:
        lines += ["env:", *(f"  {variable}: {value}" for variable, value in way.env), ""]
    lines += [
        "steps:",
        "  # the system that the build runs on; nothing of your own machine is seen",
        "  - create-systree: {base: debian-12}",
        *([f"  # {way.note}"] if way.note else []),
        f"  - apt: [{', '.join(way.packages)}]",
    ]
    if way.fetch:
        lines += [
            "  # the only step with network: these hosts, through a proxy that records every fetch",
            *_script("Fetch dependencies", way.fetch),
            f"    network: [{', '.join(way.hosts)}]",
        ]
    lines += _script("Build", way.build)
    lines += [
        "  # what the build is for: files of the workspace, named by their digest",
        f"  - create-artifact: {{name: {own}, files: [out]}}",
    ]
    kept = next((_DIAGNOSTICS[sign] for sign in way.signs if sign in _DIAGNOSTICS), "")
    if kept:
        lines += ["", "# kept when a step fails", f'diagnostics: ["{kept}"]']
    return "\n".join(lines) + "\n"


def _script(name: str, commands: str) -> list[str]:
    return [f"  - name: {name}", "    shell: |", "      cd src", *(f"      {line}" for line in commands.split("\n"))]


def _name(text: str) -> str:
    """The nearest text that can be a name, such as `my-project` of `My Project`."""
    lower = "".join(c if c in rules.ALPHABETS["name"][2] else "-" for c in text.lower())
    name = lower.lstrip("._+-")[:60].rstrip("._+-")
    return f'"{name}"' if name and not name.strip("0123456789.") else name or "my-project"
