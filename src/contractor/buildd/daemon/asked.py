"""What build() is asked for: checked in the protocol's order, and made a worker's job."""

from __future__ import annotations

from typing import Any

import msgspec

from contractor.buildd.arguments import Arguments
from contractor.buildd.builds import TYPES
from contractor.buildd.daemon.cache import Cache, is_name
from contractor.buildd.daemon.configuration import Configuration
from contractor.buildd.daemon.present import NO_URL
from contractor.buildd.daemon.states import Current
from contractor.buildd.model import Job
from contractor.core.errors import Rejected

_INFO = f"***** INFO *****\n{NO_URL}\n*****"


def missing(cache: Cache, image: Any, filemap: Any) -> str:
    """What a client is told of a file that is not in the cache; empty when all are. Rejected: names that are none."""
    if not isinstance(image, str):
        raise Rejected("the image's name is no string")
    if not cache.has(image):
        return f"CHROOTSUM -> {image}\n{_INFO}"
    if not isinstance(filemap, dict):
        raise Rejected("the filemap is no struct")
    for name in filemap.values():
        if not isinstance(name, str):
            raise Rejected("the filemap has a name that is no string")
        if not cache.has(name):
            return f"FILESUM -> {name}\n{_INFO}"
    return ""


def require_id(build_id: Any) -> None:
    if not is_name(build_id):
        raise Rejected("the build's id is empty, or cannot be part of a path")


def require_names(filemap: dict[Any, Any]) -> None:
    wrong = [name for name in filemap if not is_name(name)]
    if wrong:
        raise Rejected(f"not the name of a file in a build: {str(wrong[0])[:80]!r}")


def proxy_info(tag: str, given: dict[str, Any]) -> dict[str, Any] | None:
    """What proxy_info() answers while the build is there; None for types that have no answer."""
    if not TYPES[tag].proxy_info:
        return None
    return {name: given.get(name) for name in ("use_fetch_service", "revocation_endpoint")}


def make_job(
    taken: Current,
    configuration: Configuration,
    cache: Cache,
    image: str,
    filemap: dict[str, str],
    arguments: Arguments,
) -> Job:
    """Its descriptors are set where the worker is started."""
    return Job(
        id=taken.build_id,
        tag=taken.tag,
        image=cache.path(image),
        image_name=image,
        files={name: cache.path(file) for name, file in filemap.items()},
        arguments=msgspec.to_builtins(arguments),
        cache=cache.folder,
        store=configuration.store,
        log=-1,
        events=-1,
        architecture=configuration.architecture,
        abort_timeout=configuration.abort_timeout,
        share_path=configuration.share_path,
        settings=configuration.settings,
    )
