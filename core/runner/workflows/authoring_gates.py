"""Authoring checks of gates: what stops a run where it should repair, and what is green without proving anything."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Final

from runner.workflows.authoring_commands import is_gate, ships, tests

if TYPE_CHECKING:
    from collections.abc import Iterator

    from runner.workflows.authoring_flow import Flow
    from runner.workflows.authoring_steps import Finding, Spot

PATH: Final = r"(?<![\w/:.])(?:[\w@-][\w.@-]*/)+[\w-][\w.-]*\.[A-Za-z]\w{0,5}(?![\w/])"
"""A file of the project as a prompt names it: with its folder and its ending."""
_WRITES_FILE: Final = re.compile(
    r"\b(?:create|write|save|generate|produce|put)\b(?:(?!\b(?:for|of|from|about|against|using|based|like|see|than|"
    rf"with|read)\b|[.;\n]\s)[^\n]){{0,80}}?`?({PATH})",
    re.IGNORECASE,
)
_CREATES: Final = re.compile(
    r"\b(?:create|add|write|generate|scaffold)\b[^.\n]{0,40}"
    r"\b(?:files?|packages?|modules?|tests?|scripts?|migrations?|director(?:y|ies)|folders?|pages?|components?)\b",
    re.IGNORECASE,
)
_WORKS: Final = re.compile(
    r"\b(?:implement|fix|edit|refactor|modify|rewrite|migrate|create|add|write|update)\b", re.IGNORECASE
)


def written(prompt: str) -> list[str]:
    """The files that a prompt asks for."""
    return list(dict.fromkeys(_WRITES_FILE.findall(prompt)))


def _repaired(flow: Flow, spot: Spot) -> bool:
    """Whether somebody repairs what it finds wrong."""
    own = spot.given.get("repairable")
    return bool(own) if own is not None else bool(flow.workflow.repairable)


def _repairers(flow: Flow) -> list[tuple[Spot, Spot]]:
    """Agents that get the result of a gate whose failure is tolerated, each with that gate."""
    return [
        (flow.spots[number], gate)
        for number, named in flow.reads.items()
        if flow.spots[number].is_agent
        for gate in dict.fromkeys(one for one, _ in named)
        if gate.tolerated and is_gate(gate)
    ]


def hard_stop_gate(flow: Flow) -> Iterator[Finding]:
    """A gate after an agent's work fails the run, and nobody gets a chance to repair what it found.

    Say `repairable: {agent: …}` (for the workflow or the step); or let it fail
    (`continue_on_failure: true`), give its output to an agent, and run it once more.
    """
    agents = flow.set(flow.agents)
    if not agents:
        return
    mended = flow.set([agent for agent, _ in _repairers(flow)])
    handlers = flow.set([s for s in flow.leaves if s.node.when and re.search(r"\b(?:failure|always)\(", s.node.when)])
    for spot in flow.leaves:
        if spot.in_call or spot.harmless or spot.node.break_if == "failure" or not is_gate(spot):
            continue
        before = flow.before(spot)
        handled = _repaired(flow, spot) or before & mended or flow.after(spot) & handlers
        if before & agents and not handled:
            hint = "say `repairable: {agent: …}`, or hand its output to an agent and run it once more"
            yield spot.says("a red result ends the run, and nobody repairs it", hint)


def unread_gate(flow: Flow) -> Iterator[Finding]:
    """A gate may fail without anything coming of it: no later step looks at its result.

    Refer to it (`{{steps.X.output}}` in a prompt, `when: steps.X.status == 'failed'`), or take away its
    `continue_on_failure` (`failOnError: false`).
    """
    asked = {
        (id(spot.around[0]), need)
        for spot in flow.spots
        if spot.node.skip_if == "previous_success"
        for need in spot.node.needs
    }
    for spot in flow.leaves:
        node = spot.node
        if not node.continue_on_failure or node.break_if is not None or not is_gate(spot):
            continue
        if spot.number in flow.read or (id(spot.around[0]), node.id) in asked:
            continue
        yield spot.says("it may fail, and no step looks at its result", "give its output to the step that repairs")


def repair_without_proof(flow: Flow) -> Iterator[Finding]:
    """An agent repairs what a gate found, and the gate is not run again: its word is all there is.

    Give the repairing step a check (`verify: [{command: …}]`), or run the gate once more after it.
    """
    gates = flow.set([spot for spot in flow.leaves if is_gate(spot)])
    told: set[int] = set()
    for agent, gate in _repairers(flow):
        if agent.number in told or agent.proved or not agent.writes or agent.in_loop or "BLOCKED" in agent.prompt:
            continue
        if not flow.after(agent) & gates:
            told.add(agent.number)
            yield agent.says(
                f"nothing runs '{gate.node.id}' again after this repair", "give it `verify: [{command: …}]`"
            )


_CANT_FAIL: Final = (
    re.compile(r"\|\|\s*(?:true|:|exit 0|echo\b[^;&|\n]*)$"),
    re.compile(r";\s*(?:true|:|exit 0)$"),
)
_PIPED: Final = re.compile(r"(?<!\|)\|&?\s*(tail|head|tee|cat|less|more)\b[^|;&\n]*$")


def gate_cannot_fail(flow: Flow) -> Iterator[Finding]:
    """A gate that is green whatever comes: `pytest | tail` ends as `tail` does, `pytest || true` as `true` does.

    Leave that away, or write `set -o pipefail` (with bash). A step whose output an agent reads may end so.
    """
    for spot in flow.leaves:
        evidence = spot.tolerated or spot.number in flow.read
        for command in spot.commands():
            if not tests(command.text) or (evidence and not command.check) or "pipefail" in command.text:
                continue
            piped = _PIPED.search(command.text)
            if piped or any(pattern.search(command.text) for pattern in _CANT_FAIL):
                why = f"it ends as '{piped[1]}' does" if piped else "its end says that all is well"
                yield spot.says(f"this command can't fail: {why}", "let the tests be its last command")
                break


def ship_without_gate(flow: Flow) -> Iterator[Finding]:
    """What agents did is committed, pushed or published, and nothing has looked at it before.

    Run the tests in a step before (or in the command itself: `make check && git commit …`), or give the
    agent's step a check.
    """
    agents = flow.set([spot for spot in flow.agents if spot.writes])
    if not agents:
        return
    shipping = [spot for spot in flow.leaves if ships(spot)]
    every = flow.set(shipping)
    proofs = 0
    for spot in flow.leaves if shipping else ():
        runs = spot.node.kind in ("script", "task") or is_gate(spot)
        if spot.node.kind == "gate" or spot.proved or (runs and flow.before(spot) & agents):
            proofs |= spot.bit
    for spot in shipping:
        before = flow.before(spot)
        own = any(tests(one.text) for one in spot.commands())
        if before & agents and not own and not before & (proofs | every):
            yield spot.says("ships what an agent did, and nothing has checked it", "run the tests in a step before")


def git_diff_gate(flow: Flow) -> Iterator[Finding]:
    """A gate asks `git diff` whether an agent has created something: new files are no difference to it.

    Good work is then called unchanged. Ask `git status --short -- PATHS`, or use the check `git_changed`.
    """
    makers = flow.set([spot for spot in flow.agents if _CREATES.search(spot.prompt) or written(spot.prompt)])
    for spot in flow.leaves:
        for command in spot.commands():
            if re.search(r"git (?:status|ls-files)|git add (?:-N|--intent-to-add)|--cached|--staged", command.text):
                continue
            asks = re.search(r"git diff\b[^\n;|&]*--(?:quiet|exit-code)|-[zn]\s+\"?\$\(git diff\b", command.text)
            if asks and (flow.before(spot) | spot.bit) & makers:
                yield spot.says("git diff does not see new files", "ask git status --short -- PATHS")
                break


def sentinel_only(flow: Flow) -> Iterator[Finding]:
    """An agent's work is accepted because it printed a word.

    Agents print it without having done the work, and do the work without printing it. Check what the work
    leaves behind: `file_exists`, `command`, `git_changed`.
    """
    for spot in flow.agents:
        kinds = {name for name, _ in spot.checks}
        if kinds == {"output_contains"} and spot.writes and spot.idle_is_fine and _WORKS.search(spot.prompt):
            yield spot.says(
                "a word in its output is all that is checked", "check what the work leaves: a file, a command"
            )


def _mentions(texts: list[tuple[Spot, str]], file: str) -> list[Spot]:
    name = file.rsplit("/", 1)[1]
    return [spot for spot, text in texts if name in text]


def file_without_check(flow: Flow) -> Iterator[Finding]:
    """A prompt asks for a file, and nothing looks whether it is there.

    Agents end well without having written anything, or write somewhere else. Say
    `verify: [{file_exists: PATH}]`, or `expects: changes`, or look in a later step.
    """
    texts = [(spot, one.text) for spot in flow.leaves for one in spot.commands()]
    for spot in flow.agents:
        files = written(spot.prompt)
        if not files or spot.proved or spot.given.get("artifacts") or not spot.idle_is_fine or not spot.writes:
            continue
        after = flow.after(spot)
        missing = [file for file in files if not any(one.bit & after for one in _mentions(texts, file))]
        if missing:
            yield spot.says(f"nothing checks that it wrote {missing[0]}", "say `verify: [{file_exists: …}]`")


CHECKS: Final = (
    hard_stop_gate,
    unread_gate,
    repair_without_proof,
    gate_cannot_fail,
    ship_without_gate,
    git_diff_gate,
    sentinel_only,
    file_without_check,
)
