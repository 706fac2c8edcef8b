"""Dockerfiles: what they mean, and that nothing written in one is anything but stages or a clear error."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from contractor.buildd.builds import dockerfile, dockerfile_words
from contractor.buildd.builds.dockerfile_lines import DockerfileError, read
from contractor.buildd.builds.dockerfile_model import PATH, Copy, File, Run, Stage, Step, Workdir


def stages(text: str, arch: str = "amd64", **build_args: str) -> list[Stage]:
    return dockerfile.parse(text.encode(), build_args, arch)


def steps(stage: Stage) -> list[Step]:
    return [event.step for event in stage.events if event.step is not None]


def run(text: str) -> Run:
    found = steps(stages(f"FROM base\n{text}\n")[-1])[-1]
    assert isinstance(found, Run)
    return found


def copy(text: str, before: str = "") -> Copy:
    found = steps(stages(f"FROM base AS one\nFROM base\n{before}\n{text}\n")[-1])[-1]
    assert isinstance(found, Copy)
    return found


def error(text: str, **build_args: str) -> DockerfileError:
    with pytest.raises(DockerfileError) as caught:
        stages(text, **build_args)
    return caught.value


def test_a_whole_dockerfile() -> None:
    (stage,) = stages(
        """# a comment
FROM scratch
LABEL org.example.name="a b" version=1
ENV GREETING=hello NAME='the world'
WORKDIR /srv
COPY hello .
RUN ["/srv/hello", "-v"]
EXPOSE 80 53/udp 7000-7001
VOLUME /data "/more data"
USER nobody:nogroup
ENTRYPOINT ["/srv/hello"]
CMD ["--help"]
STOPSIGNAL SIGINT
"""
    )
    assert stage.base == "scratch"
    assert stage.config.json() == {
        "Env": [PATH, "GREETING=hello", "NAME=the world"],
        "User": "nobody:nogroup",
        "ExposedPorts": {"53/udp": {}, "7000/tcp": {}, "7001/tcp": {}, "80/tcp": {}},
        "Entrypoint": ["/srv/hello"],
        "Cmd": ["--help"],
        "Volumes": {"/data": {}, "/more data": {}},
        "WorkingDir": "/srv",
        "Labels": {"org.example.name": "a b", "version": "1"},
        "StopSignal": "SIGINT",
    }
    assert steps(stage) == [
        Workdir(5, "/srv"),
        Copy(6, ("hello",), "/srv/"),
        Run(7, ("/srv/hello", "-v"), {"GREETING": "hello", "NAME": "the world"}, "", "/srv"),
    ]


def test_continued_lines_with_comments_between() -> None:
    assert run("RUN one \\\n# not this\n\n  two \\ \nthree").argv == ("/bin/sh", "-c", "one   two three")


def test_the_escape_directive_changes_what_continues_a_line() -> None:
    (stage,) = stages("# escape=`\nFROM base\nRUN a `\n  b\nCOPY C:\\x /y\n")
    first, second = steps(stage)
    assert isinstance(first, Run) and first.argv[2] == "a   b"
    assert isinstance(second, Copy) and second.sources == ("C:\\x",)


def test_a_directive_after_a_comment_is_a_comment() -> None:
    assert read(b"# x\n# escape=`\nFROM a\n").escape == "\\"


@pytest.mark.parametrize(
    ("text", "argv"),
    [
        ("RUN echo $X", ("/bin/sh", "-c", "echo $X")),
        ('RUN ["a", "b c"]', ("a", "b c")),
        ("RUN ['a']", ("/bin/sh", "-c", "['a']")),
        ('SHELL ["/bin/bash", "-ec"]\nRUN x', ("/bin/bash", "-ec", "x")),
        ("RUN <<EOF\none\n two\nEOF", ("/bin/sh", "-c", "one\n two\n")),
        ("RUN <<-'EOF'\n\tone\n\tEOF", ("/bin/sh", "-c", "one\n")),
        ("RUN cat <<A > /x && cat <<B\n1\nA\n2\nB", ("/bin/sh", "-c", "cat <<A > /x && cat <<B\n1\nA\n2\nB\n")),
        ("RUN echo $((1<<3)) ; cat <<<word", ("/bin/sh", "-c", "echo $((1<<3)) ; cat <<<word")),
    ],
)
def test_forms_of_run(text: str, argv: tuple[str, ...]) -> None:
    assert run(text).argv == argv


def test_a_here_document_with_its_own_interpreter() -> None:
    found = run("RUN <<X\n#!/usr/bin/python3\nprint(1)\nX")
    assert found.argv == (dockerfile.SCRIPT,)
    assert found.script == "#!/usr/bin/python3\nprint(1)\n"


def test_instructions_after_a_here_document_are_read() -> None:
    (stage,) = stages("FROM base\nRUN <<A\nFROM inner\nA\nENV X=1\n")
    assert stage.config.env == {"X": "1"}


def test_run_without_a_network() -> None:
    assert run("RUN --network=none true").network is False
    assert run("RUN true").network is True


def test_forms_of_copy() -> None:
    assert copy("COPY a b /c/") == Copy(4, ("a", "b"), "/c/")
    assert copy('COPY ["a b", "c"]', "WORKDIR /w") == Copy(4, ("a b",), "/w/c")
    assert copy("COPY --from=one --chown=7:8 --chmod=0750 /x /y") == Copy(4, ("/x",), "/y", (), 0, "7:8", 0o750)
    assert copy("COPY --from=0 /x /y").origin == 0
    assert copy("ADD a.tar.gz /x") == Copy(4, ("a.tar.gz",), "/x", unpack=True)
    assert copy("COPY . .", "WORKDIR /w").target == "/w/"
    assert copy("COPY x ../../../../etc/passwd", "WORKDIR /w").target == "/etc/passwd"


def test_copy_of_a_here_document() -> None:
    found = copy("COPY <<A <<'B' f /etc/\n$N \\$N\nA\n$N\nB", "ENV N=v")
    assert found.files == (File("A", "v $N\n"), File("B", "$N\n"))
    assert found.sources == ("f",)


def test_variables_of_one_instruction_see_what_was_before_it() -> None:
    (stage,) = stages("FROM base\nENV a=1\nENV a=2 b=$a\nENV c=${a}x d=${none:-y} e=${a:+set} f=${none+set}\n")
    assert stage.config.env == {"a": "2", "b": "1", "c": "2x", "d": "y", "e": "set", "f": ""}


def test_the_old_form_of_env_takes_the_rest_of_the_line() -> None:
    (stage,) = stages("FROM base\nENV a  b  c\n")
    assert stage.config.env == {"a": "b  c"}


def test_build_arguments() -> None:
    text = "ARG V=1\nARG BASE=debian:$V\nFROM $BASE\nARG V\nARG W=w$V\nENV W=env\nRUN x\n"
    (stage,) = stages(text)
    assert stage.base == "debian:1"
    assert steps(stage)[0].env == {"V": "1", "W": "env"}  # type: ignore[union-attr]
    (stage,) = stages(text, V="2", W="given", UNKNOWN="not passed", http_proxy="http://p:1")
    assert stage.base == "debian:2"
    assert steps(stage)[0].env == {"V": "2", "W": "env", "http_proxy": "http://p:1"}  # type: ignore[union-attr]
    assert stage.config.env == {"W": "env"}, "arguments are not in the image"


def test_the_platform_is_known() -> None:
    text = "ARG TARGETARCH\nFROM --platform=$TARGETPLATFORM b\nARG TARGETARCH\nLABEL a=$TARGETARCH\n"
    (stage,) = stages(text, "ppc64el")
    assert stage.config.labels == {"a": "ppc64le"}
    assert "builds for linux/amd64, not linux/arm64" in error("FROM --platform=linux/arm64 base\n").message


def test_a_stage_goes_on_from_an_earlier_one() -> None:
    first, second, third = stages('FROM base AS Build\nENV A=1\nCMD x\nFROM scratch\nFROM build\nENTRYPOINT ["y"]\n')
    assert (first.name, second.base, third.base) == ("build", "scratch", 0)
    assert third.config.env == {"A": "1"}
    assert third.config.cmd is None, "the base's command was meant for the base's entry point"


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("", "no instruction"),
        ("# only this\n", "no instruction"),
        ("RUN x\n", "line 1: RUN: only ARG may stand before the first FROM"),
        ("ARG x\n", "there is no FROM"),
        ("FROM a\nHEALTHCHECK CMD x\n", "line 2: HEALTHCHECK: this instruction is not supported"),
        ("FROM a\nONBUILD RUN x\n", "line 2: ONBUILD: this instruction is not supported"),
        ("FROM a\n\nFRMO b\n", "line 3: FRMO: this instruction is not supported"),
        ("FROM a b\n", "line 1: FROM: write FROM IMAGE"),
        ("FROM $NONE\n", "line 1: FROM: write FROM IMAGE"),
        ("FROM a AS scratch\n", "no name for a stage"),
        ("FROM a AS x\nFROM b AS X\n", "line 2: FROM: an earlier stage has the name x"),
        ("FROM a\nRUN --mount=type=secret,id=x y\n", "line 2: RUN: --mount=type=secret,id=x is not supported"),
        ("FROM a\nRUN []\n", "line 2: RUN: the list names no program"),
        ("FROM a\nCOPY x\n", "at least one source and the target"),
        ("FROM a\nCOPY x y z\n", "is a directory, and ends with /"),
        ("FROM a\nCOPY --from=b x y\n", "no earlier stage"),
        ("FROM a\nCOPY --chmod=u+x x y\n", "three or four octal digits"),
        ("FROM a\nCOPY --chown=a/b x y\n", "is not USER"),
        ("FROM a\nCOPY --parents x y\n", "--parents is not supported"),
        ("FROM a\nADD https://example.org/x /\n", "is not in the context"),
        ("FROM a\nADD git@example.org:x /\n", "is not in the context"),
        ("FROM a\nENV a=b c\n", "'c' is not NAME=value"),
        ("FROM a\nENV a\n", "has no value"),
        ("FROM a\nENV 'a b'=c\n", "no name of a variable"),
        ("FROM a\nENV a='b\n", "a ' is not closed"),
        ("FROM a\nENV a=${b:?needed}\n", "line 2: ENV: b: needed"),
        ("FROM a\nENV a=${b#x}\n", "not supported"),
        ("FROM a\nEXPOSE 0\n", "'0' is not a port"),
        ("FROM a\nEXPOSE 70000\n", "is not a port"),
        ("FROM a\nUSER a b\n", "is not USER"),
        ("FROM a\nSHELL sh\n", "write a JSON list"),
        ("FROM a\nRUN <<EOF\nx\n", "no closing EOF"),
        ("# escape=x\nFROM a\n", "escape must be"),
        ("# escape=`\n# escape=`\nFROM a\n", "comes twice"),
        ("FROM a\nCMD\n", "line 2: CMD: nothing follows it"),
    ],
)
def test_what_cannot_be_built_is_said_with_its_line(text: str, says: str) -> None:
    assert says in error(text).message


def test_all_problems_are_told_at_once() -> None:
    found = error("FROM a\nFOO\nEXPOSE x\nRUN y\nUSER ' '\n")
    assert [line.partition(":")[0] for line in (found.message, *found.details)] == ["line 2", "line 3", "line 5"]


def test_bytes_that_are_no_text() -> None:
    with pytest.raises(DockerfileError, match="line 2: the Dockerfile is not UTF-8"):
        dockerfile.parse(b"FROM a\n\xff\n", {}, "amd64")
    with pytest.raises(DockerfileError, match="more than"):
        dockerfile.parse(b"#" * (1 << 21), {}, "amd64")


_TEXT = st.text(st.sampled_from("FROMRUNCOPYENV abc=\\\n\"'`$<>{}[]#:-+?/\t"), max_size=120)


@given(_TEXT)
@settings(max_examples=300)
def test_any_text_is_stages_or_an_error(text: str) -> None:
    try:
        found = stages(f"FROM base\n{text}")
    except DockerfileError as error:
        assert error.message
    else:
        assert found and found[0].base == "base"


@given(st.text(max_size=60), st.text(max_size=60))
def test_a_quoted_value_stays_what_it_is(value: str, name: str) -> None:
    quoted = '"' + "".join("\\" + char if char in '"\\$' else char for char in value) + '"'
    assert dockerfile_words.expand(quoted, {"x": name}) == value
    assert dockerfile_words.split(f" {quoted} x ", {}) == [value, "x"]


@given(st.lists(st.text(st.characters(blacklist_categories=["Cs", "Cc", "Z"]), min_size=1, max_size=9), max_size=5))
def test_words_are_split_where_the_spaces_are(parts: list[str]) -> None:
    plain = [part for part in parts if not set(part) & set("\\'\"$")]
    assert dockerfile_words.split("  ".join(plain), {}) == plain
    assert dockerfile_words.raw_words(" ".join(plain)) == plain


def test_hostile_nesting_ends() -> None:
    assert "nested" in error("FROM a\nENV x=" + "${a:-" * 50 + "}" * 50 + "\n").message
    doubled = "".join(f"ENV v{i}=$v{i - 1}$v{i - 1}\n" for i in range(1, 40))
    assert "too long" in error(f"FROM a\nENV v0=0123456789\n{doubled}").message
