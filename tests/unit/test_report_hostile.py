"""A report is inert: no text of a build can become markup, run, reach out, or change what its reader sees."""

from __future__ import annotations

import base64
import hashlib
import os
import re
from itertools import pairwise
from pathlib import Path

import msgspec
import pytest
from cli_store import add, record, step
from html_page import Page
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from plan_kit import PLACE

from contractor.cli.report import collect
from contractor.cli.report.page import write
from contractor.core.events import ArtifactInfo, Notice, encode
from contractor.core.fetch import Fetch
from contractor.plan.model import Action, Plan
from contractor.plan.model import encode as encode_plan
from contractor.spec import model
from contractor.store.layout import Store
from contractor.store.records import Records

BUILD, BEFORE = "20250306-101500-hello-bbbb", "20250306-101500-hello-aaaa"
HOSTILE = [
    "<script>alert(1)</script>",
    "\"><img src=x onerror='alert(1)'>",
    "' onmouseover='alert(1)' x='",
    "</style><style>*{background:url(http://evil.example/)}</style>",
    "</title></pre></code></details><base href=//evil.example>",
    "]]><![CDATA[ <!-- --!> -->",
    "{{ 7*191 }}{% raw %}{{ page }}",
    "javascript:alert(1)",
    "&lt;script&gt; &#60;b&#62; &amp;",
    "a\u202eb\u2066c\u200bd\ufeffe\u2028f",
    "a\x00b\x1b]0;title\x07c\x1b[2Jd\x9b31me\x7f\x08\x85f",
    "`one` `two`",
    "\ud800 lone \udfff",
    "x" * 5000,
]


def build(store: Store, text: str) -> None:
    """A build that has the text wherever a build can have one."""
    if not os.path.isdir(Records(store).folder(BEFORE)):
        good = step("s", packages=("p=1",))
        add(store, record(BEFORE, steps=(good,), parameters={"P": "old"}))
    text = text.encode("utf-8", "replace").decode()  # JSON has no other
    fetches = (Fetch(text, text, "allowed", 200, 1, text, text), Fetch(text, text, "refused", 0, 0, text, text))
    one = step(
        text, "failed", key=text, place=text, network=text, action=text, message=text, tainted=text, log_end=10**6,
        fetches=fetches, packages=(f"{text}=2",), secrets=(text,), exit_code=1, seconds=1.0, cpu_seconds=1.0,
    )  # fmt: skip
    other = step(text, "cached", key=text + "2", made_by=text[:50].replace("/", "_").replace("\x00", ""))
    values = {text: text, f"{text}2": f"{text}2"}
    names = ("parameters", "matrix", "inputs", "tools", "host")
    made = record(
        BUILD, "failed", steps=(one, other), **dict.fromkeys(names, values), tier=text, memory=text, arch=text,
        message=text, details=(text,), hint=text, spec=text, parent=text, kept=text, asked=(text,), tainted=text,
        plan=text, epoch_origin=text, limits={"memory": text}, bases={text: BEFORE},
        artifacts=(ArtifactInfo(text, text, 1, 1, 1, text, text),),
    )  # fmt: skip
    made = msgspec.structs.replace(made, matrix={})  # else no build is like it
    folder = Path(Records(store).folder(BUILD))
    log = f"\x1b[31m{text}\x1b[0m\n{text}\n\rprogress {text}\r\n".encode() + b"\xff\xfe"
    if not folder.exists():
        add(store, made, log)
    Records(store).write(made)
    (folder / "log").write_bytes(log)
    (folder / "events.jsonl").write_bytes(encode(Notice(at=1741083301.0, build=BUILD, text=text, level="warning")))
    spec = model.Step(action=model.Shell(script=f"{text}\n{text}"), name=text, place=PLACE)
    action = Action(text, spec, text, {}, {text: text}, (text,), (), "", "")
    plan = Plan(text, "amd64", 1, text, {}, {}, (action, action), model.Limits(), skipped=((text, text),))
    (folder / "plan.json").write_bytes(encode_plan(plan))


def written(store: Store) -> tuple[Page, str]:
    made = bytearray()
    write(collect.page(store, BUILD, full=False), made.extend)
    text = made.decode("utf-8")
    return Page(text), text


@pytest.fixture
def store(tmp_path, monkeypatch) -> Store:
    monkeypatch.setenv("CONTRACTOR_STORE", str(tmp_path / "store"))
    return Store(str(tmp_path / "store"))


def fixed(page: Page) -> list[tuple[str, tuple[str, ...]]]:
    """The elements that a text has no part in: others come with its lines, colours, `code` and signs."""
    free = ("li", "ol", "span", "br", "code", "ins", "del", "b")
    return [element for element in page.shape() if element[0] not in free]


def inert(page: Page, whole: str) -> None:
    """Only elements and attributes of ours, nothing that reaches out, no character that changes how others look."""
    assert page.comments == []
    tags = {tag for tag, _attributes in page.elements}
    assert not tags & {"script", "img", "iframe", "object", "embed", "base", "link", "form", "input", "video", "audio"}
    names = {name for _tag, attributes in page.elements for name in attributes}
    assert not [name for name in names if name.startswith("on") or name in ("style", "src", "srcset", "action")]
    assert all(re.fullmatch(r"#[a-z]+(-\d+)?", target) for target in page.attributes("href"))
    assert all(re.fullmatch(r"[a-z0-9 -]*", value) for value in page.attributes("class"))
    assert len(page.all("style")) == 1
    assert whole.replace("\n", "").replace("\t", "").replace("\xa0", "").isprintable()
    assert "1337" not in whole
    ids = page.attributes("id")
    assert len(set(ids)) == len(ids)
    assert {target[1:] for target in page.attributes("href")} <= set(ids)


@pytest.mark.parametrize("text", HOSTILE, ids=range(len(HOSTILE)))
def test_hostile_text_is_only_text(store, text):
    build(store, "x")
    plain, _whole = written(store)
    build(store, text)
    page, whole = written(store)
    assert fixed(page) == fixed(plain)
    inert(page, whole)


@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.text("<>\"'&`{}%#\\/!-[]=;: \t\n\r\x00\x1b\u202eaé", min_size=1, max_size=30))
def test_any_text_is_only_text(store, text):
    build(store, text)
    inert(*written(store))


def test_hostile_text_can_still_be_read(store):
    build(store, HOSTILE[0])
    page, _whole = written(store)
    assert "".join(page.all("h2")[1].split()) == HOSTILE[0]
    assert HOSTILE[0] in page.all("title")[0] or page.all("title")[0].startswith("hello failed")
    assert page.all("span", class_="c1")[0] == HOSTILE[0]
    assert all(part in page.all("body")[0] for part in ("\ufffd", f"progress {HOSTILE[0]}"))


def test_the_policy_allows_the_style_sheet_and_nothing_else(store):
    build(store, "x")
    page, whole = written(store)
    policies = [
        attributes["content"]
        for tag, attributes in page.elements
        if tag == "meta" and attributes.get("http-equiv") == "Content-Security-Policy"
    ]
    style = whole[whole.index("<style>") + 7 : whole.index("</style>")]
    digest = base64.b64encode(hashlib.sha256(style.encode()).digest()).decode()
    assert policies == [f"default-src 'none'; style-src 'sha256-{digest}'; base-uri 'none'; form-action 'none'"]
    assert whole.index("Content-Security-Policy") < whole.index("<style>") < whole.index("<body>")
    assert not re.search(r"url\(|@import|@font-face|https?:", style)


def test_the_page_has_what_those_need_who_do_not_see_it(store):
    build(store, "x")
    page, _whole = written(store)
    tags = [tag for tag, _attributes in page.elements]
    assert page.elements[0] == ("html", {"lang": "en"})
    assert all(tags.count(tag) == 1 for tag in ("title", "header", "main", "nav", "footer", "h1"))
    headings = [int(tag[1]) for tag in tags if re.fullmatch("h[1-6]", tag)]
    assert all(after <= before + 1 for before, after in pairwise(headings))
    assert page.elements[tags.index("a")] == ("a", {"class": "skip", "href": "#steps"})
    labelled = [a["aria-labelledby"] for tag, a in page.elements if tag == "section"]
    assert set(labelled) <= set(page.attributes("id"))
    assert all(a.get("aria-hidden") == "true" or "aria-hidden" in dict(parent) for parent, a in svgs(page))
    assert tags.count("table") == tags.count("caption")
    assert all("scope" in attributes for tag, attributes in page.elements if tag == "th")
    for _tag, attributes in page.elements:
        if attributes.get("role") == "region":
            assert attributes["aria-label"]
            assert attributes["tabindex"] == "0"


def svgs(page: Page) -> list[tuple[dict, dict]]:
    """Each picture with its row: what it shows is said in words beside it."""
    return [
        (page.elements[place - 2][1], attributes)
        for place, (tag, attributes) in enumerate(page.elements)
        if tag == "svg"
    ]


# --- colours ---------------------------------------------------------------------------------------------------------


def colours(block: str) -> dict[str, tuple[int, int, int]]:
    found = re.findall(r"--(\w+): #([0-9a-f]{6});", block)
    return {name: tuple(bytes.fromhex(value)) for name, value in found}


def contrast(one: tuple[int, int, int], other: tuple[int, int, int]) -> float:
    """As WCAG 2.2 defines it."""

    def luminance(colour: tuple[int, int, int]) -> float:
        parts = [part / 255 for part in colour]
        linear = [part / 12.92 if part <= 0.04045 else ((part + 0.055) / 1.055) ** 2.4 for part in parts]
        return sum(weight * part for weight, part in zip((0.2126, 0.7152, 0.0722), linear, strict=True))

    light, dark = sorted((luminance(one), luminance(other)), reverse=True)
    return (light + 0.05) / (dark + 0.05)


def test_every_colour_of_text_can_be_read_in_the_light_and_in_the_dark():
    import contractor

    style = Path(contractor.__file__).with_name("data").joinpath("report", "report.css").read_text()
    light, dark = (colours(block) for block in re.findall(r":root \{(.*?)\}", style, re.DOTALL))
    assert light.keys() == dark.keys()
    assert contrast((0, 0, 0), (255, 255, 255)) == pytest.approx(21)
    for scheme in (light, dark):
        for name in scheme.keys() - {"paper", "wash", "line"}:
            for ground in ("paper", "wash"):
                assert contrast(scheme[name], scheme[ground]) >= 4.5, f"{name} on {ground}"
