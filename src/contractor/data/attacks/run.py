# ruff: noqa: TID251, T201
# mypy: disable-error-code="import-not-found,no-any-return"
"""Runs one attack inside a sandbox: run.py MODULE NAME BAITS. The last line says HELD or ESCAPED and why.

BAITS is JSON in hex, so that a secret in it does not stand in this process's own command line.
"""

from __future__ import annotations

import errno
import importlib
import json
import os
import signal
import sys

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))

from lib import Escaped


def attempt(module: str, name: str, baits: dict[str, str]) -> str:
    try:
        done = getattr(importlib.import_module(module), name)(baits)
    except Escaped as how:
        return f"ESCAPED: {how}"
    except OSError as error:
        return f"HELD: {errno.errorcode.get(error.errno or 0, '?')} {error.filename or ''}".rstrip()
    return f"HELD: {done}"


def main() -> None:
    module, name, packed = sys.argv[1:]
    baits = json.loads(bytes.fromhex(packed))
    if module == "limits":
        print(attempt(module, name, baits), flush=True)
        return
    pid = os.fork()  # the filter may kill the attack itself
    if pid == 0:
        print(attempt(module, name, baits), flush=True)
        os._exit(0)
    code = os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])
    if code:
        print(f"HELD: killed by {signal.Signals(-code).name}" if code < 0 else f"ERROR: the attack ended with {code}")


main()
