"""For all tests: Ctrl-C means what it means at a terminal, and no property has a deadline on a noisy machine.

Properties are tried with the same examples every time; EXPLORE=1 looks for others.
"""

from __future__ import annotations

import os
import signal

from hypothesis import settings

signal.signal(signal.SIGINT, signal.default_int_handler)  # whoever started the tests may ignore it
settings.register_profile("ours", deadline=None, derandomize="EXPLORE" not in os.environ)
settings.load_profile("ours")
