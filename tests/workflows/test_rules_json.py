"""`steps.X.json`: the output of a step as JSON, whatever JSON it is; one that is none says so where it is used."""

from __future__ import annotations

import pytest

from tests.workflows.flows import Flows


@pytest.mark.parametrize(
    ("printed", "shown"),
    [
        ("5", "5"),
        ("true", "true"),
        ("null", ""),
        (r"\"hi\"", "hi"),
        (r"  {\"k\": 1}", '{"k": 1}'),
        (r"\n[1, 2]\n\n", "[1, 2]"),
    ],
)
def test_every_output_that_is_json_can_be_used_as_json(flows: Flows, printed: str, shown: str) -> None:
    ran = flows.run(
        f"""
steps:
  - {{id: a, command: "printf '%b' '{printed}'"}}
  - {{id: b, command: "printf '%s' {{{{steps.a.json}}}}"}}
"""
    )
    assert (ran.status, ran.outputs["b"]) == ("done", shown)


@pytest.mark.parametrize(
    ("printed", "why"),
    [
        ("5 apples", "line 1, column 3: Extra data"),
        ("{bad", "line 1, column 2: Expecting property name"),
        ("", "it is empty"),
        ("NaN", "NaN is no value of JSON"),
    ],
)
def test_an_output_that_is_no_json_is_told_where_it_is_used_as_json(flows: Flows, printed: str, why: str) -> None:
    ran = flows.run(
        f"""
steps:
  - {{id: a, command: "printf '%s' '{printed}'"}}
  - {{id: b, command: "echo {{{{steps.a.json}}}}", continue_on_failure: true}}
  - {{id: c, command: "true", when: "steps.a.json.k == 1", continue_on_failure: true}}
  - {{id: d, command: "echo {{{{ steps.a.json | default('none') }}}}"}}
"""
    )
    assert f"flow.yaml:4:5: the output of step 'a' is not JSON ({why}" in ran.summary("b")
    assert ran.summary("c").endswith("in 'steps.a.json.k == 1': the output of step 'a' is not JSON")
    assert (ran.status, ran.outputs["d"]) == ("done", "none")


def test_json_nested_deeper_than_can_be_read_is_told_as_no_json(flows: Flows) -> None:
    ran = flows.run(
        """
steps:
  - {id: a, command: "printf '%0100000d' 0 | tr 0 '['"}
  - {id: b, command: "echo {{steps.a.json}}", continue_on_failure: true}
"""
    )
    assert "the output of step 'a' is not JSON" in ran.summary("b")


def test_the_results_of_a_loop_can_be_put_in_a_text_whatever_their_outputs_are(flows: Flows) -> None:
    ran = flows.run(
        """
steps:
  - id: each
    loop: {over: ['{"k": 1}', "{bad"], as: text}
    steps: [{id: a, command: "printf '%s' {{text}}"}]
  - {id: b, command: "printf '%s' {{steps.each.results}}"}
  - {id: c, command: "printf '%s' '{{steps.b.json.0.a.json.k}} {{steps.b.json.1.a.output}}'"}
  - {id: d, command: "echo {{ 'json' in steps.b.json[1].a }}"}
"""
    )
    assert ran.status == "done", ran.result.get("summary")
    assert (ran.outputs["c"], ran.outputs["d"]) == ("1 {bad", "false")


def test_all_steps_at_once_are_json_too(flows: Flows) -> None:
    ran = flows.run(
        """
steps:
  - {id: a, command: echo one}
  - {id: b, command: "printf '%s' {{steps}}"}
  - {id: c, command: "echo {{steps.b.json.a.output}}"}
"""
    )
    assert (ran.status, ran.outputs["c"]) == ("done", "one")
