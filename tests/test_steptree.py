"""The tree of a run without a terminal: what is told moves its counts, and which steps are shown in how many rows."""

from __future__ import annotations

from typing import Any

import pytest

from runner.cli.output import width
from runner.cli.stepnodes import Tree
from runner.cli.steprows import Chooser, Row
from runner.cli.stepwords import cut_path, how_far, outcome
from runner.workflows.nodes import Iterations, Node


def leaf(id: str, **more: Any) -> Node:
    return Node(id, "shell", **more)


def group(id: str, *children: Node, kind: Any = "group", **more: Any) -> Node:
    return Node(id, kind, children=children, **more)


def tell(tree: Tree, path: str, status: str, kind: str = "shell", **more: Any) -> None:
    tree.tell({"id": path.rpartition("/")[2], "path": path, "kind": kind, "status": status, **more})


def done(tree: Tree) -> tuple[int, int, int]:
    """Of the whole: done, known, and loops that may add more."""
    return tree.root.counts["done"], tree.root.total, tree.root.unknown


def names(rows: list[Row]) -> list[str]:
    return [f"… {row.more}" if row.more else row.twig.path for row in rows]


BIG = {
    "flat": (group("w", *(leaf(f"s{n}") for n in range(10_000)), kind="workflow"), ""),
    "groups": (
        group("w", *(group(f"g{g}", *(leaf(f"s{n}") for n in range(100))) for g in range(100)), kind="workflow"),
        "g",
    ),
}


@pytest.mark.parametrize("shape", BIG)
@pytest.mark.parametrize("room", [0, 1, 2, 5, 22, 48, 200])
def test_of_ten_thousand_steps_as_many_are_looked_at_as_there_is_room_for(shape: str, room: int) -> None:
    root, prefix = BIG[shape]
    tree = Tree(root)
    paths = [f"g{n // 100}/s{n % 100}" if prefix else f"s{n}" for n in range(10_000)]
    for n, path in enumerate(paths):
        if prefix and n % 100 == 0:
            tell(tree, path.partition("/")[0], "running", "group")
        tell(tree, path, "running")
        if n < 6_000:
            tell(tree, path, "failed" if n % 3 == 0 else "waiting" if n % 500 == 1 else "done")
    running = [twig for path in paths[7_000:7_008] if (twig := tree.find(path)) is not None]
    Chooser(tree, running, room).rows()  # the first passes over what has ended meanwhile, once and for all
    chooser = Chooser(tree, running, room)
    rows = chooser.rows()
    assert len(rows) <= room
    assert chooser.looked <= 20 * (room + 1)
    seen = {row.twig for row in rows if not row.more}
    assert len(seen & set(running)) == min(room, len(running))
    if room >= 22:
        assert any(row.twig.state == "waiting" for row in rows)
    if room >= 48:
        assert any(row.twig.state == "failed" for row in rows)
        assert any(row.more for row in rows)
    assert tree.root.counts == {"done": 3_992, "failed": 2_000, "waiting": 8}


def test_finished_containers_are_folded_before_anything_else_gives_way() -> None:
    tree = Tree(
        group("w", group("a", leaf("x"), leaf("y")), group("b", leaf("x"), leaf("y")), leaf("c"), kind="workflow")
    )
    tell(tree, "a", "running", "group")
    for path in ("a/x", "a/y"):
        tell(tree, path, "running")
        tell(tree, path, "done")
    tell(tree, "a", "done", "group")
    tell(tree, "b", "running", "group")
    tell(tree, "b/x", "running")
    running = [tree.find("b/x")]
    assert running[0] is not None
    assert names(Chooser(tree, running, 7).rows()) == ["a", "a/x", "a/y", "b", "b/x", "b/y", "c"]  # type: ignore[arg-type]
    assert names(Chooser(tree, running, 6).rows()) == ["a", "b", "b/x", "b/y", "c"]  # type: ignore[arg-type]
    assert names(Chooser(tree, running, 2).rows()) == ["b", "b/x"]  # type: ignore[arg-type]
    [alone] = Chooser(tree, running, 1).rows()  # type: ignore[arg-type]
    assert (alone.twig.path, alone.flat) == ("b/x", True)


def test_a_loop_whose_end_is_not_known_adds_its_iterations_as_they_come() -> None:
    loop = group("l", leaf("x"), leaf("y", break_if="success"), kind="loop", iterations=Iterations(max=9))
    tree = Tree(group("w", leaf("a"), loop, kind="workflow"))
    assert done(tree) == (0, 1, 1)
    tell(tree, "l", "running", "loop")
    for n in (1, 2):
        tell(tree, f"l[{n}]/x", "running")
        assert done(tree)[1:] == (1 + 2 * n, 1)
        tell(tree, f"l[{n}]/x", "done")
        tell(tree, f"l[{n}]/y", "done")
    tell(tree, "l", "done", "loop")
    assert done(tree) == (4, 5, 0)
    assert tree.find("l[1]/x") is None  # only what failed or runs is kept
    loops = [child for child in tree.root.children if child.kind == "loop"]
    assert [(one.rounds, len(one.children)) for one in loops] == [(2, 0)]


def test_a_loop_that_ends_early_takes_back_the_iterations_that_will_not_come() -> None:
    loop = group("l", leaf("x"), leaf("y"), kind="loop", iterations=Iterations(over=("a", "b", "c")))
    tree = Tree(group("w", loop, kind="workflow"))
    assert done(tree) == (0, 6, 0)
    tell(tree, "l", "running", "loop")
    tell(tree, "l[a]/x", "running")
    tell(tree, "l[a]/x", "failed", summary="no")
    tell(tree, "l[a]/y", "not_run")
    tell(tree, "l", "failed", "loop")
    assert done(tree) == (0, 2, 0)
    assert [twig.path for twig in tree.failed] == ["l[a]/x"]
    assert names(Chooser(tree, [], 9).rows()) == ["l", "l[a]", "l[a]/x", "l[a]/y"]


def test_an_iteration_may_be_called_anything() -> None:
    inner = group("in", leaf("x"), kind="loop", iterations=Iterations(over="*", name="f"))
    tree = Tree(
        group("w", group("out", inner, kind="loop", iterations=Iterations(over="*", name="d")), kind="workflow")
    )
    tell(tree, "out", "running", "loop")
    tell(tree, "out[a/[b].c]/in", "running", "loop")
    tell(tree, "out[a/[b].c]/in[d[0]]/x", "running")
    found = tree.find("out[a/[b].c]/in[d[0]]/x")
    assert found is not None
    assert [one.name for one in found.above()][:4] == ["[d[0]]", "in", "[a/[b].c]", "out"]


def test_what_never_began_counts_as_its_container_does() -> None:
    tree = Tree(group("w", group("a", group("b", leaf("x")), leaf("y")), leaf("c"), kind="workflow"))
    tell(tree, "a", "skipped", "group")
    assert (tree.root.total, tree.root.counts) == (3, {"skipped": 2})
    assert names(Chooser(tree, [], 4).rows()) == ["a", "c"]


def test_a_failure_that_counts_for_nothing_is_no_failure_wherever_it_is_tolerated() -> None:
    tree = Tree(group("w", group("a", leaf("x"), continue_on_failure=True), leaf("b"), kind="workflow"))
    tell(tree, "a", "running", "group")
    tell(tree, "a/x", "failed")
    tell(tree, "a", "failed", "group")
    assert tree.root.counts == {"tolerated": 1}
    assert not tree.failed


def test_a_container_that_fails_by_itself_is_a_failure_to_be_told() -> None:
    tree = Tree(group("w", group("l", leaf("x"), kind="loop", iterations=Iterations(over="*.md")), kind="workflow"))
    tell(tree, "l", "running", "loop")
    tell(tree, "l", "failed", "loop", summary="nothing matches '*.md'")
    assert [(twig.path, twig.note) for twig in tree.failed] == [("l", "nothing matches '*.md'")]


def test_costs_are_summed_over_all_that_a_step_stands_in_also_when_it_runs_again() -> None:
    tree = Tree(group("w", group("a", leaf("x"), leaf("y")), kind="workflow"))
    for cost in (0.5, 0.75):
        tell(tree, "a/x", "waiting", usage={"cost_usd": cost, "input_tokens": 10, "output_tokens": 5})
        tell(tree, "a/x", "running", usage={"cost_usd": cost, "input_tokens": 10, "output_tokens": 5})
    tell(tree, "a/y", "done", usage={"cost_usd": 0.25}, duration_s=3.0)
    assert (tree.root.cost, tree.root.tokens) == (1.0, 15)
    assert tree.root.counts == {"done": 1, "waiting": 0}


@pytest.mark.parametrize("columns", [1, 4, 9, 14, 30])
def test_of_a_path_that_is_too_long_its_end_is_kept(columns: int) -> None:
    text = cut_path("▸ each[src/日本語.py]/check", columns)
    assert width(text) <= columns
    assert columns < 9 or text.endswith("check")


def test_what_a_container_will_do_and_how_far_it_is_is_said_in_words() -> None:
    known = group("a", leaf("x"), leaf("y"), kind="loop", iterations=Iterations(over=("p", "q")))
    tries = group("b", leaf("x", break_if="success"), kind="loop", iterations=Iterations(max=5))
    files = group("c", leaf("x"), kind="loop", iterations=Iterations(over="docs/*.md"))
    tree = Tree(group("w", known, tries, files, group("d", leaf("x")), kind="workflow"))
    said = [outcome(twig) for twig in tree.root.children]
    assert said == ["2 × x, y", "at most 5 × x", "for each of docs/*.md: x", "1 step"]
    for id in "abc":
        tell(tree, id, "running", "loop")
    tell(tree, "a[p]/x", "done")
    tell(tree, "b[1]/x", "done")
    tell(tree, "c[docs/1.md]/x", "done")
    tell(tree, "c[docs/2.md]/x", "running")
    said = [how_far(twig) for twig in tree.root.children]
    assert said == ["0 of 2 done", "0 of at most 5 done", "1 done", "0 of 1 done"]
    tell(tree, "c", "running", "loop", total=9)
    assert how_far(tree.root.children[2]) == "1 of 9 done"
