"""The machine that says what runs next: one rule for every container."""

from __future__ import annotations

import random
from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from runner.templates import render
from runner.workflows.items import Effect, Result
from runner.workflows.machine import Machine
from runner.workflows.nodes import Iterations, Node
from tests.workflows.reference import Interpreter


def leaf(id: str, *needs: str, **more: Any) -> Node:
    return Node(id, "shell", needs, **more)


def pipeline(*nodes: Node) -> tuple[Node, ...]:
    """Each needs the one before it."""
    import dataclasses

    return tuple(
        node if n == 0 else dataclasses.replace(node, needs=(nodes[n - 1].id,)) for n, node in enumerate(nodes)
    )


def container(kind: str, *nodes: Node) -> Node:
    """The same children in a workflow, a loop's body, a group or a sub-workflow, as a whole workflow."""
    inner: dict[str, Node] = {
        "workflow": Node("w", "workflow", children=nodes),
        "group": Node("w", "workflow", children=(Node("c", "group", children=nodes),)),
        "loop": Node("w", "workflow", children=(Node("c", "loop", children=nodes, iterations=Iterations(max=1)),)),
        "sub": Node("w", "workflow", children=(Node("c", "workflow", children=nodes),)),
    }
    return inner[kind]


CONTAINERS = ("workflow", "group", "loop", "sub")
PREFIX = {"workflow": "", "group": "c/", "loop": "c[1]/", "sub": "c/"}


def play(
    root: Node,
    outcomes: dict[str, str] | Callable[[Effect], Result],
    *,
    slots: int = 1,
    seed: int | None = None,
    values: dict[str, Any] | None = None,
    fail_fast: bool = True,
) -> tuple[Machine, list[str]]:
    """Run to the end → the machine, and the addresses of what ran, in order."""
    dice = random.Random(seed)
    machine = Machine(root, values or {}, fail_fast=fail_fast)
    running: list[Effect] = []
    order: list[str] = []
    while not machine.over:
        while len(running) < slots and (effect := machine.take()) is not None:
            running.append(effect)
            order.append(effect.address)
        assert running, f"stuck: {states(machine)}"
        effect = running.pop(dice.randrange(len(running)) if seed is not None else 0)
        if callable(outcomes):
            result = outcomes(effect)
        else:
            outcome = outcomes.get(effect.address, "ok")
            result = Result(outcome, f"out of {effect.address}")
        machine.answer(effect, result)
    assert not running or slots > 1
    return machine, order


def states(machine: Machine) -> dict[str, str]:
    return {item.path: item.state for item in machine.all() if item.path}


@pytest.mark.parametrize("kind", CONTAINERS)
def test_children_run_in_order_and_a_container_is_done_when_they_are(kind: str) -> None:
    machine, order = play(container(kind, *pipeline(leaf("a"), leaf("b"), leaf("c"))), {})
    p = PREFIX[kind]
    assert order == [f"{p}a", f"{p}b", f"{p}c"]
    assert machine.root.state == "done"


@pytest.mark.parametrize("kind", CONTAINERS)
def test_what_needs_a_failed_step_does_not_run(kind: str) -> None:
    p = PREFIX[kind]
    machine, order = play(container(kind, *pipeline(leaf("a"), leaf("b"), leaf("c"))), {f"{p}b": "crashed"})
    assert order == [f"{p}a", f"{p}b"]
    assert states(machine)[f"{p}c"] == "not_run"
    assert machine.root.state == "failed"


@pytest.mark.parametrize("kind", CONTAINERS)
def test_a_tolerated_failure_satisfies_needs_and_fails_nothing(kind: str) -> None:
    p = PREFIX[kind]
    nodes = pipeline(leaf("a"), leaf("b", continue_on_failure=True), leaf("c"))
    machine, order = play(container(kind, *nodes), {f"{p}b": "timeout"})
    assert order[-1] == f"{p}c"
    assert (states(machine)[f"{p}b"], machine.root.state) == ("failed", "done")


@pytest.mark.parametrize("kind", CONTAINERS)
def test_previous_success_skips_and_a_skipped_step_is_looked_past(kind: str) -> None:
    p = PREFIX[kind]
    nodes = pipeline(
        leaf("try", continue_on_failure=True),
        leaf("fix", skip_if="previous_success"),
        leaf("again", skip_if="previous_success"),
    )
    machine, order = play(container(kind, *nodes), {})
    assert order == [f"{p}try"]
    assert states(machine)[f"{p}again"] == "skipped"
    machine, order = play(container(kind, *nodes), {f"{p}try": "crashed"})
    assert order == [f"{p}try", f"{p}fix"]


@pytest.mark.parametrize("kind", CONTAINERS)
def test_a_probe_that_exits_with_0_skips(kind: str) -> None:
    p = PREFIX[kind]
    nodes = pipeline(leaf("a", skip_if="sh: test -f done"), leaf("b"))
    for outcome, ran in (("ok", [f"{p}a?", f"{p}b"]), ("check_failed", [f"{p}a?", f"{p}a", f"{p}b"])):
        _, order = play(container(kind, *nodes), {f"{p}a?": outcome})
        assert order == ran
    machine, _ = play(container(kind, *nodes), {f"{p}a?": "timeout"})
    assert machine.root.state == "failed"


@pytest.mark.parametrize("kind", CONTAINERS)
@pytest.mark.parametrize(
    ("when", "after_failure", "after_success"),
    [
        ("always()", "done", "done"),
        ("failure()", "done", "skipped"),
        ("success()", "not_run", "done"),
        ("steps.a.outcome == 'crashed'", "not_run", "skipped"),
        ("always() and steps.a.outcome == 'crashed'", "done", "skipped"),
    ],
)
def test_conditions(kind: str, when: str, after_failure: str, after_success: str) -> None:
    p = PREFIX[kind]
    root = container(kind, *pipeline(leaf("a"), leaf("b", when=when)))
    assert states(play(root, {f"{p}a": "crashed"})[0])[f"{p}b"] == after_failure
    assert states(play(root, {})[0])[f"{p}b"] == after_success


def test_a_dependant_starts_while_a_slow_sibling_runs() -> None:
    root = Node(
        "w", "workflow", children=(leaf("slow"), leaf("quick"), leaf("next", "quick"), leaf("last", "slow", "next"))
    )
    machine = Machine(root, {})
    slow, quick = machine.take(), machine.take()
    assert slow is not None
    assert quick is not None
    machine.answer(quick, Result())
    following = machine.take()
    assert following is not None
    assert following.address == "next"
    machine.answer(following, Result())
    assert machine.take() is None
    machine.answer(slow, Result())
    last = machine.take()
    assert last is not None
    machine.answer(last, Result())
    assert machine.root.state == "done"


def test_fail_fast_starts_nothing_new_and_lets_running_steps_finish() -> None:
    root = Node(
        "w", "workflow", children=(leaf("a"), leaf("b"), leaf("c", "b"), leaf("d"), leaf("clean", when="always()"))
    )
    machine = Machine(root, {})
    effects = {}
    for _ in range(2):
        effect = machine.take()
        assert effect is not None
        effects[effect.address] = effect
    machine.answer(effects["a"], Result("crashed"))
    following = machine.take()
    assert following is not None
    assert following.address == "clean"
    machine.answer(effects["b"], Result())
    machine.answer(following, Result())
    assert machine.over
    assert states(machine) == {"a": "failed", "b": "done", "c": "not_run", "d": "not_run", "clean": "done"}


def test_with_continue_only_what_needs_the_failure_stays() -> None:
    root = Node("w", "workflow", children=(leaf("a"), leaf("b", "a"), leaf("c"), leaf("d", "c")))
    machine, order = play(root, {"a": "crashed"}, fail_fast=False)
    assert order == ["a", "c", "d"]
    assert machine.root.state == "failed"


def loop(*nodes: Node, **more: Any) -> Node:
    given = {key: more.pop(key) for key in ("max", "over", "name", "index", "require_matches") if key in more}
    return Node(
        "w",
        "workflow",
        children=pipeline(
            Node("l", "loop", children=pipeline(*nodes), iterations=Iterations(**given), **more), leaf("after")
        ),
    )


@pytest.mark.parametrize(
    ("break_if", "outcomes", "state", "rounds"),
    [
        ("success", {"l[1]/a": "crashed"}, "failed", 1),
        ("success", {}, "done", 1),
        ("failure", {"l[2]/a": "crashed"}, "done", 2),
        ("failure", {}, "failed", 3),
        (None, {}, "done", 3),
        (None, {"l[2]/a": "crashed"}, "failed", 2),
    ],
)
def test_counted_loops(break_if: Any, outcomes: dict[str, str], state: str, rounds: int) -> None:
    machine, order = play(loop(leaf("a", break_if=break_if), max=3), outcomes)
    assert states(machine)["l"] == state
    assert len([one for one in order if one.startswith("l[")]) == rounds
    assert states(machine)["after"] == ("done" if state == "done" else "not_run")


def test_break_is_asked_before_the_failure_counts_and_ends_the_iteration() -> None:
    machine, order = play(loop(leaf("a", break_if="failure"), leaf("b"), max=3), {"l[1]/a": "crashed"})
    assert order == ["l[1]/a", "after"]
    assert machine.root.state == "done"


def test_an_inner_loops_break_is_not_its_outers() -> None:
    inner = Node("i", "loop", children=(leaf("x", break_if="success"),), iterations=Iterations(max=2))
    machine, order = play(loop(inner, max=2), {})
    assert order == ["l[1]/i[1]/x", "l[2]/i[1]/x", "after"]
    assert machine.root.state == "done"


def test_a_break_in_a_group_ends_the_loop_around_it() -> None:
    group = Node("g", "group", children=(leaf("x", break_if="success"),))
    machine, order = play(loop(group, leaf("y"), max=3), {})
    assert order == ["l[1]/g/x", "after"]
    assert machine.root.state == "done"


def test_for_each_over_a_glob_and_over_items() -> None:
    def outcomes(effect: Effect) -> Result:
        if effect.kind == "expand":
            return Result(values={"items": ["b.md", "a.md"]})
        return Result(output=f"{effect.scope['file']} {effect.scope['n']}")

    root = Node(
        "w",
        "workflow",
        children=(
            Node("l", "loop", children=(leaf("a"),), iterations=Iterations(over="*.md", name="file", index="n")),
        ),
    )
    machine, order = play(root, outcomes)
    assert order == ["l*", "l[b.md]/a", "l[a.md]/a"]
    assert [one["a"]["output"] for one in machine.root.inside.items["l"].rounds] == ["b.md 0", "a.md 1"]  # type: ignore[union-attr]
    root = Node(
        "w",
        "workflow",
        children=(Node("l", "loop", children=(leaf("a"),), iterations=Iterations(over=("x", "y"), name="f")),),
    )
    assert play(root, {})[1] == ["l[x]/a", "l[y]/a"]


def test_no_match_is_a_success_unless_matches_are_required() -> None:
    for required, state in ((False, "done"), (True, "failed")):
        nodes = (
            Node(
                "l",
                "loop",
                children=(leaf("a"),),
                iterations=Iterations(over="*.md", name="f", require_matches=required),
            ),
        )
        machine, _ = play(Node("w", "workflow", children=nodes), lambda effect: Result(values={"items": []}))
        assert machine.root.state == state


def test_names_and_captures_of_an_iteration_and_what_stays_of_them() -> None:
    seen: list[tuple[str, str]] = []

    def outcomes(effect: Effect) -> Result:
        scope = effect.scope
        seen.append((effect.address, render("{{outer}} {{last}}" if "last" in scope else "{{outer}} -", scope)))
        return Result(output=f"of {effect.address}")

    play(loop(leaf("a", capture="last"), max=2), outcomes, values={"outer": "o"})
    assert seen == [("l[1]/a", "o -"), ("l[2]/a", "o of l[1]/a"), ("after", "o of l[2]/a")]


def test_a_sub_workflow_sees_its_parameters_only_and_gives_back_what_it_lists() -> None:
    seen: dict[str, list[str]] = {}

    def outcomes(effect: Effect) -> Result:
        seen[effect.address] = sorted(effect.scope.known())
        return Result(output=f"out of {effect.address}")

    sub = Node(
        "s",
        "workflow",
        children=(leaf("x", capture="inner"),),
        params={"p": "{{a}}!"},
        outputs={"result": "<{{inner}}>"},
    )
    root = Node(
        "w",
        "workflow",
        children=pipeline(leaf("first", capture="a"), sub, leaf("last", when="steps.s.result == '<out of s/x>'")),
    )
    _, order = play(root, outcomes)
    assert order == ["first", "s/x", "last"]
    assert seen == {"first": ["steps"], "s/x": ["p", "steps"], "last": ["a", "steps"]}


def test_steps_are_looked_up_outward_and_never_into_a_sub_workflow() -> None:
    group = Node("g", "group", children=(leaf("x", when="steps.first.output == 'out of first'"),))
    sub = Node("s", "workflow", children=(leaf("y", when="steps.first.output == ''"),))
    root = Node("w", "workflow", children=pipeline(leaf("first"), group, sub))
    machine, order = play(root, {})
    assert order == ["first", "g/x"]
    assert states(machine)["s/y"] == "failed"


def test_skipping_a_capturing_step_leaves_it_empty_with_a_warning() -> None:
    warnings: list[str] = []
    root = Node("w", "workflow", children=pipeline(leaf("a", when="false", capture="got"), leaf("b", when="got == ''")))
    machine = Machine(root, {}, warn=warnings.append)
    effect = machine.take()
    assert effect is not None
    assert effect.address == "b"
    assert warnings == ["a was skipped: 'got' is empty"]


def test_a_step_that_waits_parks_its_branch_only() -> None:
    root = Node("w", "workflow", children=(Node("gate", "gate"), leaf("after", "gate"), leaf("other")))
    machine = Machine(root, {})
    gate, other = machine.take(), machine.take()
    assert gate is not None
    assert other is not None
    machine.wait(gate)
    machine.answer(other, Result())
    assert machine.take() is None
    assert states(machine) == {"gate": "waiting", "after": "pending", "other": "done"}
    machine.answer(gate, Result(values={"answer": "ship"}))
    after = machine.take()
    assert after is not None
    assert after.scope.look_up(("steps", "gate", "answer")) == "ship"


def test_cancel_ends_what_has_not_begun_and_waits_for_what_runs() -> None:
    nodes = (leaf("a"), leaf("b", "a"), Node("g", "group", ("a",), children=(leaf("x"),)))
    machine = Machine(Node("w", "workflow", children=nodes), {})
    effect = machine.take()
    assert effect is not None
    machine.cancel()
    assert not machine.over
    machine.answer(effect, Result("cancelled"))
    assert machine.over
    assert states(machine)["b"] == "cancelled"


def test_long_chains_need_no_recursion() -> None:
    skipped = [leaf("n0"), *(leaf(f"n{n}", f"n{n - 1}", when="false") for n in range(1, 3000))]
    machine, order = play(Node("w", "workflow", children=tuple(skipped)), {})
    assert order == ["n0"]
    assert machine.root.state == "done"


# Against the reference

_WHEN = st.sampled_from([None, None, None, None, "always()", "failure()", "success()"])


@st.composite
def trees(draw: st.DrawFn, depth: int = 2) -> tuple[Node, ...]:
    count = draw(st.integers(1, 4))
    dag = draw(st.booleans())
    in_loop = depth < 2
    nodes: list[Node] = []
    for n in range(count):
        if dag:
            needs = tuple(f"n{m}" for m in range(n) if draw(st.integers(0, 3)) == 0)
        else:
            needs = (f"n{n - 1}",) if n else ()
        common: dict[str, Any] = {
            "needs": needs,
            "when": draw(_WHEN) if needs else None,
            "skip_if": "previous_success" if not dag and n and draw(st.integers(0, 3)) == 0 else None,
            "break_if": draw(st.sampled_from([None, None, None, "success", "failure"]))
            if in_loop and not dag
            else None,
            "continue_on_failure": draw(st.booleans()),
        }
        kind = draw(st.sampled_from(["shell", "shell", "loop", "group", "workflow"])) if depth else "shell"
        if kind == "shell":
            nodes.append(Node(f"n{n}", "shell", **common))
            continue
        iterations = None
        if kind == "loop":
            iterations = draw(
                st.one_of(
                    st.builds(Iterations, max=st.integers(1, 3)),
                    st.builds(Iterations, over=st.sampled_from([(), ("x",), ("x", "y")]), name=st.just("i")),
                )
            )
        inner = draw(trees(depth=depth - 1))
        if kind == "workflow" or (kind == "group" and dag):
            # Which of two parallel steps is first broken off is a matter of time.
            inner = tuple(_without_breaks(node) for node in inner)
        nodes.append(Node(f"n{n}", kind, children=inner, iterations=iterations, **common))  # type: ignore[arg-type]
    return tuple(nodes)


def _without_breaks(node: Node) -> Node:
    import dataclasses

    children = node.children if node.kind == "loop" else tuple(_without_breaks(child) for child in node.children)
    return dataclasses.replace(node, break_if=None, children=children)


def siblings(nodes: tuple[Node, ...]) -> dict[int, tuple[Node, ...]]:
    found = {}
    for node in nodes:
        found[id(node)] = nodes
        found.update(siblings(node.children))
    return found


@settings(max_examples=400, deadline=None)
@given(trees(), st.integers(0, 2**32), st.integers(1, 4))
def test_in_whatever_order_it_runs_the_states_are_those_of_the_reference(
    nodes: tuple[Node, ...], seed: int, slots: int
) -> None:
    nodes = tuple(_at_top(node) for node in nodes)
    root = Node("w", "workflow", children=nodes)

    class Outcomes(dict[str, str]):
        def get(self, path: str, default: Any = None) -> str:
            return "crashed" if random.Random(f"{seed}{path}").random() < 0.35 else "ok"

    reference = Interpreter(Outcomes(), parents=siblings(nodes))
    failed, _ = reference.frame(nodes, "")
    machine, order = play(root, Outcomes(), slots=slots, seed=seed, fail_fast=False)
    found = states(machine)
    wanted = {path: state for path, state in reference.states.items() if path in found}
    assert {path: found[path] for path in wanted} == wanted
    assert machine.root.state == ("failed" if failed else "done")
    assert sorted(order) == sorted(reference.ran)


def _at_top(node: Node) -> Node:
    """Outside a loop nothing can be broken out of."""
    import dataclasses

    if node.kind == "loop":
        return dataclasses.replace(node, break_if=None)
    return dataclasses.replace(node, break_if=None, children=tuple(_at_top(child) for child in node.children))
