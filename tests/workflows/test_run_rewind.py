"""Rewinds go back to where the steps that run again began: before their retries, past earlier rewinds, to the base."""

from __future__ import annotations

from tests.workflows.flows import Flows


def test_a_step_with_a_retry_is_rewound_to_before_its_first_attempt(trees: Flows) -> None:
    text = """
steps:
  - {id: a, command: "echo a > a.txt"}
  - id: b
    agent: script
    retries: 1
    prompt: "FIRST [[write: ok.txt <<x]]"
  - {id: c, command: ls}
"""
    ran = trees.run(text.replace("FIRST", "[[on-attempt 1: [[write: bad.txt <<x]] [[exit: 7]] ]]"))
    assert "bad.txt" in ran.outputs["c"].split()
    more = trees.resume(ran, text.replace("FIRST", ""), rewind=True)
    assert (more.status, "bad.txt" in more.outputs["c"].split()) == ("done", False)


def test_a_second_rewind_goes_back_past_what_the_first_took_away(trees: Flows) -> None:
    steps = [f'{{id: {name}, command: "echo {name} >> all; cat all"}}' for name in "abc"]
    ran = trees.run(f"steps: [{', '.join(steps)}]")
    for _ in range(3):
        ran = trees.resume(ran, start="b", rewind=True)
    assert ran.outputs["c"].split() == ["a", "b", "c"]


def test_a_rewind_to_the_first_step_goes_back_to_the_base(trees: Flows) -> None:
    ran = trees.run("steps: [{id: a, command: 'cat a.txt; echo x >> a.txt'}]")
    assert trees.resume(ran, start="a", rewind=True).outputs["a"] == "one"
