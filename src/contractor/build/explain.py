"""What differs inside two artifacts, as diffoscope sees it; in a sandbox, for it opens whatever it is given.

https://diffoscope.org/ (Debian: diffoscope or diffoscope-minimal)
"""

from __future__ import annotations

import os
import shutil

from contractor.build.aside import run_aside
from contractor.build.inside.access import Opened
from contractor.sandbox import process
from contractor.sandbox.local import LocalSandbox
from contractor.store.layout import Store, in_use
from contractor.store.remove import remove_tree
from contractor.store.results import artifact_path

_SECONDS = 300.0
_LINES = 2000


def explain(store: Store, sandbox: LocalSandbox, before: str, after: str) -> str:
    """The differences of two artifacts (digests) as text; "" when diffoscope is not installed."""
    program = process.which("diffoscope")
    if program is None:
        return ""
    session = f"explain-{os.getpid()}-{os.urandom(4).hex()}"
    with in_use(store, session):
        folder = store.path("work", session, "shown")
        os.mkdir(folder, 0o755)
        try:
            for name, digest in (("first", before), ("second", after)):
                shutil.copyfile(artifact_path(store, digest), f"{folder}/{name}.tar.zst")
                os.chmod(f"{folder}/{name}.tar.zst", 0o644)  # a step's user reads it
            argv = [program, "--no-progress", f"--max-report-size={4 << 20}", f"--max-diff-block-lines={_LINES}"]
            argv += ["--text", "-", "/run/shown/first.tar.zst", "/run/shown/second.tar.zst"]
            exit_, output = run_aside(argv, store, sandbox, shown=folder, seconds=_SECONDS)
        finally:
            with Opened(os.path.dirname(folder)) as above:
                remove_tree(above.number, "shown")
    text = output.decode(errors="replace")
    return text if exit_.code in (0, 1) else f"diffoscope ended with {exit_.code}:\n{text}"
