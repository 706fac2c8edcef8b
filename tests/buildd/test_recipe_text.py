"""Recipes: what is one, what is none and why, and the versions that they make."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from contractor.buildd.builds.recipe_text import Line, lines_of, manifest, parse, upstream_of, version_of
from contractor.core.errors import Rejected

HEAD = "# git-build-recipe format 0.4 deb-version {debupstream}-0~{revtime}\n"
WHOLE = (
    HEAD
    + """https://git.example.org/project main
# a comment
merge fixes https://git.example.org/project fixes
nest packaging https://git.example.org/packaging debian v2
  merge more https://git.example.org/packaging more
  nest deeper https://git.example.org/deeper in/it
    nest-part part https://git.example.org/p a/b
nest-part docs https://git.example.org/docs manual/en doc main
"""
)


def test_a_whole_recipe() -> None:
    recipe = parse(WHOLE)
    assert recipe.version == "{debupstream}-0~{revtime}"
    assert recipe.base.revision == "main"
    fixes, packaging, docs = recipe.base.below
    assert fixes == Line("merge", "https://git.example.org/project", "fixes", "fixes")
    assert (packaging.target, packaging.revision) == ("debian", "v2")
    assert [line.name for line in packaging.below] == ["more", "deeper"]
    assert packaging.below[1].below[0] == Line("nest-part", "https://git.example.org/p", "part", "", "a/b", "a/b")
    assert (docs.part, docs.target, docs.revision) == ("manual/en", "doc", "main")
    assert [line.name for line in lines_of(recipe.base)] == [
        "", "fixes", "packaging", "more", "deeper", "part", "docs",
    ]  # fmt: skip


BASE = HEAD + "https://git.example.org/project\n"


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("", "0"),
        (HEAD, "line 1 of the recipe: no repository"),
        ("https://git.example.org/project\n", "no header"),
        ("# git-build-recipe format 9.9\nx\n", "format 9.9"),
        ("# bzr-builder format 0.3 deb-version 1\nlp:x\n", "no Bazaar"),
        (HEAD + "  https://x\n", "line 2 of the recipe: the second line is the base"),
        (HEAD + "https://x rev more\n", "the second line is the base"),
        (BASE + "run echo hello\n", "line 3 of the recipe: `run` is not allowed"),
        (BASE + "fetch a b\n", "`fetch` is none of merge, nest and nest-part"),
        (BASE + "merge a\n", "takes from 2 to 3 words, here are 1"),
        (BASE + "nest a https://x ../up\n", "leads out of the tree"),
        (BASE + "nest a https://x /etc\n", "leads out of the tree"),
        (BASE + "nest a https://x .git/hooks\n", "leads out of the tree"),
        (BASE + "nest-part a https://x .. doc\n", "leads out of the tree"),
        (BASE + "merge a https://x --upload-pack=evil\n", "no revision"),
        (BASE + "merge a/b https://x\n", "no name"),
        (BASE + "merge a https://x\nmerge a https://y\n", "line 4 of the recipe: the name a is used twice"),
        (BASE + " merge a https://x\n", "two spaces"),
        (BASE + "\tmerge a https://x\n", "two spaces"),
        (BASE + "  merge a https://x\n", "no nested repository above it"),
        (BASE + "merge a https://x\n  merge b https://x\n", "no nested repository above it"),
        (BASE + "nest a https://x d\n    merge b https://x\n", "no nested repository above it"),
    ],
)
def test_what_is_no_recipe(text: str, words: str) -> None:
    with pytest.raises(Rejected) as error:
        parse(text)
    assert words in error.value.message


@given(st.text(alphabet="mergenst-part run #\n\t ./ab0https:{}", max_size=300))
def test_any_text_is_a_recipe_or_rejected(text: str) -> None:
    for whole in (text, BASE + text):
        try:
            recipe = parse(whole)
        except Rejected as error:
            assert error.message
        else:
            assert all(".." not in line.target.split("/") for line in lines_of(recipe.base))


def test_the_manifest_is_a_recipe_of_commits() -> None:
    recipe = parse(WHOLE)
    commits = {line.name: f"{i:040x}" for i, line in enumerate(lines_of(recipe.base), 1)}
    text = manifest(recipe, "1.0-1", commits)
    again = parse(text)
    assert [line.revision for line in lines_of(again.base)] == list(commits.values())
    assert manifest(again, "1.0-1", commits) == text
    assert again.version == "1.0-1"


def _look(variable: str, name: str) -> str:
    if name not in ("", "fixes"):
        raise KeyError("no such repository")
    return {"git-commit": "0123456789" * 4, "revno": "42", "revtime": "1700000000", "latest-tag": "v1.0",
            "debversion": "2:3.4~git1-5"}[variable]  # fmt: skip


@pytest.mark.parametrize(
    ("template", "version"),
    [
        ("{debversion}+{revno}", "1:2.0+dfsg-3+42"),
        ("{debupstream}-0~{revtime}", "2.0+dfsg-0~202311142213"),
        ("{debupstream-base}{revdate}", "2.0+20231114"),
        ("{debupstream:fixes}-{git-commit:fixes}", "3.4~git1-0123456"),
        ("{debupstream-base:fixes}git{revno}", "3.4~git42"),
        ("0~{time}", "0~202001020304"),
        ("0~{date}", "0~20200102"),
        ("1.0-1", "1.0-1"),
    ],
)
def test_versions(template: str, version: str) -> None:
    assert version_of(template, _look, 1577934240.0, "1:2.0+dfsg-3") == version


@pytest.mark.parametrize(
    ("template", "words"),
    [
        ("{latest-tag}-1", "no version of a package"),  # v1.0: a version begins with a digit
        ("{nosuch}", "there is no such variable"),
        ("{revno:nobody}", "no such repository"),
        ("1.0;rm", "no version of a package"),
    ],
)
def test_versions_that_are_none(template: str, words: str) -> None:
    with pytest.raises(Rejected, match=words):
        version_of(template, _look, 0.0, "1-1")


def test_upstream() -> None:
    assert [upstream_of(text) for text in ("1", "1-2", "3:1-2-3")] == ["1", "1", "1-2"]
