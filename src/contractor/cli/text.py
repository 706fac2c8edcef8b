"""Text for people: sizes, durations, clean lines, tables, errors.

Everything that did not come from Contractor itself (output, names, messages, URLs) goes through `sanitize` before
it reaches a terminal: a step must not move the cursor, set the title, recolour or reorder what its user reads.
Sizes use powers of 1000 (1 kB = 1000 B), as disks, downloads and `ls --si` do; exact bytes are in the record.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Sequence

from contractor.core.errors import ContractorError

_UNITS = ("kB", "MB", "GB", "TB", "PB", "EB")
# The 8-bit forms of the sequences that have a body, as their 7-bit forms; other C1 codes fall to the last filter.
_C1 = {0x90: "\x1bP", 0x98: "\x1bX", 0x9B: "\x1b[", 0x9D: "\x1b]", 0x9E: "\x1b^", 0x9F: "\x1b_"}
_STRINGS = "]PX^_"  # OSC, DCS, SOS, PM, APC: all run to a terminator
_TAB = 8


def human_size(size: int) -> str:
    """Bytes as "512 B", "1.2 MB", "340 GB": powers of 1000, two or three digits."""
    if size < 1000:
        return f"{size} B"
    value = float(size)
    for unit in _UNITS:
        value /= 1000
        if round(value, 1) < 10:
            return f"{value:.1f} {unit}"
        if round(value) < 1000:
            return f"{value:.0f} {unit}"
    return f"{value:.0f} {_UNITS[-1]}"


def duration(seconds: float) -> str:
    """Seconds as "0.3 s", "12 s", "3 min 05 s", "2 h 05 min"; a clock that jumped back counts as 0."""
    seconds = max(0.0, seconds)
    if round(seconds, 1) < 10:
        return f"{seconds:.1f} s"
    whole = round(seconds)
    if whole < 60:
        return f"{whole} s"
    if whole < 3600:
        return f"{whole // 60} min {whole % 60:02} s"
    return f"{whole // 3600} h {whole % 3600 // 60:02} min"


def sanitize(data: bytes | str) -> str:
    """One line that is safe on any terminal: printable characters and spaces only.

    Escape sequences (CSI, OSC, DCS and their 8-bit forms) go with their bodies; control, bidirectional and invisible
    characters go; line ends become spaces; tabs are expanded; of a line redrawn with carriage returns the last state
    stays; bytes that are no UTF-8, and characters of unknown width, become U+FFFD.
    """
    text = data.decode("utf-8", "replace") if isinstance(data, bytes) else data
    if text.isprintable():  # nearly all lines, at C speed: no control, format or unassigned character has this
        return text
    text = text.rstrip("\r\n").translate(_C1)
    if "\r" in text:
        text = next((part for part in reversed(text.split("\r")) if part.strip()), "")
    if "\x1b" in text:
        first, *parts = text.split("\x1b")
        text = first + "".join(part[_sequence_length(part) :] for part in parts)
    text = text.expandtabs(_TAB)
    if text.isprintable():
        return text
    return "".join(c if c.isprintable() else _stand_in(c) for c in text)


def clean_lines(data: bytes | str) -> list[str]:
    """Several lines, each through `sanitize`; an end of line at the end adds no empty line."""
    text = data.decode("utf-8", "replace") if isinstance(data, bytes) else data
    lines = [sanitize(line) for line in text.split("\n")]
    if lines[-1] == "":
        lines.pop()
    return lines


def _sequence_length(part: str) -> int:
    """How much of what follows an ESC belongs to the sequence (ECMA-48, section 5.4); ESC splits `part` off."""
    if not part:
        return 0
    if part[0] in _STRINGS:
        end = part.find("\x07")  # the other terminator, ESC \, begins the next part
        return len(part) if end < 0 else end + 1
    low, at = (" ", 1) if part[0] == "[" else (" ", 0)
    high = "?" if part[0] == "[" else "/"
    while at < len(part) and low <= part[at] <= high:
        at += 1
    return at + 1 if at < len(part) and " " <= part[at] <= "~" else at


def _stand_in(character: str) -> str:
    if character.isspace():
        return " "
    import unicodedata

    return "�" if unicodedata.category(character) in ("Cn", "Co", "Cs") else ""


def width_of(text: str) -> int:
    """Columns that a sanitised text takes: 2 for East Asian wide characters, 0 for combining ones."""
    return len(text) if text.isascii() else sum(_columns(text))


def _columns(text: str) -> Iterator[int]:
    from unicodedata import category, east_asian_width

    for character in text:
        if character.isascii():
            yield 1
        elif category(character) in ("Mn", "Me", "Cf"):
            yield 0
        else:
            yield 2 if east_asian_width(character) in "WF" else 1


def clip(text: str, width: int, mark: str = "…") -> str:
    """The text in at most `width` columns; a cut is shown by the mark.

    Characters are limited too, to four a column, so that a thousand accents on one letter stay cheap.
    """
    if width <= 0:
        return ""
    if len(text) <= width * 4 and width_of(text) <= width:
        return text
    room, used, end = width - len(mark), 0, 0
    if room < 0:
        return mark[:width]
    for end, columns in enumerate(_columns(text[: width * 4])):  # noqa: B007  # the place of the cut is the result
        if used + columns > room:
            break
        used += columns
    else:
        end += 1
    return text[:end].rstrip() + mark


def wrap(text: str, width: int) -> list[str]:
    """Lines of at most `width` columns, cut at spaces where there are some; width 0 means no limit."""
    if width <= 0 or width_of(text) <= width:
        return [text]
    lines: list[str] = []
    while width_of(text) > width:
        head = clip(text, width, "")
        if not head:  # one character is wider than the room
            break
        cut = head.rfind(" ", width // 2)
        if cut > 0 and not text[len(head)].isspace():
            head = head[:cut]
        lines.append(head)
        text = text[len(head) :].lstrip()
    return [*lines, text] if text else lines


def pad(text: str, width: int, *, right: bool = False) -> str:
    """The text filled with spaces to `width` columns; right puts them before it."""
    fill = " " * (width - width_of(text))
    return fill + text if right else text + fill


def table(rows: Sequence[Sequence[str]], right: Collection[int] = (), gap: int = 2) -> list[str]:
    """Rows of cells as aligned lines; `right` names the columns, from 0, that are aligned to the right."""
    widths = [0] * max((len(row) for row in rows), default=0)
    for row in rows:
        for column, cell in enumerate(row):
            widths[column] = max(widths[column], width_of(cell))
    return [
        (" " * gap).join(pad(cell, widths[n], right=n in right) for n, cell in enumerate(row)).rstrip() for row in rows
    ]


def render_error(error: ContractorError, *, colour: bool = False) -> str:
    """ "error: message", its details indented, its hint on a line of its own; every line ends with a newline."""
    red, bold, off = ("\x1b[1;31m", "\x1b[1m", "\x1b[0m") if colour else ("", "", "")
    first, *rest = clean_lines(error.message) or [""]
    lines = [f"{red}error:{off} {bold}{first}{off}", *("  " + line for line in rest)]
    lines += ["  " + line for detail in error.details for line in clean_lines(detail)]
    lines += [f"{bold}hint:{off} {line}" for line in clean_lines(error.hint)[:1]]
    lines += ["      " + line for line in clean_lines(error.hint)[1:]]
    return "".join(line.rstrip() + "\n" for line in lines)
