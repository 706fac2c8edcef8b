"""A terminal's text with its colours -> an SVG picture of the terminal. How docs/build.svg is made:

    tmux new-session -d -s shot -x 96 -y 24
    tmux send-keys -t shot 'contractor build examples/debian-package' Enter
    tmux capture-pane -p -e -t shot | python3 docs/screenshot.py --title 'contractor build' > docs/build.svg

Each run of equal characters becomes one <text> of a fixed length, so that any monospace font fits the grid.
"""

from __future__ import annotations

import argparse
import re
import sys
from collections.abc import Iterator
from typing import NamedTuple
from xml.sax.saxutils import escape

CELL, LINE, SIZE = 8.4, 19.0, 14.0  # width of a character, height of a line, size of the font, in pixels
BAR, MARGIN, SHADOW = 38.0, 18.0, 14.0  # title bar, space around the text, space around the window
FONT = "ui-monospace, SFMono-Regular, Menlo, Consolas, 'DejaVu Sans Mono', 'Liberation Mono', monospace"
PLAIN, GROUND, FRAME, EDGE, FAINT = "#d7dce5", "#171b24", "#202634", "#323a4b", "#8b95a8"
COLOURS = ("#4b5468", "#f47c7c", "#86d993", "#f1d27a", "#7fb2ff", "#d29bf5", "#6fd6dd", "#d7dce5")
BRIGHT = ("#6b7690", "#ff9a9a", "#a5ecb0", "#ffe49a", "#a3c8ff", "#e3bcff", "#98ecf2", "#ffffff")
_ESCAPE = re.compile(r"\x1b\[([0-9;:]*)m|\x1b\[[0-?]*[ -/]*[@-~]|\x1b[ -/]*[0-~]|\x0f")  # tmux writes no others


class Style(NamedTuple):
    colour: str = ""
    bold: bool = False
    dim: bool = False


class Run(NamedTuple):
    column: int
    text: str
    style: Style


def main() -> None:
    options = argparse.ArgumentParser(description="Read a terminal's text with colours, write an SVG.")
    options.add_argument("--title", default="", help="what the window's bar says")
    options.add_argument("--columns", type=int, default=0, help="at least this wide")
    args = options.parse_args()
    lines = sys.stdin.read().rstrip().split("\n")
    sys.stdout.write(svg(lines, args.title, args.columns))


def svg(lines: list[str], title: str = "", columns: int = 0) -> str:
    """The picture of these lines."""
    rows, style = [], Style()
    for line in lines:
        row, style = parse(line, style)
        rows.append(row)
    columns = max([columns, *(run.column + len(run.text) for row in rows for run in row)])
    width, height = columns * CELL + 2 * MARGIN, BAR + len(rows) * LINE + 2 * MARGIN - 4
    return "\n".join([*_frame(width, height, title), *_texts(rows), "</g>", "</svg>", ""])


def parse(line: str, style: Style) -> tuple[list[Run], Style]:
    """A line as runs of one style each, and the style that the next line begins with."""
    runs, column, at = [], 0, 0
    for match in [*_ESCAPE.finditer(line), None]:
        text = line[at : match.start() if match else len(line)]
        for part in re.finditer(r"\S+(?: \S+)*", text):
            runs.append(Run(column + part.start(), part[0], style))
        column += len(text)
        if match:
            at = match.end()
            style = _styled(style, match[1]) if match[1] is not None else style
    return runs, style


def _styled(style: Style, codes: str) -> Style:
    """The style after an SGR sequence: bold, dim, the sixteen colours, and their ends; the rest changes nothing."""
    for code in (int(text or 0) for text in re.split("[;:]", codes)):
        if code == 0:
            style = Style()
        elif code in (1, 2, 22):
            style = style._replace(bold=code == 1, dim=code == 2)
        elif 30 <= code <= 37:
            style = style._replace(colour=COLOURS[code - 30])
        elif 90 <= code <= 97:
            style = style._replace(colour=BRIGHT[code - 90])
        elif code == 39:
            style = style._replace(colour="")
    return style


def _frame(width: float, height: float, title: str) -> Iterator[str]:
    whole = (width + 2 * SHADOW, height + 2 * SHADOW)
    label = escape(title or "a terminal", {'"': "&quot;"})
    yield (
        f'<svg xmlns="http://www.w3.org/2000/svg" width="{whole[0]:.0f}" height="{whole[1]:.0f}" '
        f'viewBox="0 0 {whole[0]:.0f} {whole[1]:.0f}" role="img" aria-label="{label}">'
    )
    yield '<filter id="s" x="-5%" y="-5%" width="110%" height="115%">'
    yield '<feDropShadow dx="0" dy="4" stdDeviation="6" flood-color="#000" flood-opacity=".35"/></filter>'
    yield f'<g transform="translate({SHADOW:g} {SHADOW - 4:g})">'
    yield f'<rect width="{width:.1f}" height="{height:.1f}" rx="10" fill="{GROUND}" filter="url(#s)"/>'
    bar = f"M0 {BAR:g}V10A10 10 0 0 1 10 0H{width - 10:.1f}A10 10 0 0 1 {width:.1f} 10V{BAR:g}Z"
    yield f'<path d="{bar}" fill="{FRAME}"/>'
    edge = f'width="{width - 1:.1f}" height="{height - 1:.1f}" rx="9.5" fill="none" stroke="{EDGE}"'
    yield f'<rect x=".5" y=".5" {edge}/>'
    for number, colour in enumerate(("#ff5f57", "#febc2e", "#28c840")):
        yield f'<circle cx="{20 + number * 20}" cy="{BAR / 2:g}" r="6" fill="{colour}"/>'
    yield (
        f'<text x="{width / 2:.1f}" y="{BAR / 2 + 4.5:g}" text-anchor="middle" fill="{FAINT}" '
        f'font-family="system-ui, sans-serif" font-size="13">{escape(title)}</text>'
    )
    yield "</g>"
    yield (
        f'<g transform="translate({SHADOW + MARGIN:g} {SHADOW - 4 + BAR + MARGIN:g})" font-family="{FONT}" '
        f'font-size="{SIZE:g}" fill="{PLAIN}" xml:space="preserve">'
    )


def _texts(rows: list[list[Run]]) -> Iterator[str]:
    for number, row in enumerate(rows):
        for run in row:
            colour = run.style.colour or (FAINT if run.style.dim else "")
            fill = f' fill="{colour}"' if colour else ""
            weight = ' font-weight="700"' if run.style.bold else ""
            yield (
                f'<text x="{run.column * CELL:.1f}" y="{number * LINE + 10:g}" textLength="{len(run.text) * CELL:.1f}"'
                f' lengthAdjust="spacingAndGlyphs"{fill}{weight}>{escape(run.text)}</text>'
            )


if __name__ == "__main__":
    main()
