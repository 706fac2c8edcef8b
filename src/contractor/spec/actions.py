"""THE action table: what every action is called, where it runs, its network, what it reads and writes, its fields.

The loader, the JSON Schema, `contractor actions` and the reference page are made from it. A new action is a row here,
a class in model.py and a module in build/steps/.
"""

from __future__ import annotations

from contractor.core.values import Value
from contractor.spec import model
from contractor.spec.model import AnyAction

Default = str | int | bool | tuple[str, ...] | None


class Field(Value, frozen=True):
    """A field of an action. kind names its rule (rules.py) or its type; many: a list of that kind.

    Kinds beyond the rules: text, script, boolean, integer, git (a URL, or {url, ref}), values (a pipeline's
    parameters), arguments (a custom action's). default is the model's own.
    """

    name: str
    kind: str
    help: str
    required: bool = False
    default: Default = None
    many: bool = False
    choices: tuple[str, ...] = ()


class Action(Value, frozen=True):
    """A row. place and network are the words that people read; reads and writes name what it touches.

    short is the field that the short form fills, if there is one; one_of: exactly one of these fields is given;
    together: (field, what it needs beside it). reads and writes are parts of TOUCHABLE. open: `network` and `secrets`
    are allowed on the step.
    """

    name: str
    model: type[AnyAction]
    help: str
    form: str
    place: str
    network: str
    fields: tuple[Field, ...]
    short: str = ""
    one_of: tuple[str, ...] = ()
    together: tuple[tuple[str, str], ...] = ()
    reads: tuple[str, ...] = ()
    writes: tuple[str, ...] = ()
    open: bool = False


TOUCHABLE = ("tree", "workspace", "artifacts")
CONTRACTOR, HOST_TREE, SYSTREE = "contractor", "bwrap on host tree", "bwrap on systree"

_TO = Field("to", "path", "folder in the workspace that receives it", default=".")

_ROWS = (
    Action(
        "empty-workspace",
        model.EmptyWorkspace,
        "remove what is in the workspace",
        "empty-workspace:",
        CONTRACTOR,
        "no",
        (Field("keep", "glob", "what stays", default=(), many=True),),
        writes=("workspace",),
    ),
    Action(
        "create-artifact",
        model.CreateArtifact,
        "make an artifact of files in the workspace",
        "create-artifact: NAME",
        CONTRACTOR,
        "no",
        (
            Field("name", "artifact", "its name, given once a build", required=True),
            Field("files", "glob", "globs in the workspace; each must find something", default=("**",), many=True),
            Field("format", "text", "how it is packed", default="tar.zst", choices=model.ARTIFACT_FORMATS),
            Field("epoch", "integer", "time of its files, seconds since 1970; default: the build's SOURCE_DATE_EPOCH"),
        ),
        short="name",
        reads=("workspace",),
        writes=("artifacts",),
    ),
    Action(
        "unpack-artifact",
        model.UnpackArtifact,
        "unpack an artifact into the workspace",
        "unpack-artifact: NAME",
        CONTRACTOR,
        "no",
        (
            Field("name", "artifact-ref", "an artifact of an earlier step", default=""),
            Field("digest", "sha256", "an artifact of the store", default=""),
            Field("base", "name", "the artifact of a base, built when it is not there", default=""),
            _TO,
            Field(
                "archive", "path", "file that receives the archive itself, as tar, instead of its content", default=""
            ),
        ),
        short="name",
        one_of=("name", "digest", "base"),
        reads=("artifacts", "workspace"),
        writes=("workspace",),
    ),
    Action(
        "create-systree",
        model.CreateSystree,
        "make the system tree that later steps run on",
        "create-systree: NAME",
        CONTRACTOR,
        "no",
        (
            Field("artifact", "artifact-ref", "name or digest of an artifact that holds a system", default=""),
            Field("base", "name", "a base (`contractor bases` lists them), built when it is not there", default=""),
        ),
        short="artifact",
        one_of=("artifact", "base"),
        reads=("artifacts",),
        writes=("tree",),
    ),
    Action(
        "debootstrap",
        model.Debootstrap,
        "make a Debian system in the workspace",
        "debootstrap: bookworm",
        HOST_TREE,
        "mirrors only",
        (
            Field("suite", "suite", "Debian suite", required=True),
            Field("mirror", "url", "where packages come from; default: the public Debian mirror", default=""),
            Field("variant", "text", "how much is installed", default="minbase", choices=("minbase", "buildd", "-")),
            Field("include", "package", "further packages", default=(), many=True),
            Field("arch", "arch", "Debian architecture; default: the build's", default=""),
        ),
        short="suite",
        reads=("workspace",),
        writes=("workspace",),
    ),
    Action(
        "apt",
        model.Apt,
        "install packages in the system tree",
        "apt: [gcc, make]",
        SYSTREE,
        "mirrors only",
        (
            Field("packages", "package", "what to install, NAME or NAME=VERSION", required=True, many=True),
            Field("update", "boolean", "read the package lists first", default=True),
            Field("recommends", "boolean", "install what they recommend too", default=False),
        ),
        short="packages",
        reads=("tree",),
        writes=("tree",),
    ),
    Action(
        "shell",
        model.Shell,
        "run a script in the workspace, without network",
        'shell: "..."',
        SYSTREE,
        "none",
        (Field("script", "script", "run with set -eu (and pipefail under bash)", required=True),),
        short="script",
        reads=("tree", "workspace"),
        writes=("workspace",),
        open=True,
    ),
    Action(
        "source",
        model.Source,
        "put source into the workspace",
        "source: {...}",
        "contractor (git in bwrap on host tree)",
        "declared host only",
        (
            Field(
                "path",
                "path",
                "a folder beside the specification; of a git checkout what git does not ignore",
                default="",
            ),
            Field(
                "git",
                "git",
                "URL of a repository, or the path of one (or a bundle) beside contractor.yaml",
                default="",
            ),
            Field("ref", "ref", "its branch, tag or commit", default=""),
            Field("url", "url", "an archive or file", default=""),
            Field("sha256", "sha256", "its digest", default=""),
            _TO,
        ),
        one_of=("path", "git", "url"),
        together=(("git", "ref"), ("url", "sha256")),
        reads=("workspace",),
        writes=("workspace",),
    ),
    Action(
        "fetch",
        model.Fetch,
        "download a file into the workspace",
        "fetch: {url, sha256, to}",
        CONTRACTOR,
        "that URL only",
        (
            Field("url", "url", "http or https", required=True),
            Field("sha256", "sha256", "what it must be; anything else is refused", required=True),
            Field("to", "path", "file in the workspace; default: the last part of the URL", default=""),
        ),
        reads=("workspace",),
        writes=("workspace",),
    ),
    Action(
        "pipeline",
        model.Pipeline,
        "run the steps of a pipeline",
        "pipeline: NAME",
        "-",
        "-",
        (
            Field("name", "name", "a name under `pipelines:`", required=True),
            Field("parameters", "values", "values of its parameters", default=()),
        ),
        short="name",
    ),
    Action(
        "custom",
        model.Custom,
        "run an executable of the project's .contractor/actions/",
        "custom: NAME",
        SYSTREE,
        "none",
        (
            Field("name", "program", "a file in .contractor/actions/", required=True),
            Field("args", "arguments", "given as environment and as JSON on stdin", default=()),
        ),
        short="name",
        reads=("tree", "workspace"),
        writes=("workspace",),
        open=True,
    ),
)

ACTIONS: dict[str, Action] = {row.name: row for row in _ROWS}


def kind_of(action: AnyAction) -> str:
    """The table's name of an action: `create-artifact` of a CreateArtifact."""
    return str(action.__struct_config__.tag)


def row_of(action: AnyAction) -> Action:
    """The table's row of an action."""
    return ACTIONS[kind_of(action)]
