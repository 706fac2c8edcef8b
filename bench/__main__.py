"""python -m bench [NAME...]: measure, print, and write docs/benchmarks.md when everything was measured."""

from __future__ import annotations

import platform
import subprocess
import sys
import time
from pathlib import Path

from bench import figures, figures_buildd, figures_debug, figures_network, figures_release
from bench.figures import Figure
from bench.machine import Machine

ALL = {**figures.ALL, **figures_debug.ALL, **figures_release.ALL, **figures_network.ALL, **figures_buildd.ALL}
PAGE = Path(__file__).parent.parent / "docs" / "benchmarks.md"


def main(names: list[str]) -> int:
    machine = Machine()
    found: list[Figure] = []
    try:
        for name in names or list(ALL):
            for figure in ALL[name](machine):
                found.append(figure)
                mark = "ok  " if figure.holds else "OVER"
                sys.stdout.write(f"{mark} {figure.what:45} {figure.measured:32} at most {figure.limit}\n")
                sys.stdout.flush()
    except subprocess.CalledProcessError as error:
        sys.stderr.write(f"{error}\n{(error.stderr or b'').decode(errors='replace')[-3000:]}\n")
        return 1
    finally:
        machine.remove()
    if not names:
        PAGE.write_text(page(found))
    return 0 if all(figure.holds for figure in found) else 1


def page(found: list[Figure]) -> str:
    rows = [f"| {f.what} | {f.limit} | {f.measured} | {'yes' if f.holds else '**no**'} |" for f in found]
    where = f"{platform.system()} {platform.release()}, {time.strftime('%Y-%m-%d')}"
    extra = Path(__file__).with_name("states.md")
    return (
        "# Benchmarks\n\n"
        f"Written by `make bench` ({where}; two noisy cores, an ordinary user). Medians; ours and theirs in turns in\n"
        "one run: read the ratios.\n\n"
        "| figure | at most | measured | holds |\n|---|---|---|---|\n"
        + "\n".join(rows)
        + "\n"
        + (f"\n{extra.read_text()}" if extra.exists() else "")
    )


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
