"""An image as files: the layers' tars, the configuration, manifest.json as `docker save` writes it, and digests.json.

Pure. Launchpad reads digests.json as a list with, for each image, a map diff_id -> {digest, source, layer_id}; the
layer's bytes are in LAYER_ID.tar.gz. layer_id is a layer's chain id: https://github.com/opencontainers/image-spec
"""

from __future__ import annotations

import hashlib
import json
import time
from collections.abc import Sequence
from typing import Any

from contractor.buildd.builds.dockerfile_model import Config
from contractor.core.values import Value


class Layer(Value, frozen=True):
    """diff_id: of the tar; digest: of the gzipped tar; both with sha256: in front. path: where its bytes are."""

    diff_id: str
    digest: str
    path: str


class Line(Value, frozen=True):
    """A line of the history. layer: whether it has one."""

    text: str
    layer: bool


def layer_ids(layers: Sequence[Layer]) -> list[str]:
    """The chain id of each layer, which names it together with all that are below it."""
    found: list[str] = []
    for layer in layers:
        chain = f"sha256:{found[-1]} {layer.diff_id}".encode() if found else b""
        found.append(hashlib.sha256(chain).hexdigest() if chain else layer.diff_id.removeprefix("sha256:"))
    return found


def configuration(
    config: Config, layers: Sequence[Layer], history: Sequence[Line], architecture: str, epoch: int
) -> bytes:
    """The image's configuration. architecture: Docker's name of it."""
    created = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(epoch))
    lines: list[dict[str, Any]] = [
        {"created": created, "created_by": line.text, **({} if line.layer else {"empty_layer": True})}
        for line in history
    ]
    return _json(
        {
            "architecture": architecture,
            **({"author": config.author} if config.author else {}),
            "config": config.json(),
            "created": created,
            "history": lines,
            "os": "linux",
            "rootfs": {"type": "layers", "diff_ids": [layer.diff_id for layer in layers]},
        }
    )


def files(name: str, config: bytes, layers: Sequence[Layer]) -> dict[str, bytes]:
    """manifest.json, digests.json and the configuration, which is named by its digest."""
    config_name = f"{hashlib.sha256(config).hexdigest()}.json"
    ids = layer_ids(layers)
    manifest = [
        {"Config": config_name, "RepoTags": [f"{name}:latest"], "Layers": [f"{layer_id}/layer.tar" for layer_id in ids]}
    ]
    digests = [
        {
            layer.diff_id: {"digest": layer.digest, "source": None, "layer_id": layer_id}
            for layer, layer_id in zip(layers, ids, strict=True)
        }
    ]
    return {config_name: config, "manifest.json": _json(manifest), "digests.json": _json(digests)}


def _json(value: Any) -> bytes:
    return json.dumps(value, sort_keys=True, separators=(",", ":")).encode()
