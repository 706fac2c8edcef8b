"""Why an action runs: what changed, in words, and the step where the change began."""

from __future__ import annotations

from contractor.cli.commands import plan as command
from contractor.plan.model import Facts, Plan, decode, encode
from contractor.plan.planner import make_plan
from contractor.plan.reasons import Earlier, decide
from contractor.sandbox.spec import Tier
from contractor.spec import model
from contractor.spec.model import BuildSpec, Step
from contractor.spec.resolve import Resolved

PLACE = model.Place("contractor.yaml", 1, 1)
TREE = model.CreateSystree(artifact="1" * 64)


def planned(*actions: model.AnyAction, envs: dict[int, dict[str, str]] | None = None, source: str = "a" * 64) -> Plan:
    steps = tuple(
        Step(action=action, name=f"s{n}", place=PLACE, env=(envs or {}).get(n, {})) for n, action in enumerate(actions)
    )
    facts = Facts(arch="amd64", epoch=1, epoch_origin="given", sources={0: source})
    spec = BuildSpec(name="b", steps=steps)
    made = make_plan(spec, Resolved(steps=steps), facts, base_plan=lambda _name, _step: made)
    return decode(encode(made))


def earlier(plan: Plan, *outcomes: str, build: str = "old") -> Earlier:
    return Earlier(build, plan, outcomes or ("succeeded",) * len(plan.actions))


def reasons(plan: Plan, *before: Earlier, found: tuple[int, ...] = ()) -> list[str]:
    made_by = {plan.actions[n].key: "old" for n in found}
    return [decision.reason for decision in decide(plan, made_by, before)]


SOURCE = model.Source(path=".")
BUILD = (SOURCE, TREE, model.Apt(("gcc", "make")), model.Shell("make"), model.CreateArtifact("out"))


def test_never_ran_and_cached():
    plan = planned(*BUILD)
    assert reasons(plan) == ["never ran"] * 5
    assert reasons(plan, found=(0, 1, 2, 3, 4)) == ["made by old"] * 5
    assert not any(decision.runs for decision in decide(plan, dict.fromkeys([a.key for a in plan.actions], "x"), []))


def test_a_script_that_changed_and_what_follows_from_it():
    new = planned(*BUILD[:3], model.Shell("make all"), BUILD[4])
    found = reasons(new, earlier(planned(*BUILD)), found=(0, 1, 2))
    assert found[3:] == ["script line 1 changed", "workspace changed because of step 4 (s3)"]


def test_packages_and_the_tree():
    new = planned(SOURCE, TREE, model.Apt(("gcc", "cmake")), *BUILD[3:])
    found = reasons(new, earlier(planned(*BUILD)), found=(0, 1))
    assert found[2:] == [
        "packages grew by cmake and lost make",
        "tree changed because of step 3 (s2)",
        "workspace changed because of step 3 (s2)",
    ]


def test_source_is_the_cause_to_the_end_of_the_chain():
    new = planned(*BUILD, source="b" * 64)
    found = decide(new, {action.key: "old" for action in new.actions[1:3]}, [earlier(planned(*BUILD))])
    assert found[0].reason == "source changed (aaaaaaaaaaaa -> bbbbbbbbbbbb)"
    assert found[3].reason == "workspace changed because of step 1 (s0)"
    assert found[4].reason == "workspace changed because of step 1 (s0)"
    assert [decision.cause for decision in found] == [0, -1, -1, 0, 0]


def test_variables_of_the_environment():
    old = planned(*BUILD, envs={3: {"A": "1", "B": "1"}})
    new = planned(*BUILD, envs={3: {"A": "2", "C": "1"}})
    assert reasons(new, earlier(old), found=(0, 1, 2))[3] == "env A 1 -> 2; env B removed; env C=1 added"


def test_an_action_that_had_no_luck_or_lost_its_result():
    plan = planned(*BUILD)
    last = earlier(plan, "cached", "cached", "succeeded", "failed", "not run", build="b2")
    assert reasons(plan, last, found=(0, 1))[2:] == [
        "its result is no longer in the store (b2)",
        "failed last time (b2)",
        "was not reached last time (b2)",
    ]


def test_the_newest_build_that_finished_the_step_is_compared_with():
    good = planned(*BUILD)
    bad = planned(*BUILD[:3], model.Shell("mak"), BUILD[4])
    new = planned(*BUILD[:3], model.Shell("make -j"), BUILD[4])
    last = earlier(bad, "cached", "cached", "cached", "failed", "not run", build="b2")
    found = reasons(new, last, earlier(good), found=(0, 1, 2))
    assert found[3:] == ["script line 1 changed", "workspace changed because of step 4 (s3)"]


def test_the_table_and_the_json_have_every_step():
    plan: Plan = planned(*BUILD)
    decisions = decide(plan, {plan.actions[0].key: "old"}, [])
    shown = command.Shown(plan, decisions, {"base": command.Shown(plan, decisions, {}, ())}, ())
    lines = command.steps(shown)
    assert lines[0].startswith("  base base, which must be built first")
    assert lines[1].startswith("      ")
    assert [line.split()[0] for line in lines[-5:]] == ["1", "2", "3", "4", "5"]
    assert plan.actions[4].key[:12] in lines[-1] and plan.actions[4].key not in lines[-1]
    found = command.as_json(shown)
    assert [step["runs"] for step in found["steps"]] == [False, True, True, True, True]
    assert found["steps"][0]["cause"] is None and found["steps"][1]["cause"] == 2
    assert len(found["bases_to_build"]["base"]["steps"]) == 5


def test_a_degraded_tier_is_said_loudly():
    tier = Tier(name="one-id", summary="DEGRADED: no subordinate ids", degraded=True, memory="none")
    assert any("DEGRADED" in line for line in command.heading(planned(*BUILD), tier))
