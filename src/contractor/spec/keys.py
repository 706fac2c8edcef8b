"""The words of a specification beside the actions: keys of the top, of a step, of limits, parameters and pipelines.

The loader refuses every other key, and the JSON Schema is made from these tables; so they cannot drift apart.
"""

from __future__ import annotations

LANGUAGE = "1"  # what `contractor:` says

TOP = {
    "contractor": "version of this language: 1",
    "name": "what is built: lower-case letters, digits and . _ + -",
    "summary": "one line for people",
    "parameters": "what `-p NAME=VALUE` can set; variables of every shell step (not those for the matrix)",
    "matrix": "one build for each combination of these values; ${LIST} stands for the items of a list parameter",
    "source": "what the workspace holds first",
    "limits": "what a step or the build may use",
    "epoch": "SOURCE_DATE_EPOCH: seconds since 1970, or ${PARAMETER}; default: the commit's time, or the newest file's",
    "env": "variables of every shell and custom step",
    "steps": "what is done, in this order",
    "pipelines": "steps under a name, for `pipeline: NAME`",
    "diagnostics": "globs in the workspace; kept when a step fails",
}
STEP = {
    "name": "what people see; default: made from the action",
    "if": "NAME: VALUE or NAME: [VALUES] of parameters or the matrix; the step runs when all hold",
    "env": "variables of this step",
    "timeout": "how long the step may take, such as 30m; the same as limits: {time: 30m}",
    "limits": "this step's own limits",
    "diagnostics": "further globs in the workspace; kept when this step fails",
    "network": "hosts that the step may reach through the recording proxy: HOST, HOST:PORT or *.DOMAIN",
    "secrets": "names of secrets; readable as /run/secrets/NAME in this step alone",
    "exclusive": "NAME: of all running builds with this store, one step with this NAME runs at a time; others wait",
}
OPEN_STEP = ("network", "secrets")  # only where the action's row says `open`
PIPELINE_STEP = ("name", "if", "env")  # the rest belongs to the pipeline's own steps
PIPELINE = {
    "parameters": "as at the top; they are all that its steps know beside the matrix",
    "steps": "as at the top",
    "file": "a file beside the specification that holds parameters and steps",
}
PIPELINE_FILE = {"contractor": TOP["contractor"], "summary": TOP["summary"], **PIPELINE}
PARAMETER = {
    "type": "string, list, integer or boolean",
    "default": "its value when none is given; without one it must be given",
    "help": "one line for people",
    "choices": "the only values it may have",
    "empty": "whether its value may be empty; default: true where it has a default, else false",
}
PARAMETER_TYPES = ("string", "list", "integer", "boolean")

# key -> (field of model.Limits, kind, may a step set it, help)
LIMITS: dict[str, tuple[str, str, bool, str]] = {
    "time": ("time", "duration", True, "of one step; 0: no limit"),
    "memory": ("memory", "size", True, "of one step; 0: no limit"),
    "disk": ("disk", "size", False, "of the build: workspace and layers together"),
    "processes": ("processes", "integer", True, "of one step"),
    "log": ("log", "size", False, "of the build"),
    "file-size": ("file_size", "size", True, "of one file"),
    "files": ("files", "integer", False, "of the build: how many"),
    "cpus": ("cpus", "integer", True, "of one step: how many it sees and uses, and part of its key; 0: the machine's"),
}
UNLIMITED = ("time", "memory", "cpus")  # where 0 means no limit

# What people know from other tools -> what it is called here
ALIASES = {
    "run": "shell",
    "script": "shell",
    "command": "shell",
    "commands": "shell",
    "packages": "apt",
    "install": "apt",
    "uses": "pipeline",
    "download": "fetch",
    "checkout": "source",
    "git": "source",
    "base": "create-systree",
    "image": "create-systree",
    "artifact": "create-artifact",
    "artifacts": "create-artifact",
    "environment": "env",
    "when": "if",
    "title": "name",
    "description": "summary",
    "jobs": "steps",
    "version": "contractor",
}
