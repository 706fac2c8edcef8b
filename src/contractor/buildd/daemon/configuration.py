"""The daemon's configuration: launchpad-buildd's ini file, our own options, or both; the options win.

[builder] (once [slave]): architecturetag, filecache, bindhost, bindport, sharepath, proxyport, ntphost.
[translationtemplatesmanager]: resultarchive. [proxy]: apt, snapstore, clamavdatabase. Other keys are other programs'.
"""

from __future__ import annotations

import configparser
from collections.abc import Mapping
from typing import Any

from contractor.buildd.model import ABORT_TIMEOUT
from contractor.core.errors import Rejected
from contractor.core.values import Value

PORT, PROXY_PORT = 8221, 8222


class Configuration(Value, frozen=True):
    """cache: the file cache's folder. store: Contractor's. host, port: where to listen; port 0 is any free one.
    share_path: an installation's folder whose programs of bin/ are used where they exist, or "". log: the daemon's own
    log, or "" for standard error. abort_timeout: seconds.
    settings: for workers: resultarchive, apt, snapstore, clamavdatabase, proxyport, ntphost.
    """

    architecture: str
    cache: str
    store: str
    host: str = "localhost"
    port: int = PORT
    share_path: str = ""
    log: str = ""
    abort_timeout: float = ABORT_TIMEOUT
    settings: dict[str, str] = {}


_DEFAULTS = {"resultarchive": "translation-templates.tar.gz", "proxyport": str(PROXY_PORT)}
_SETTINGS = {  # section, key
    "resultarchive": ("translationtemplatesmanager", "resultarchive"),
    "apt": ("proxy", "apt"),
    "snapstore": ("proxy", "snapstore"),
    "clamavdatabase": ("proxy", "clamavdatabase"),
    "proxyport": ("builder", "proxyport"),
    "ntphost": ("builder", "ntphost"),
}
_OURS = {"architecturetag", "filecache", "bindhost", "bindport", "sharepath", *(key for _, key in _SETTINGS.values())}


def load(path: str, options: Mapping[str, Any], *, architecture: str, store: str) -> Configuration:
    """path: an ini file, or "". options: fields of Configuration that were given as options; None is not given.

    Raises Rejected with all that is wrong.
    """
    sections = _read(path) if path else {}
    builder = sections.get("builder") or sections.get("slave") or {}
    sections["builder"] = builder
    problems: list[str] = []
    if path and not builder:
        problems.append("there is no section [builder]")
    settings = dict(_DEFAULTS)
    for name, (section, key) in _SETTINGS.items():
        if value := sections.get(section, {}).get(key, ""):
            settings[name] = value
    found: dict[str, Any] = {
        "architecture": builder.get("architecturetag") or architecture,
        "cache": builder.get("filecache", ""),
        "store": store,
        "host": builder.get("bindhost") or "localhost",
        "port": builder.get("bindport") or str(PORT),
        "share_path": builder.get("sharepath", ""),
    }
    given = {name: value for name, value in options.items() if value is not None}
    found |= given
    settings |= given.get("settings", {})
    found["settings"] = settings
    found["port"] = _port(found["port"], "bindport", problems)
    settings["proxyport"] = str(_port(settings["proxyport"], "proxyport", problems))
    if not found["cache"]:
        problems.append("no folder for the file cache is given")
    if problems:
        raise Rejected(
            f"{path or 'the configuration'} is wrong", details=tuple(problems), hint="contractor buildd serve --help"
        )
    return Configuration(**found)


def _port(value: object, name: str, problems: list[str]) -> int:
    text = str(value).strip()
    if text.isascii() and text.isdigit() and int(text) < 65536:
        return int(text)
    problems.append(f"{name}: {text[:40]!r} is not a port")
    return 0


def _read(path: str) -> dict[str, dict[str, str]]:
    parser = configparser.ConfigParser(strict=False)
    try:
        with open(path, encoding="utf-8") as file:
            parser.read_file(file)
        return {
            section.lower(): {key: parser.get(section, key).strip() for key in _OURS & {*parser.options(section)}}
            for section in parser.sections()
        }
    except OSError as error:
        raise Rejected(
            f"{path} cannot be read: {error.strerror}", hint="name the configuration with --config, or in BUILDD_CONFIG"
        ) from error
    except (configparser.Error, UnicodeDecodeError) as error:
        reason = " ".join(str(error).split())
        raise Rejected(f"{path} is no configuration: {reason}", hint="it is an ini file with a [builder]") from error
