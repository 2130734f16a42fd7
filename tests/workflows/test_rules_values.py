"""What stands in texts and commands, and what outputs are: exact, whole, never rendered twice, never shell syntax."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.workflows.flows import Flows, Ran

MEBIBYTE = 1 << 20


def told(ran: Ran, path: str = "a") -> str:
    """The prompt that a step was given."""
    return Path(str((ran.tries(path)[-1].result or {})["folder"]), "prompt.md").read_text()


@pytest.mark.parametrize("text", ["{% if x %}", "{# note #}", "${#list[@]}", "{%- raw -%}", "{ {x} }", "}}"])
def test_only_double_braces_mean_something(flows: Flows, text: str) -> None:
    ran = flows.run(
        f"""
params: [{{name: x, default: X}}]
steps: [{{id: a, agent: script, expects: answer, prompt: '{text} {{{{x}}}}'}}]
"""
    )
    assert (ran.status, told(ran).strip()) == ("done", f"{text} X")


def test_the_length_of_a_list_of_bash_is_no_comment(flows: Flows) -> None:
    ran = flows.run("shell: bash\nsteps: [{id: a, command: 'l=(a b c); echo ${#l[@]}'}]")
    assert ran.outputs["a"] == "3"


def test_ids_with_hyphens_are_looked_up_and_not_subtracted(flows: Flows) -> None:
    ran = flows.run(
        """
steps:
  - {id: read-types, command: "echo 7"}
  - {id: plain, command: "echo {{steps.read-types.output}}"}
  - {id: sum, command: "echo {{ steps['read-types'].output | int + 1 }}"}
"""
    )
    assert (ran.outputs["plain"], ran.outputs["sum"]) == ("7", "8")


def test_a_name_is_looked_up_by_key_and_never_by_attribute(flows: Flows) -> None:
    ran = flows.run(
        """
steps:
  - {id: a, command: 'printf "{\\"items\\": [1], \\"keys\\": \\"mine\\"}"'}
  - {id: b, command: 'printf "%s" "{{steps.a.json.keys}} {{steps.a.json.items.0}}"'}
  - {id: c, command: 'echo "{{steps.a.json.values}}"', continue_on_failure: true}
"""
    )
    assert ran.outputs["b"] == "mine 1"
    assert ran.states["c"] == "failed"
    assert "'values'" in ran.summary("c")


def test_values_are_filled_in_once(flows: Flows) -> None:
    ran = flows.run(
        """
params: [{name: x, required: true}, {name: secret, default: TOLD}]
steps:
  - {id: a, agent: script, expects: answer, prompt: "<{{x}}>"}
  - {id: b, command: "printf '%s' {{x}}", capture: got}
  - {id: c, command: "printf '%s' \\"{{got}}\\""}
  - {id: d, agent: script, expects: answer, prompt: "<{{got}}{{steps.c.output}}>"}
""",
        {"x": "{{secret}} {% x %} $(echo no)"},
    )
    assert ran.status == "done", ran.result["summary"]
    assert told(ran) == "<{{secret}} {% x %} $(echo no)>"
    assert ran.outputs["b"] == ran.outputs["c"] == "{{secret}} {% x %} $(echo no)"
    assert told(ran, "d") == f"<{ran.outputs['b'] * 2}>"


def test_a_name_that_only_the_run_can_know_is_missed_with_its_place_and_the_nearest_name(flows: Flows) -> None:
    ran = flows.run(
        """
steps:
  - {id: a, command: 'printf "{\\"colour\\": 1}"'}
  - {id: b, command: "echo {{steps.a.json.color}}"}
"""
    )
    assert ran.states["b"] == "failed"
    said = ran.summary("b")
    assert "flow.yaml:4" in said
    assert "'color'" in said
    assert "colour" in said


@pytest.mark.parametrize(
    "key",
    [
        "prompt: 'x {{chnge}}'",
        "command: 'x -- {{chnge}}'",
        "gate: '{{chnge}}?'",
        "task: run_script, with: {script: '{{chnge}}'}",
        "command: x, env: {A: '{{chnge}}'}",
        "command: x, workdir: '{{chnge}}'",
        "command: x, artifacts: '{{chnge}}'",
        "command: x, verify: [{file_exists: '{{chnge}}'}]",
        "command: x, verify: [{command: 'test -e \"{{chnge}}\"'}]",
        "command: x, when: \"chnge == 'x'\"",
        "command: x, skip_if: 'sh: test -e \"{{chnge}}\"'",
        "loop: {over: '{{chnge}}/*', as: f}, steps: [{id: b, command: x}]",
        "worktree: {branch: '{{chnge}}'}",
        "preflight: [{command: 'test -e \"{{chnge}}\"'}]",
        "agent: script, model: '{{chnge}}', prompt: x",
        "agent: script, session: '{{chnge}}', prompt: x",
        "prompt: x, machine: '{{chnge}}'",
        "script: x.sh, script_inputs: {a: '{{chnge}}'}",
    ],
)
def test_a_wrong_name_is_known_at_load_wherever_it_stands(flows: Flows, key: str) -> None:
    found = [str(one) for one in flows.problems(f"params: [{{name: change}}]\nsteps:\n  - {{id: a, {key}}}\n")]
    [said] = [one for one in found if "chnge" in one]
    assert "flow.yaml:3:5" in said
    assert "did you mean 'change'?" in said


@pytest.mark.parametrize("place", ["outputs: {o: '{{steps.aa.output}}'}", "env: {A: '{{steps.aa.output}}'}"])
def test_a_wrong_name_is_known_in_what_the_whole_workflow_says(flows: Flows, place: str) -> None:
    found = [str(one) for one in flows.problems(f"{place}\nsteps: [{{id: a, command: x}}]")]
    assert any("'aa'" in one for one in found), found


@pytest.mark.parametrize(
    ("size", "passes"), [(MEBIBYTE, True), (MEBIBYTE + 1, False)], ids=["a mebibyte", "one byte more"]
)
def test_up_to_a_mebibyte_an_output_is_a_text_and_never_cut(flows: Flows, size: int, passes: bool) -> None:
    ran = flows.run(
        f"""
steps:
  - {{id: big, command: "head -c {size} /dev/zero | tr '\\\\0' x", capture: got}}
  - {{id: text, command: "printf '%s' {{{{got}}}} | wc -c", continue_on_failure: true}}
  - {{id: ask, agent: script, expects: answer, prompt: "{{{{steps.big.output}}}}"}}
"""
    )
    assert ran.states["text"] == ("done" if passes else "failed")
    if passes:
        assert ran.outputs["text"].strip() == str(size)
        assert len(told(ran, "ask")) == size
    else:
        assert "`path`" in ran.summary("text")
        assert "`path`" in ran.summary("ask")


def test_of_an_output_only_newlines_at_its_end_are_taken(flows: Flows) -> None:
    ran = flows.run(
        r"""
steps:
  - {id: a, command: 'printf "\033[31m red \033[0m\t\r\n\n x \n\n\n"', capture: got}
  - {id: b, command: 'printf "%s" {{got}} | od -An -c | tr -d " \n"'}
"""
    )
    assert ran.outputs["b"] == r"033[31mred033[0m\t\r\n\nx"


def test_the_output_of_an_agent_is_its_final_message_alone_and_whole(flows: Flows) -> None:
    long = "\\n".join(f"line {n}" for n in range(900))
    ran = flows.run(
        f"""
steps:
  - {{id: a, agent: script, expects: answer, capture: got, prompt: "[[print: noise]] [[say: {long}]]"}}
  - {{id: b, command: "printf '%s\\\\n' {{{{got}}}} | grep -c '^line'; echo {{{{got}}}} | grep -c noise || true"}}
"""
    )
    assert ran.outputs["b"].split() == ["900", "0"], ran.result["summary"]


def test_an_agents_message_that_is_json_can_be_looked_into_and_what_is_none_is_an_error(flows: Flows) -> None:
    ran = flows.run(
        """
steps:
  - {id: a, agent: script, expects: answer, prompt: '[[say: {"list": [{"k": "v"}]}]]'}
  - {id: b, command: 'printf "%s" {{steps.a.json.list.0.k}}'}
  - {id: c, command: 'printf "{no json"'}
  - {id: d, command: 'printf "%s" {{steps.c.json.k}}'}
"""
    )
    assert (ran.outputs["b"], ran.states["d"]) == ("v", "failed")
    assert "not JSON" in ran.summary("d")
