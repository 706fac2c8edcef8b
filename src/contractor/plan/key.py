"""The action key: the sha256 of everything that may change what an action makes, and of nothing else.

    every action     format (KEY_FORMAT), kind, arch, ids (only when files can have no owners)
    its own          the fields of the action; for source and custom the digest or commit of what they name
    what it reads    workspace: the key of the state before; tree: the key of its top layer; artifact: key or digest
    what it sees     env (shell, custom: the whole environment), hosts, secret names; epoch where it makes files; cpus
                     where the specification says how many (limits: {cpus: N})

Not in the key: the step's name (but steps see it as CONTRACTOR_STEP), other limits, diagnostics, where the store is,
who builds, when. Keys are chained, so a change reaches exactly the steps after it that read what it wrote.
"""

from __future__ import annotations

from typing import Any

from contractor.core import digest

KEY_FORMAT = 1  # raise it when the same inputs would be built differently by this version


def action_key(inputs: dict[str, Any]) -> str:
    """inputs: field -> JSON value, as listed above."""
    return digest.of_value({"format": KEY_FORMAT, **inputs})
