"""Every rule of a specification has a failing example: its place, its message, its hint."""

# ruff: noqa: E501 - a row of a table is one line, however long

import pytest

from contractor.core.errors import Rejected
from contractor.spec.load import load_spec
from contractor.spec.problems import SpecError

HEAD = "contractor: 1\nname: x\n"
TREE = "steps:\n  - create-systree: {base: debian-12}\n"
HEX = "0123456789abcdef" * 4


def problems(text: str | bytes, **options) -> list[str]:
    """All problems of a text as `line:column message | hint`."""
    with pytest.raises(SpecError) as caught:
        load_spec(text, **options)
    assert isinstance(caught.value, Rejected)
    return [f"{p.place.line}:{p.place.column} {p.message} | {p.hint}" for p in caught.value.problems]


def step(text: str) -> str:
    """A specification whose one step (after a system tree) begins in line 5, column 5."""
    body = "\n    ".join(text.split("\n"))
    return f"{HEAD}{TREE}  - {body}\n"


TOP = {
    "summary: x": ["1:1 the key contractor is missing", "1:1 the key name is missing", "1:1 the key steps is missing"],
    "contractor: 2\nname: x\nsteps: [empty-workspace]": ["1:13 this Contractor reads version 1 of the language, not \"2\" | write contractor: 1"],
    "contractor: 1.0\nname: x\nsteps: [empty-workspace]": ['1:13 this Contractor reads version 1 of the language, not "1.0"'],
    "contractor: 1\nname: My App\nsteps: [empty-workspace]": ['2:7 "My App" is not a name | use lower-case letters, digits and . _ + -'],
    "contractor: 1\nname: [x]\nsteps: [empty-workspace]": ["2:7 name must be a text, not a list"],
    "contractor: 1\nname:\nsteps: [empty-workspace]": ["2:6 name has no value | write a value, or leave the key out"],
    "contractor: 1\nname: null\nsteps: [empty-workspace]": ["2:7 name has no value | quote it to mean the text: 'null'"],
    HEAD + "steps: []": ["3:8 steps must be a list of steps, not an empty list"],
    HEAD + "steps:": ["3:7 steps must be a list of steps, not nothing"],
    HEAD + "steps: {shell: x}": ["3:8 steps must be a list of steps, not a mapping"],
    HEAD + "stepps: [empty-workspace]": ["1:1 the key steps is missing", '3:1 unknown key "stepps" at the top | did you mean steps?'],
    HEAD + "jobs: []\nsteps: [empty-workspace]": ['3:1 unknown key "jobs" at the top | did you mean steps?'],
    HEAD + "shell: x\nsteps: [empty-workspace]": ['3:1 unknown key "shell" at the top | it belongs to a step'],
    HEAD + "name: y\nsteps: [empty-workspace]": ["3:1 the key name is given twice, first in line 2 | keep one of the two"],
    HEAD + "epoch: -1\nsteps: [empty-workspace]": ['3:8 epoch must be a whole number, not "-1" | write digits, from 0 on'],
    HEAD + "epoch: 010\nsteps: [empty-workspace]": ['3:8 epoch must be a whole number, not "010" | write digits, no dots, no leading zeros'],
    HEAD + "env: {HOME: /x, 1A: b, CONTRACTOR_X: y, A: [1]}\nsteps: [empty-workspace]": [
        "3:7 HOME is set by Contractor itself",
        '3:17 "1A" is not a name of a variable',
        "3:24 CONTRACTOR_X is set by Contractor itself",
        "3:44 A in env must be a text, not a list",
    ],
    HEAD + "diagnostics: [/etc/passwd]\nsteps: [empty-workspace]": ['3:15 the path "/etc/passwd" is absolute | write it relative'],
    HEAD + "limits: {time: soon, memory: 4GB, disk: 10, memori: 1, files: 0}\nsteps: [empty-workspace]": [
        '3:16 time: "soon" is not a duration | write seconds',
        '3:30 memory: "4GB" is not clear: decimal or binary? | write 4G: sizes count in 1024s',
        "3:41 disk is 10 bytes: is a unit missing? | write 10G or 10M if that was meant; the least is 4K",
        '3:45 unknown key "memori" in limits | did you mean memory?',
        "3:63 files cannot be 0 | leave it out for the default",
    ],
    HEAD + "source: .\nsteps: [empty-workspace]": ["3:9 source cannot be a text | write source: {...}"],
    HEAD + "source: {}\nsteps: [empty-workspace]": ["3:9 source needs exactly one of path, git, url, this has none"],
    HEAD + "source: {path: ., url: 'http://a/b'}\nsteps: [empty-workspace]": [
        "3:9 source needs exactly one of path, git, url, this has both path and url",
        "3:9 source with url needs sha256 | its digest",
    ],
    HEAD + "source: {path: /etc}\nsteps: [empty-workspace]": ['3:16 the path "/etc" is absolute'],
    HEAD + "source: {path: ., ref: main}\nsteps: [empty-workspace]": ["3:24 ref goes with git, which is not given"],
    HEAD + "source: {git: {ref: main}}\nsteps: [empty-workspace]": ["3:15 git needs url"],
    HEAD + "source: {git: 'https://h/x', ref: --upload-pack=x}\nsteps: [empty-workspace]": ['3:35 "--upload-pack=x" is not a git branch'],
    HEAD + "source: {git: 'git@github.com:a/b', ref: v1}\nsteps: [empty-workspace]": [
        '3:15 "git@github.com:a/b" is not an http or https URL | write https://github.com/a/b'
    ],
}  # fmt: skip

PARAMETERS = {
    "parameters: {A: 1}": ["3:17 the parameter A must be a mapping | write A: {default: VALUE}"],
    "parameters: {PATH: {}}": ["3:14 PATH cannot be a parameter"],
    "parameters: {A-B: {}}": ['3:14 "A-B" is not a name of a variable'],
    "parameters: {A: {type: int}}": ['3:24 unknown type "int" | did you mean integer?'],
    "parameters: {A: {defalt: 1}}": ['3:18 unknown key "defalt" in the parameter A | did you mean default?'],
    "parameters: {A: {type: integer, default: x}}": ['3:42 A is an integer, not "x"'],
    "parameters: {A: {type: boolean, default: yes}}": ['3:42 A is a boolean, not "yes" | write true or false'],
    "parameters: {A: {default: c, choices: [a, b]}}": ['3:27 A cannot be "c" | one of a, b'],
    "parameters: {A: {choices: []}}": ["3:27 the parameter A has no choice"],
    "parameters: {A: {type: list, default: [a b]}}": ['3:40 "a b" cannot be an item of default'],
    "matrix: {arch: []}": ["3:16 a matrix with no value: arch has none"],
    "matrix: {arch: }": ["3:16 a matrix with no value: arch has none"],
    "matrix: {arch: [a, a]}": ['3:20 "a" stands twice in the matrix key arch'],
    "matrix: {arch: ['']}": ['3:17 "" cannot be a value of a matrix'],
    "matrix: {a: [1], A: [2]}": ["3:18 A differs from another matrix key only in case"],
    "matrix: {b c: [1]}": ['3:10 "b c" is not a name of a variable'],
    "parameters: {A: {}}\nmatrix: {A: [1]}": ["4:10 A is a parameter and a matrix key"],
    "matrix: {a: [%s], b: [%s]}" % (("1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15, 16, 17",) * 2): ["3:9 the matrix makes 289 builds"],
}  # fmt: skip

STEPS = {
    "shel: make": ['5:5 unknown key "shel" in a step | did you mean shell?'],
    "run: make": ['5:5 unknown key "run" in a step | did you mean shell?'],
    "name: x": ["5:5 this step has no action | add one of empty-workspace, create-artifact"],
    "shell: x\napt: [gcc]": ["6:5 a step has one action, this has shell, apt | begin a new step with -"],
    "empty-workspac": ['5:5 unknown action "empty-workspac" | did you mean empty-workspace?'],
    "shell": ["5:5 shell needs script"],
    "[a]": ["5:5 a step must be a mapping, not a list"],
    "~": ["5:5 a step must be a mapping, not nothing"],
    "shell:": ["5:11 shell needs script"],
    "shell: ' '": ["5:12 the script is empty | write the commands"],
    "shell: [a]": ["5:12 shell cannot be a list"],
    "shell: {scrip: x}": ["5:12 shell needs script", '5:13 unknown key "scrip" in shell | did you mean script?'],
    "shell: x\ntimeout: 0x10": ['6:14 timeout: "0x10" is not a duration | write seconds, or numbers with d, h, m or s'],
    "shell: x\ntimeout: 5m\nlimits: {time: 5m}": ["6:14 timeout and limits: {time} say the same"],
    "shell: x\nlimits: {disk: 5G}": ["6:14 disk is a limit of the build: workspace and layers together, not of a step"],
    "shell: x\nname: ''": ["6:11 a step's name must be one line"],
    "shell: x\nname: \"a\\nb\"": ["6:11 a step's name must be one line"],
    "shell: x\nenv: {WORKSPACE: /x}": ["6:11 WORKSPACE is set by Contractor itself"],
    "shell: x\nenv: [A=b]": ["6:10 env must be a mapping, not a list"],
    "shell: x\nif: {A: 1}": ['6:10 unknown parameter or matrix key "A" in if | there are no parameters and no matrix here'],
    "shell: x\nif: A": ["6:9 if must be a mapping of names to values"],
    "shell: x\ndiagnostics: [a/../b]": ['6:19 the path "a/../b" leads out by .. | write it without ..'],
    "shell: x\nnetwork: ['*']": ['6:15 "*" would open the whole network, and a build that may fetch anything cannot be repeated'],
    "shell: x\nnetwork: all": ['6:14 "all" would open the whole network'],
    "shell: x\nnetwork: yes": ['6:14 "yes" would open the whole network'],
    "shell: x\nnetwork: ['*:443']": ['6:15 "*:443" would open the whole network'],
    "shell: x\nnetwork: ['*.com']": ['6:15 "*.com" would open a whole top-level domain'],
    "shell: x\nnetwork: ['https://pypi.org/simple']": ['6:15 "https://pypi.org/simple" is not a host but a URL or an address range | write pypi.org'],
    "shell: x\nnetwork: [0.0.0.0/0]": ['6:15 "0.0.0.0/0" is not a host but a URL or an address range'],
    "shell: x\nnetwork: [a.b:99999, a_b:x, '-a', 'a b']": [
        '6:15 "a.b:99999" is not a host', '6:26 "a_b:x" is not a host', '6:33 "-a" is not a host', '6:39 "a b" is not a host'],
    "apt: [gcc]\nnetwork: [pypi.org]": ["6:5 network cannot be given for apt | only shell and custom steps may have network"],
    "apt: [gcc]\nsecrets: [A]": ["6:5 secrets cannot be given for apt"],
    "shell: x\nsecrets: [a/b]": ['6:15 "a/b" is not a name of a variable'],
    "apt: []": ["5:10 packages of apt is an empty list"],
    "apt:": ["5:9 apt needs packages"],
    "apt: [-o, Gcc, gcc-]": ['5:11 "-o" is not a Debian package', '5:15 "Gcc" is not', '5:20 "gcc-" is not'],
    "apt: {packages: [gcc], update: no}": ['5:36 update of apt must be true or false, not "no" | write false'],
    "create-artifact: a b": ['5:22 "a b" is not an artifact name'],
    f"create-artifact: {HEX}": ["5:22 an artifact's name cannot look like a digest"],
    "create-artifact: {name: a, files: []}": ["5:39 files of create-artifact is an empty list"],
    "create-artifact: {name: a, files: [../x]}": ['5:40 the path "../x" leads out by ..'],
    "create-artifact: {name: a, format: zip}": ['5:40 format of create-artifact cannot be "zip" | one of tar.zst, tar'],
    "create-artifact: {files: [a]}": ["5:22 create-artifact needs name"],
    "empty-workspace: {keep: [~/x]}": ['5:30 the path "~/x" begins with ~'],
    "unpack-artifact: nothing": ['5:5 no earlier step creates the artifact "nothing" | create it with create-artifact before'],
    f"unpack-artifact: {{name: a, digest: {HEX}}}": ["5:22 unpack-artifact needs exactly one of name, digest, base, this has both"],
    "unpack-artifact: {digest: abc}": ["5:31 a sha256 is 64 hexadecimal digits, this has 3 characters | sha256sum FILE prints it"],
    f"unpack-artifact: {{digest: {'g' * 64}}}": ["5:31 a sha256 is 64 hexadecimal digits, this has other characters"],
    "create-systree: debian-12": ['5:5 no earlier step creates the artifact "debian-12" | if it is a base, write create-systree: {base: debian-12}'],
    "create-systree: {}": ["5:21 create-systree needs exactly one of artifact, base, this has none"],
    "debootstrap: Bookworm": ['5:18 "Bookworm" is not a Debian suite'],
    "debootstrap: {suite: sid, variant: big, arch: AMD, mirror: ftp://x}": [
        '5:40 variant of debootstrap cannot be "big"', '5:51 "AMD" is not a Debian architecture', '5:64 "ftp://x" is not an http or https URL'],
    f"fetch: {{url: file:///etc/passwd, sha256: {HEX}}}": ['5:18 "file:///etc/passwd" is not an http or https URL'],
    f"fetch: {{url: 'https://me:pw@h/x', sha256: {HEX}}}": ["5:18 the URL holds a user name or password"],
    f"fetch: {{url: 'https:///x', sha256: {HEX}}}": ['5:18 the URL "https:///x" has no valid host'],
    f"fetch: {{url: 'https://a b/x', sha256: {HEX}}}": ['5:18 the URL "https://a b/x" holds a space'],
    f"fetch: {{url: 'https://h/', sha256: {HEX}}}": ["5:12 the URL has no file name"],
    "fetch: https://h/x": ["5:12 fetch cannot be a text | write fetch: {url, sha256, to}"],
    "fetch: {url: 'https://h/x'}": ["5:12 fetch needs sha256"],
    f"fetch: {{url: 'https://h/x', sha256: {HEX}, to: /x}}": ['5:111 the path "/x" is absolute'],
    "custom: a/b": ['5:13 "a/b" is not a name of a custom action'],
    "custom: {name: a, args: {1: x}}": ['5:30 "1" is not a name of an argument'],
    "pipeline: x": ['5:15 unknown pipeline "x" | define it under pipelines: at the top'],
    "pipeline: x\ntimeout: 5m": ["5:15 unknown", "6:5 timeout cannot be given for pipeline | give it to the pipeline's own steps"],
    "apt: ['${X}']": ['5:11 unknown name "${X}" | there are no parameters and no matrix here'],
    "apt: ['${X']": ['5:11 the reference "${X" is not closed | write ${NAME}, or $${'],
}  # fmt: skip


def check(found: list[str], expected: list[str]) -> None:
    assert len(found) == len(expected), found
    for problem, start in zip(found, expected, strict=True):
        assert problem.startswith(start), found
        assert not problem.endswith("| "), f"no hint: {problem}"


@pytest.mark.parametrize("text", TOP)
def test_top(text):
    check(problems(text), TOP[text])


@pytest.mark.parametrize("text", PARAMETERS)
def test_parameters_and_matrix(text):
    check(problems(f"{HEAD}{text}\nsteps: [empty-workspace]"), PARAMETERS[text])


@pytest.mark.parametrize("text", STEPS)
def test_steps(text):
    check(problems(step(text)), STEPS[text])


def test_a_step_of_the_wrong_value_never_runs():
    head = HEAD + "parameters: {MODE: {choices: [fast, slow]}}\nmatrix: {arch: [amd64, arm64]}\n" + TREE
    found = problems(
        head + "  - {shell: x, if: {arch: amd46}}\n  - {shell: x, if: {MODE: []}}\n  - {shell: x, if: {MOD: x}}"
    )
    check(
        found,
        [
            '7:27 arch is never "amd46", so this step would never run | did you mean amd64?',
            "8:27 MODE in if has no value, so this step would never run",
            '9:21 unknown parameter or matrix key "MOD" in if | did you mean MODE?',
        ],
    )


def test_artifacts_and_trees_come_before_their_use():
    text = (
        HEAD
        + "steps:\n"
        + "\n".join(
            (
                "  - shell: make",
                "  - apt: [gcc]",
                "  - unpack-artifact: late",
                "  - create-artifact: late",
                "  - create-artifact: late",
                "  - unpack-artifact: laet",
            )
        )
    )
    check(
        problems(text),
        [
            "4:5 there is no system tree yet for this step to run on | add a step `- create-systree: {base: debian-12}`",
            '6:5 no earlier step creates the artifact "late" | it is created later, in contractor.yaml:7:5',
            '8:5 the artifact "late" is created twice, first in contractor.yaml:7:5 | give one',
            '9:5 no earlier step creates the artifact "laet" | did you mean late?',
        ],
    )


def test_a_step_that_could_not_be_loaded_is_not_missed_as_well():
    assert len(problems(HEAD + "steps:\n  - create-systree: {bas: x}\n  - shell: x")) == 2
    assert len(problems(HEAD + "steps:\n  - create-sistree: {base: x}\n  - shell: x")) == 1
    assert len(problems(HEAD + "steps:\n  - create-artifact: {name: a, fils: x}\n  - unpack-artifact: a")) == 1


def test_conditions_may_make_one_name_twice():
    text = (
        HEAD
        + "matrix: {arch: [a, b]}\nsteps:\n"
        + "".join(f"  - {{create-artifact: out, if: {{arch: {arch}}}}}\n" for arch in "ab")
    )
    assert len(load_spec(text).steps) == 2


def test_too_many_steps():
    found = problems(HEAD + "steps:\n" + "  - empty-workspace\n" * 1001)
    check(found, ["1004:5 more than 1000 steps"])


def test_all_problems_are_told_in_the_order_of_the_text_and_rendered_with_hints():
    with pytest.raises(SpecError) as caught:
        load_spec("contractor: 1\nname: X!\nsteps:\n  - shel: x\n  - apt: []\nepoc: 1\n", "ci/contractor.yaml")
    error = caught.value
    assert error.message == "ci/contractor.yaml has 4 problems"
    assert error.details[:2] == (
        'ci/contractor.yaml:2:7: "X!" is not a name',
        "  hint: use lower-case letters, digits and . _ + -",
    )
    assert [p.place.line for p in error.problems] == [2, 4, 5, 6]
    assert error.exit_code == 2


def test_one_problem_is_the_message():
    with pytest.raises(SpecError) as caught:
        load_spec(HEAD + "steps: [shell: '']")
    assert caught.value.message == "contractor.yaml:3:16: the script is empty"
    assert caught.value.hint and not caught.value.details


def test_very_many_problems_are_counted():
    with pytest.raises(SpecError) as caught:
        load_spec(HEAD + "steps:\n" + "  - bad: x\n" * 500)
    assert caught.value.message == "contractor.yaml has 500 problems"
    assert len(caught.value.problems) == 100
    assert caught.value.details[-1] == "and 400 more"
