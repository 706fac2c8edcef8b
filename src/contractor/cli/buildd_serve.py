"""contractor buildd serve: be a builder."""

from __future__ import annotations

import argparse

from contractor.core.errors import Unavailable


def run(_args: argparse.Namespace) -> int:
    raise Unavailable("this contractor has no builder in it yet")
