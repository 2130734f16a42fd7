"""Authoring checks of steps together: who waits for whom, what runs at once, and who gets messages at all."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Final

from runner.workflows.authoring_gates import written
from runner.workflows.authoring_prompts import clauses
from runner.workflows.authoring_steps import Finding
from runner.workflows.plan import plan

if TYPE_CHECKING:
    from collections.abc import Iterator

    from runner.workflows.authoring_flow import Flow
    from runner.workflows.authoring_steps import Spot

HUBS: Final = frozenset("fan-out hub-spoke hierarchical map-reduce scatter-gather supervisor saga auction".split())
"""Patterns in which one agent looks after the others."""
_FAN_IN: Final = 5
"""Outputs in one prompt that are too many."""
_WIDE: Final = 8
"""Agents at once that a machine and its accounts still bear."""
_WAITS: Final = re.compile(r"\b(?:wait|waits|waiting|await|awaits|until|once)\b", re.IGNORECASE)
_WAIT: Final = re.compile(r"\b(?:wait|waits|waiting|await|awaits)\b", re.IGNORECASE)
_DONT: Final = re.compile(r"\b(?:not|never|without|don't|no need to|instead of)\s+(?:wait|await)", re.IGNORECASE)
_MESSAGE: Final = re.compile(
    r"\b(?:wait\w*|await\w*)\b[^.;]*?(?:\brepl(?:y|ies)\b|\bmessages?\b|\bchannel\b|(?<!\w)[#@][A-Za-z]|\backs?\b"
    r"|\bassignments?\b|\bverdicts?\b|\bthe lead\b|\bfeedback\b)",
    re.IGNORECASE,
)
_TALKS: Final = re.compile(
    r"(?<!\w)[#@][A-Za-z]|\b(?:post|posts|messages?|channel|reply|replies|ask|tell|announce|report|hand-?off|ping"
    r"|broadcast|coordinate|wait for|feedback|listen)\b",
    re.IGNORECASE,
)


def _names(clause: str, name: str, *, agent: bool) -> bool:
    """Whether a sentence means a step or agent of that name; a plain word must stand where a name does."""
    bare = re.escape(name)
    if re.search(r"[-_.\d]", name):
        return re.search(rf"(?<![\w/.-]){bare}(?![\w/-])", clause) is not None
    patterns = [rf"[`'\"@]{bare}\b", rf"\b(?:step|agent)\s+{bare}\b", rf"\b{bare}\s+(?:step|agent)\b"]
    if agent:
        patterns.append(rf"(?:wait\w*|await\w*)\s+(?:for|on|until)\s+(?:the\s+)?{bare}\b")
    return re.search("|".join(patterns), clause, re.IGNORECASE) is not None


def _named(flow: Flow) -> dict[str, int]:
    """The leaves that a name may mean: the step of that id, the steps of that agent."""
    found: dict[str, list[Spot]] = {}
    for spot in flow.leaves:
        for name in {spot.node.id, spot.agent} - {""}:
            found.setdefault(name, []).append(spot)
    return {name: flow.set(spots) for name, spots in found.items()}


def _waited_for(flow: Flow, spot: Spot, known: dict[str, int], among: int, words: re.Pattern[str]) -> str | None:
    """The name of one of these that its prompt tells it to wait for, unless that may run at the same time."""
    if not words.search(spot.prompt):
        return None
    for clause in clauses(spot.prompt):
        if not words.search(clause) or _DONT.search(clause):
            continue
        for token in re.findall(r"\w[\w.-]*", clause):
            name: str = token.rstrip(".-")
            meant = known.get(name, 0)
            if (
                meant & among
                and not meant & (flow.beside(spot) | spot.bit)
                and _names(clause, name, agent=name in flow.agent_names)
            ):
                return name
    return None


def deadlock_wait(flow: Flow) -> Iterator[Finding]:
    """A prompt tells an agent to wait for a step (or its agent) that starts only when this one has ended.

    Neither ever goes on. Let both need the same step before them, so that they run at the same time, and
    what comes after need this one.
    """
    known = _named(flow)
    for spot in flow.agents:
        name = _waited_for(flow, spot, known, flow.after(spot), _WAITS)
        if name is not None:
            hint = "let both need what this step needs, so that they run at the same time"
            yield spot.says(f"it waits for '{name}', which starts only when this step has ended", hint)


def wait_for_ended(flow: Flow) -> Iterator[Finding]:
    """A prompt tells an agent to wait for an agent whose step has ended before: nobody answers.

    Let both need the same step before them, so that they run at the same time.
    """
    known = _named(flow)
    agents = flow.set(flow.agents)
    for spot in flow.agents:
        name = _waited_for(flow, spot, known, flow.before(spot) & agents, _WAIT)
        if name is not None:
            yield spot.says(f"it waits for '{name}', whose step has ended by then", "let both need what comes before")


def one_shot_waits(flow: Flow) -> Iterator[Finding]:
    """A prompt tells an agent to wait for a message, and the agent gets one prompt and nothing more.

    It ends its turn at once, or makes up the answer. Give it `mode: live` (no `preset: worker`), or put what it
    waits for into its prompt.
    """
    for spot in flow.agents:
        if spot.one_shot and any(_MESSAGE.search(one) and not _DONT.search(one) for one in clauses(spot.prompt)):
            yield spot.says("it is to wait for a message, and can get none", "say `mode: live`")


def silent_team(flow: Flow) -> Iterator[Finding]:
    """A live session starts beside others, and its prompt does not tell it to talk to them.

    Sessions that get messages cost more than one prompt. Say whom to ask, what to post and what to wait
    for, or give the agent `preset: worker`.
    """
    together: dict[tuple[int, frozenset[str]], list[Spot]] = {}
    for spot in flow.agents:
        if spot.live:
            together.setdefault((id(spot.around[0]), frozenset(spot.node.needs)), []).append(spot)
    for team in together.values():
        for spot in team if len(team) > 1 else ():
            if _TALKS.search(spot.prompt):
                continue
            hint = "tell it whom to ask and what to post, or make it one prompt (`preset: worker`)"
            yield spot.says("a live session beside others that is not told to talk to them", hint)


def chained_interactive(flow: Flow) -> Iterator[Finding]:
    """A step takes the output of a live or interactive session: what was last said there, not what was made.

    Let the session write a file and read that, or give its agent `preset: worker`, whose final message is
    all its work.
    """
    for spot in flow.spots:
        for one, what in dict.fromkeys(flow.reads.get(spot.number, ())):
            if what == "output" and (one.live or one.at_terminal):
                kind = "a live session" if one.live else "a session at a terminal"
                hint = "let it write a file, or make it one prompt (`preset: worker`)"
                yield spot.says(f"takes the output of '{one.node.id}', {kind}: its last message alone", hint)


def one_agent_supervisor(flow: Flow) -> Iterator[Finding]:
    """A pattern in which one agent looks after others, and there is only one: it supervises itself.

    Say `pattern: dag`, or name a second agent.
    """
    names = {spot.agent or str(spot.given.get("cli") or "") for spot in flow.agents}
    if flow.workflow.pattern in HUBS and len(names) == 1:
        place = flow.loaded.source.place("pattern")
        yield Finding(place, f"the pattern {flow.workflow.pattern} with a single agent", "say `pattern: dag`")


def hub_without_live(flow: Flow) -> Iterator[Finding]:
    """A pattern in which one agent looks after others, and none of them is a session that gets messages.

    There is nothing to look after: say `pattern: dag`, or make the agents live.
    """
    names = {spot.agent for spot in flow.agents}
    if flow.workflow.pattern in HUBS and len(names) > 1 and not any(spot.live for spot in flow.agents):
        place = flow.loaded.source.place("pattern")
        yield Finding(place, f"the pattern {flow.workflow.pattern}, and no agent gets messages", "say `pattern: dag`")


def _widest(flow: Flow, *, live: bool) -> int:
    """How many agents (live ones) may run at once."""
    kinds = {id(one.node): one for one in flow.agents if one.live or not live}
    if not kinds:
        return 0
    paths = {
        "/".join((*(f"{at.id}[]" if at.kind == "loop" else at.id for at in reversed(one.around[:-1])), one.node.id))
        for one in kinds.values()
    }
    return max((sum(path in paths for path in wave) for wave in plan(flow.loaded.root)["waves"]), default=0)


def wide_concurrency(flow: Flow) -> Iterator[Finding]:
    """More than eight agents at once: accounts run into their limits, machines out of memory.

    Say `max_concurrency: 6`; the others start as soon as one of these has ended.
    """
    most = flow.workflow.max_concurrency
    if most > _WIDE:
        width = _widest(flow, live=False)
        if width > _WIDE:
            place = flow.loaded.source.place("max_concurrency")
            yield Finding(place, f"{min(width, most)} agents may run at once", "say `max_concurrency: 6`")


def team_over_concurrency(flow: Flow) -> Iterator[Finding]:
    """More live sessions stand beside each other than may run at once: some wait for one that can't start.

    Raise `max_concurrency` to the size of the team.
    """
    width = _widest(flow, live=True)
    most = flow.workflow.max_concurrency
    if width > most:
        place = flow.loaded.source.place("max_concurrency")
        yield Finding(
            place,
            f"a team of {width} live sessions, of which {most} may run at once: the others can't answer",
            f"say `max_concurrency: {width}`",
        )


def serial_only(flow: Flow) -> Iterator[Finding]:
    """Steps with needs of their own that make one long row, and none takes anything from the one before.

    Need only what is really used; the others then run at the same time. Where files are what a step hands
    on, the row is right: say `pattern: pipeline`.
    """
    nodes = flow.loaded.root.children
    if flow.workflow.pattern == "pipeline" or len(nodes) < 4 or flow.reads:
        return
    row = all(node.needs == ((nodes[n - 1].id,) if n else ()) for n, node in enumerate(nodes))
    fresh = all(node.kind == "agent" and node.definition.get("session", "new") == "new" for node in nodes)
    if row and fresh:
        place = flow.loaded.source.place("pattern")
        hint = "need only what is used, or say `pattern: pipeline`"
        yield Finding(place, f"{len(nodes)} steps in one row, and none takes anything from the one before", hint)


def parallel_same_file(flow: Flow) -> Iterator[Finding]:
    """Two agents that may run at the same time are to write the same file.

    One undoes what the other did. Let one need the other, or say `writes: isolated`.
    """
    writers: dict[str, list[Spot]] = {}
    for spot in flow.agents:
        if spot.writes and spot.given.get("writes") != "isolated":
            for file in written(spot.prompt):
                writers.setdefault(file, []).append(spot)
    for file, spots in writers.items():
        for n, spot in enumerate(spots):
            other = next((one for one in spots[:n] if flow.beside(spot) & one.bit), None)
            if other is not None:
                yield spot.says(f"it writes {file} while '{other.node.id}' may do so", "let one need the other")


def fan_in(flow: Flow) -> Iterator[Finding]:
    """A prompt takes the outputs of five steps or more: long, and the agent reads the first of them.

    Gather them in steps between, or let each write a file and name the files.
    """
    for spot in flow.agents:
        taken = {one.number for one, what in flow.reads.get(spot.number, ()) if what == "output"}
        if len(taken) >= _FAN_IN:
            hint = "gather them in steps between, or let each write a file"
            yield spot.says(f"its prompt takes the outputs of {len(taken)} steps", hint)


CHECKS: Final = (
    deadlock_wait,
    wait_for_ended,
    one_shot_waits,
    silent_team,
    chained_interactive,
    one_agent_supervisor,
    hub_without_live,
    wide_concurrency,
    team_over_concurrency,
    serial_only,
    parallel_same_file,
    fan_in,
)
