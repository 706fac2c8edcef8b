"""What gc did and what it keeps, as text."""

from __future__ import annotations

import re

from contractor.cli.text import human_size, sanitize, table
from contractor.core.words import count
from contractor.store.gc import Report
from contractor.store.gc_account import Row

_MOST_REMOVED = 30
_MOST_BUILDS = 10
_KINDS = {
    "layers": "layers of system trees",
    "states": "states of workspaces",
    "blobs": "artifacts, sources, downloads",
    "captured": "what steps with network fetched",
    "records": "records and logs",
    "workspaces": "workspaces kept on request",
}
_KEY = re.compile(r"([0-9a-f]{16})[0-9a-f]{48}")


def lines(report: Report, *, dry_run: bool, everything: bool) -> list[str]:
    """What went and why; what stays: by kind, and by build with the reason. everything: without leaving out rows."""
    found = _removed(report, dry_run=dry_run, everything=everything)
    found += ["", f"kept {human_size(report.kept)}, {count(report.kept_results, 'result')}"]
    kinds = [
        (f"  {words}", str(report.account.kinds[kind].count), human_size(report.account.kinds[kind].size))
        for kind, words in _KINDS.items()
        if report.account.kinds[kind].count
    ]
    found += table(kinds, right=(1, 2))
    found += _builds(report.account.rows, everything=everything)
    if report.live:
        found += ["", f"running now, left alone: {', '.join(map(sanitize, report.live))}"]
    if report.workspaces:
        found += ["", "`contractor clean --kept` removes the workspaces kept on request"]
    return found


def _removed(report: Report, *, dry_run: bool, everything: bool) -> list[str]:
    shown = sorted(report.removed, key=lambda item: -item.size)
    most = len(shown) if everything else _MOST_REMOVED
    rows = [(human_size(item.size), sanitize(short(item.path)), sanitize(item.why)) for item in shown[:most]]
    found = table(rows, right=(0,))
    if len(shown) > most:
        found.append(f"... and {len(shown) - most} smaller ones (--json tells all)")
    what = [
        count(number, noun)
        for number, noun in (
            (report.results, "result"),
            (report.failed_workspaces, "failed step's workspace"),
            (report.records, "record"),
        )
        if number
    ]
    verb = "would free" if dry_run else "freed"
    found.append(f"{verb} {human_size(report.freed)} in {', '.join([count(len(shown), 'item'), *what])}")
    return found


def short(path: str) -> str:
    """A path with its key or digest cut to 16 digits."""
    return _KEY.sub(r"\1…", path)


def _builds(rows: tuple[Row, ...], *, everything: bool) -> list[str]:
    """The newest, and older ones that hold something by name: pinned, running, with a workspace."""
    shown = [row for place, row in enumerate(rows) if everything or place < _MOST_BUILDS or row.pinned or not row.build]
    if not shown:
        return []
    cells = [("build", "needs", "would free", "why it stays")]
    for row in shown:
        why = "; ".join(map(sanitize, row.why))
        gone = "" if not row.gone else f"; gone: {sanitize(', '.join(row.gone))}" if everything else "; not complete"
        cells.append((sanitize(row.build) or "-", human_size(row.size), human_size(row.alone), why + gone))
    found = ["", *table(cells, right=(1, 2))]
    if len(rows) > len(shown):
        found.append(f"... and {count(len(rows) - len(shown), 'older build')} (`contractor gc --explain` tells all)")
    return found
