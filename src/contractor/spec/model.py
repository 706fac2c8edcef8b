"""A build specification as values: one frozen class an action, and what surrounds them.

`load_spec` is the only maker of these; everything here has been checked. Sizes are bytes, times seconds.
"""

from __future__ import annotations

from contractor.core.values import Value

ARTIFACT_FORMATS = ("tar.zst", "tar", "squashfs", "directory")


class Place(Value, frozen=True):
    """Where in which file something was written; line and column count from 1."""

    file: str
    line: int
    column: int

    def __str__(self) -> str:
        return f"{self.file}:{self.line}:{self.column}"


class Limits(Value, frozen=True):
    """What a step may use, and a build where it says so. 0 means no limit (only for time, memory and cpus)."""

    time: float = 1800.0  # of one step
    memory: int = 4 << 30  # of one step
    disk: int = 10 << 30  # of the build: workspace and layers together
    processes: int = 2000
    log: int = 100 << 20  # of the build
    file_size: int = 4 << 30  # of one file; written `file-size`
    files: int = 1_000_000  # of the build: how many
    cpus: int = 0  # of one step: how many it sees and uses; what it sees is part of its key


class EmptyWorkspace(Value, frozen=True, tag="empty-workspace"):
    keep: tuple[str, ...] = ()  # globs of what stays


class CreateArtifact(Value, frozen=True, tag="create-artifact"):
    name: str
    files: tuple[str, ...] = ("**",)
    format: str = "tar.zst"
    epoch: int | None = None


class UnpackArtifact(Value, frozen=True, tag="unpack-artifact"):
    """Exactly one of name, digest and base is given. archive: a file that gets the archive itself; to is "." then."""

    name: str = ""
    digest: str = ""
    base: str = ""
    to: str = "."
    archive: str = ""


class CreateSystree(Value, frozen=True, tag="create-systree"):
    """Exactly one of artifact (a name, or a digest) and base is given."""

    artifact: str = ""
    base: str = ""


class Debootstrap(Value, frozen=True, tag="debootstrap"):
    suite: str
    mirror: str = ""  # empty: the public Debian mirror
    variant: str = "minbase"
    include: tuple[str, ...] = ()
    arch: str = ""  # empty: the build's


class Apt(Value, frozen=True, tag="apt"):
    packages: tuple[str, ...]
    update: bool = True
    recommends: bool = False


class Shell(Value, frozen=True, tag="shell"):
    script: str


class Source(Value, frozen=True, tag="source"):
    """Exactly one of path, git and url is given; git goes with ref, url with sha256."""

    path: str = ""
    git: str = ""
    ref: str = ""
    url: str = ""
    sha256: str = ""
    to: str = "."


class Fetch(Value, frozen=True, tag="fetch"):
    url: str
    sha256: str
    to: str = ""  # empty: the last part of the URL's path


class Pipeline(Value, frozen=True, tag="pipeline"):
    name: str
    parameters: dict[str, str] = {}


class Custom(Value, frozen=True, tag="custom"):
    name: str
    args: dict[str, str | int | bool | list[str]] = {}


AnyAction = (
    EmptyWorkspace
    | CreateArtifact
    | UnpackArtifact
    | CreateSystree
    | Debootstrap
    | Apt
    | Shell
    | Source
    | Fetch
    | Pipeline
    | Custom
)


def base_of(action: AnyAction) -> str:
    """The base whose artifact an action takes, or ""."""
    return action.base if isinstance(action, CreateSystree | UnpackArtifact) else ""


class Condition(Value, frozen=True):
    """`if: {NAME: value}`: the step runs when each named parameter or matrix value is one of these."""

    name: str
    values: tuple[str, ...]


class Step(Value, frozen=True):
    """One step; name is what people see, always set (made from the action when not given)."""

    action: AnyAction
    name: str
    place: Place
    env: dict[str, str] = {}
    limits: Limits = Limits()  # the build's, with this step's own on top; `timeout` is limits.time
    conditions: tuple[Condition, ...] = ()
    diagnostics: tuple[str, ...] = ()
    network: tuple[str, ...] = ()  # hosts, `host` or `host:port`; only shell and custom
    secrets: tuple[str, ...] = ()
    exclusive: str = ""  # steps with the same word run one at a time, of all builds with one store


class Parameter(Value, frozen=True):
    """type is string, list, integer or boolean; a list's value travels as its items joined by a space.

    empty: whether an empty value is one; never for integers and booleans.
    """

    name: str
    type: str = "string"
    default: str | None = None  # None: must be given
    help: str = ""
    choices: tuple[str, ...] = ()
    empty: bool = True


class BuildSpec(Value, frozen=True):
    name: str
    steps: tuple[Step, ...]  # source (when given) is the first; pipelines are still steps of kind Pipeline
    summary: str = ""
    parameters: tuple[Parameter, ...] = ()
    matrix: dict[str, tuple[str, ...]] = {}  # a value may be `${PARAMETER}`: see matrix_of
    pipelines: dict[str, PipelineSpec] = {}
    limits: Limits = Limits()
    diagnostics: tuple[str, ...] = ()
    epoch: int | str | None = None  # seconds, or `${PARAMETER}`: see epoch_of
    env: dict[str, str] = {}  # of every shell and custom step, under the step's own; resolve_steps merges them
    file: str = "contractor.yaml"


class PipelineSpec(Value, frozen=True):
    """Steps under a name, with parameters of their own."""

    name: str
    steps: tuple[Step, ...]
    parameters: tuple[Parameter, ...] = ()
