"""The command line: finds the command, runs it, and makes text and an exit code of its errors.

Nothing is imported before it is needed: `contractor --version` must not pay for the rest.
"""

from __future__ import annotations

import gc
import os
import sys

from contractor import __version__

# name: what it does; each is a module of contractor.cli.commands (with "_" for "-")
COMMANDS = {
    "build": "run a specification's steps in a sealed sandbox",
    "plan": "show what would run, where, with which network, and why",
    "why": "why a step would run, or ran: what changed in its inputs",
    "verify": "build again from the record, without network, and compare",
    "compare": "are the outputs of two builds, or of one and a file of sums, the same?",
    "lock": "write down which bytes the packages and references are",
    "capsule": "a locked specification with all its inputs as one file",
    "init": "write a first contractor.yaml for the project here",
    "shell": "a shell in the sandbox of a step, as it failed or before it",
    "retry": "a step again, several times: deterministic, flaky, or the machine?",
    "list": "the builds, newest first",
    "show": "a build: steps, times, artifacts, inputs",
    "diff": "what differs between two builds, from inputs to outputs",
    "log": "what the steps of a build wrote",
    "report": "a build as one HTML file, to read, send and print",
    "artifacts": "list, get or verify artifacts",
    "provenance": "what signed provenance says, and whether it holds",
    "audit": "the store's audit journal: show, verify, export",
    "keys": "the keys that sign, and those that are trusted",
    "buildd": "a builder for Launchpad's protocol, and a client for any",
    "bases": "the system trees that a specification can start from",
    "actions": "the table of actions: place, network, fields",
    "schema": "the JSON Schema of contractor.yaml, for editors",
    "doctor": "what this machine can isolate, and how to get what is missing",
    "pin": "keep builds with all that they need, whatever limits gc is given",
    "gc": "remove what is no longer needed from the store, and explain what stays",
    "clean": "remove kept workspaces and builds by name",
    "completion": "the completion of this command line for bash, zsh or fish",
}


def run() -> None:
    """The entry point."""
    gc.disable()  # a command lives for seconds, and what it makes has few cycles; collecting costs start-up 5 %
    code = main(sys.argv[1:])
    try:
        sys.stdout.flush()
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), 1)
    os._exit(code)  # without the interpreter's tear-down, which costs some milliseconds and does nothing here


def main(argv: list[str]) -> int:
    """Run a command line and return its exit code."""
    if argv[:1] in (["--version"], ["-V"]):
        sys.stdout.write(f"contractor {__version__}\n")
        return 0
    if not argv or argv[0] in ("-h", "--help", "help"):
        sys.stdout.write(usage())
        return 0 if argv else 2
    if argv[0] == "__complete":  # asked by the shells' completion, at every press of a key
        from contractor.cli.complete import complete

        return complete.run(argv[1:])
    if argv[0] not in COMMANDS:
        return _unknown(argv[0])
    from contractor.core.errors import EXIT_CODES, ContractorError, Outcome

    try:
        from importlib import import_module

        module = import_module(f"contractor.cli.commands.{argv[0].replace('-', '_')}")
        code: int = module.run(argv[1:])
    except ContractorError as error:
        from contractor.cli import config
        from contractor.cli.text import render_error

        sys.stdout.flush()
        sys.stderr.write(render_error(error, colour=config.load().colour))
        return error.exit_code
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), 1)  # whoever read our output has enough of it
        return 0
    except OSError as error:
        from contractor.cli.text import render_error
        from contractor.core.errors import from_os_error

        sys.stderr.write(render_error(from_os_error(error)))
        return EXIT_CODES[Outcome.BROKEN]
    except KeyboardInterrupt:
        return EXIT_CODES[Outcome.ABORTED]
    return code


def usage() -> str:
    width = max(map(len, COMMANDS))
    lines = [f"  {name:<{width}}  {text}" for name, text in COMMANDS.items()]
    return (
        "contractor: build software in sealed, reproducible sandboxes\n\n"
        "usage: contractor COMMAND [OPTIONS]\n\n" + "\n".join(lines) + "\n\n"
        "`contractor COMMAND --help` tells more; start with `contractor init`, then `contractor build`.\n"
    )


def _unknown(name: str) -> int:
    import difflib

    near = difflib.get_close_matches(name, COMMANDS, 1)
    hint = f"hint: did you mean `contractor {near[0]}`?" if near else "hint: `contractor --help` lists the commands"
    sys.stderr.write(f"error: there is no command {name!r}\n{hint}\n")
    return 2
