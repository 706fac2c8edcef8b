"""Pack and unpack against GNU tar and zstd: python bench/bench_archive.py DIRECTORY [ROUNDS] [LEVEL...]

Makes 1 GB in 50,000 files in DIRECTORY (once), then runs ours and theirs in turns and prints medians and their ratio.
"""

from __future__ import annotations

import os
import random
import statistics
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

from contractor.store.compress import ZstdSink, open_archive
from contractor.store.pack import PackOptions, pack
from contractor.store.unpack import UnpackOptions, unpack

FILES = 50_000
TOTAL = 1 << 30
PER_DIRECTORY = 40


def make_tree(root: Path) -> None:
    """Text-like bytes that compress about threefold, in sizes from some hundred bytes to a megabyte."""
    rng = random.Random(1)
    words = [rng.randbytes(rng.randint(2, 9)).hex().encode()[: rng.randint(3, 12)] for _ in range(4000)]
    pool = b" ".join(rng.choices(words, k=3_000_000)) + rng.randbytes(4 << 20)
    sizes = [rng.lognormvariate(8.5, 1.6) for _ in range(FILES)]
    scale = TOTAL / sum(sizes)
    for number, size in enumerate(sizes):
        folder = root / f"d{number // (PER_DIRECTORY * 30):02}" / f"e{number // PER_DIRECTORY:04}"
        folder.mkdir(parents=True, exist_ok=True)
        length = min(int(size * scale), len(pool) // 2)
        start = rng.randrange(len(pool) - length)
        (folder / f"file-{number}.c").write_bytes(pool[start : start + length])


def ours(tree: Path, out: Path, level: int) -> None:
    root = os.open(tree, os.O_RDONLY | os.O_DIRECTORY)
    fd = os.open(out, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o644)
    with ZstdSink(fd, level) as sink:
        pack(root, None, PackOptions(mtime_limit=1_790_000_000), sink)
    os.close(fd)
    os.close(root)


def theirs(tree: Path, out: Path, level: int) -> None:
    command = f'tar --sort=name -C "$1" -c . | zstd -{level} -T0 -q > "$2"'
    subprocess.run(["/bin/sh", "-c", command, "sh", tree, out], check=True)


def ours_back(tree: Path, archive: Path, _level: int) -> None:
    target = fresh(tree)
    root = os.open(target, os.O_RDONLY | os.O_DIRECTORY)
    fd = os.open(archive, os.O_RDONLY)
    unpack(open_archive(fd), root, UnpackOptions(max_bytes=1 << 40, max_files=1 << 20))
    os.close(fd)
    os.close(root)


def theirs_back(tree: Path, archive: Path, _level: int) -> None:
    subprocess.run(["tar", "-C", fresh(tree), "--zstd", "-xf", archive], check=True)


def fresh(tree: Path) -> Path:
    """A new directory each time: on an ext4 without a journal, making files anew where some were deleted is slow."""
    target = tree.parent / f"{tree.name}.unpacked" / str(time.time_ns())
    target.mkdir(parents=True)
    return target


def timed(run: Callable[[Path, Path, int], None], where: tuple[Path, Path, int]) -> tuple[float, float]:
    """Seconds on the wall, and of processors (ours and children's): the second hardly minds what else is running."""
    os.sync()
    before, start = os.times(), time.perf_counter()
    run(*where)
    return time.perf_counter() - start, sum(os.times()[:4]) - sum(before[:4])


def compare(
    title: str, runs: tuple[Callable[[Path, Path, int], None], ...], where: tuple[Path, Path, int], rounds: int
) -> None:
    times: list[list[tuple[float, float]]] = [[], []]
    for number in range(rounds):
        for index in (0, 1) if number % 2 else (1, 0):  # in turns, so that neither always finds the caches warm
            times[index].append(timed(runs[index], where))
    cells = []
    for kind in (0, 1):
        mine, other = ([pair[kind] for pair in values] for values in times)
        ratio = statistics.median(a / b for a, b in zip(mine, other, strict=True))
        cells.append(f"{statistics.median(mine):8.2f} {statistics.median(other):8.2f} {ratio:6.2f}")
    print(f"{title:<16} {cells[0]} {cells[1]} {where[1].stat().st_size / 1e6:9.1f} MB")


def main(arguments: list[str]) -> None:
    base = Path(arguments[0])
    rounds = int(arguments[1]) if len(arguments) > 1 else 5
    levels = [int(level) for level in arguments[2:]] or [1, 2, 3]
    tree = base / "tree"
    if not tree.exists():
        make_tree(tree)
    wall, processor = "wall s: ours, tar, ratio", "processor s: ours, tar, ratio"
    print(f"{'':<16} {wall:>24} {processor:>24} {'archive':>9}")
    for level in levels:
        compare(f"pack, zstd -{level}", (ours, theirs), (tree, base / "out.tar.zst", level), rounds)
    ours(tree, base / "out.tar.zst", 3)
    compare("unpack", (ours_back, theirs_back), (tree, base / "out.tar.zst", 3), max(1, rounds // 2))
    subprocess.run(["rm", "-rf", base / "tree.unpacked"], check=True)


if __name__ == "__main__":
    main(sys.argv[1:])
