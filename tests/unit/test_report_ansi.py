"""Logs as HTML: inert whatever the bytes, coloured as a terminal would, one numbered item a line."""

from __future__ import annotations

import pytest
from html_page import Page
from hypothesis import given
from hypothesis import strategies as st

from contractor.cli.report.ansi import LONGEST, PLAIN, Pen, items, styled

HOSTILE = st.lists(
    st.sampled_from(
        [
            *(
                b"\x1b[",
                b"\x1b]0;",
                b"m",
                b"1",
                b"31",
                b";",
                b"38;5;",
                b"\r",
                b"\n",
                b"\t",
                b"\x00",
                b"\xff",
                b"a",
                b" ",
            ),
            *(b"\x9b", b"\xc2\x9b", b"<", b">", b"&", b'"', b"'", b"</li>", b"<script>"),
            *("\u202e".encode(), "é".encode()),
        ]
    ),
    max_size=40,
).map(b"".join)


def lines(data: bytes, **given) -> list[str]:
    return [text.removesuffix("\n") for text in Page(items(data, **given)[0]).all("li")]


@given(st.one_of(HOSTILE, st.binary(max_size=200)), st.sampled_from([PLAIN, Pen(1, True)]))
def test_whatever_the_bytes_there_are_only_items_and_spans_of_known_classes(data, pen):
    page = Page(items(data, pen)[0])
    assert {tag for tag, _attributes in page.elements} <= {"li", "span"}
    classes = {f"c{number}" for number in range(16)} | {"b", "more"}
    assert {word for value in page.attributes("class") for word in value.split()} <= classes
    assert {name for _tag, attributes in page.elements for name in attributes} <= {"class"}
    assert page.comments == []
    for text in page.all("li"):
        assert text.replace("\t", "").isprintable(), repr(text)
    whole = data[:-1] if data.endswith(b"\n") else data
    assert len([1 for tag, attributes in page.elements if tag == "li" and not attributes]) == whole.count(b"\n") + 1


@given(st.text(st.characters(codec="utf-8"), max_size=60).filter(lambda text: text.replace("\n", "").isprintable()))
def test_plain_text_is_shown_as_it_is(text):
    expected = text.removesuffix("\n").split("\n")
    assert lines(text.encode()) == expected
    assert lines(text.encode(), pen=Pen(2)) == expected


def test_markup_is_text():
    assert items(b"<script>alert('1')</script> & \"x\"\n")[0] == (
        "<li>&lt;script&gt;alert(&#x27;1&#x27;)&lt;/script&gt; &amp; &quot;x&quot;</li>\n"
    )


def test_colours_as_gcc_writes_them():
    html, pen = items(b"\x1b[01m\x1b[Kmain.c:7:\x1b[m\x1b[K \x1b[01;31m\x1b[Kerror: \x1b[m\x1b[Kno\n")
    assert html == '<li><span class="b">main.c:7:</span> <span class="c1 b">error: </span>no</li>\n'
    assert pen == PLAIN


def test_a_colour_lasts_over_lines_and_pieces():
    html, pen = items(b"\x1b[32mone\ntwo\n")
    assert html == '<li><span class="c2">one</span></li>\n<li><span class="c2">two</span></li>\n'
    assert items(b"three", pen)[0] == '<li><span class="c2">three</span></li>\n'


@pytest.mark.parametrize(
    ("parameters", "pen"),
    [
        ("", PLAIN),
        ("0", PLAIN),
        ("31", Pen(1, True)),
        ("97", Pen(15, True)),
        ("22", Pen(2)),
        ("39", Pen(bold=True)),
        ("38;5;3", Pen(3, True)),
        ("38:5:3", Pen(3, True)),
        ("38;5;200;31", Pen(1, True)),
        ("38;2;1;31;7", Pen(2, True)),  # a colour that is not shown leaves the pen, and its numbers are no codes
        ("48;5;1", Pen(2, True)),
        ("4;7", Pen(2, True)),
        ("99999999999", Pen(2, True)),
    ],
)
def test_parameters_of_a_colour_sequence(parameters, pen):
    assert styled(Pen(2, True), parameters) == pen


def test_other_sequences_go_with_their_bodies():
    assert lines(b"a\x1b[2K\x1b[1;1Hb\x1b]8;;http://x\x07link\x1b]8;;\x1b\\c\x1b(Bd\x1bM") == ["ablinkcd"]


def test_of_a_redrawn_line_the_last_state_stays():
    assert lines(b" 10%\r 55%\r100%\r\ndone\r\n\r\n") == ["100%", "done", ""]


def test_what_is_no_utf8_is_seen_and_control_characters_are_not():
    assert lines(b"a\xffb\x00c\x07d\te" + "\u202ef\u200bg".encode()) == ["a\ufffdbcd\tefg"]


def test_a_very_long_line_goes_on_in_items_without_a_number():
    html, _pen = items(b"x" * (LONGEST + 1) + b"\ny\n")
    assert html == f'<li>{"x" * LONGEST}</li>\n<li class="more">x</li>\n<li>y</li>\n'


def test_data_that_begins_inside_a_line_has_no_number_there():
    assert items(b"rest\nnext\n", goes_on=True)[0] == '<li class="more">rest</li>\n<li>next</li>\n'
