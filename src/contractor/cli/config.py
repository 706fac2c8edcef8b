"""What the surroundings say, read once: the only module that looks at the environment."""

from __future__ import annotations

import os
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Literal

from contractor.core.values import Value


class Settings(Value, frozen=True):
    """store: the store's folder. bases: the user's own bases. colour, live: what the terminal (stderr) can do.
    ci: github, gitlab or empty. proxy: a proxy that the host itself needs for http. terminal: its kind (TERM).
    keys: the folder of keys and trust file. heads: where heads of audit journals are kept besides the stores. Both are
    empty for a user without a home. builder: launchpad-buildd's ini file, when one is named."""

    store: str
    bases: str
    colour: bool
    live: bool
    ci: Literal["", "github", "gitlab"]
    proxy: str
    terminal: str
    keys: str = ""
    heads: str = ""
    builder: str = ""


def load(environ: Mapping[str, str] | None = None) -> Settings:
    """CONTRACTOR_STORE, XDG_DATA_HOME, _CONFIG_HOME and _STATE_HOME, HOME, NO_COLOR, TERM, CI's marks, http_proxy,
    BUILDD_CONFIG."""
    env = os.environ if environ is None else environ
    home = env.get("HOME") or "/nonexistent"
    data = env.get("XDG_DATA_HOME") or f"{home}/.local/share"
    config = env.get("XDG_CONFIG_HOME") or f"{home}/.config"
    state = env.get("XDG_STATE_HOME") or f"{home}/.local/state"
    ci: Literal["", "github", "gitlab"] = ""
    if env.get("GITHUB_ACTIONS"):
        ci = "github"
    elif env.get("GITLAB_CI"):
        ci = "gitlab"
    terminal = sys.stderr.isatty() and env.get("TERM", "dumb") != "dumb"
    return Settings(
        store=env.get("CONTRACTOR_STORE") or f"{data}/contractor",
        bases=str(Path(config, "contractor", "bases")),
        colour=terminal and not env.get("NO_COLOR"),
        live=terminal and not ci,
        ci=ci,
        proxy=env.get("http_proxy") or "",
        terminal=env.get("TERM") or "dumb",
        keys=str(Path(config, "contractor")) if env.get("HOME") or env.get("XDG_CONFIG_HOME") else "",
        heads=str(Path(state, "contractor", "heads")) if env.get("HOME") or env.get("XDG_STATE_HOME") else "",
        builder=env.get("BUILDD_CONFIG") or env.get("BUILDD_SLAVE_CONFIG") or "",
    )
