"""For all tests: Ctrl-C means what it means at a terminal, and no property has a deadline on a noisy machine."""

from __future__ import annotations

import signal

from hypothesis import settings

signal.signal(signal.SIGINT, signal.default_int_handler)  # whoever started the tests may ignore it
settings.register_profile("no deadline", deadline=None)
settings.load_profile("no deadline")
