"""Keys, journal and provenance as commands use them: opened where the settings say."""

from __future__ import annotations

from contractor.cli.config import Settings
from contractor.proof.keyring import Keyring
from contractor.proof.witness import Witness
from contractor.store.layout import Store


def witness_of(store: Store, settings: Settings) -> Witness:
    """Nothing is read or made before the first entry."""
    return Witness(store, Keyring(settings.keys), settings.heads)
