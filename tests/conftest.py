"""For all tests: Ctrl-C means what it means at a terminal, also where whoever started the tests ignores it."""

from __future__ import annotations

import signal

signal.signal(signal.SIGINT, signal.default_int_handler)
