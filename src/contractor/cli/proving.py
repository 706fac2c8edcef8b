"""Keys, journal and provenance as commands use them: opened where the settings say."""

from __future__ import annotations

from collections.abc import Sequence

from contractor.cli.config import Settings
from contractor.cli.output import put
from contractor.core.events import ArtifactInfo
from contractor.proof.keyring import Keyring
from contractor.proof.witness import Witness
from contractor.store.layout import Store


def ring_of(settings: Settings, store: str | None = None) -> Keyring:
    """The user's keys; of a user without a home, those of the store (by default the settings')."""
    return Keyring(settings.keys or f"{store or settings.store}/config")


def witness_of(store: Store, settings: Settings) -> Witness:
    """Nothing is read or made before the first entry."""
    return Witness(store, ring_of(settings, store.root), settings.heads)


def hand_out(store: Store, settings: Settings, build: str, copies: Sequence[ArtifactInfo]) -> None:
    """Write the provenance of artifacts beside the copies that have just been made of them."""
    from contractor.proof import provenance

    ring = ring_of(settings, store.root)
    put(path for copy in copies if (path := provenance.hand_out(store, build, copy, ring)))
