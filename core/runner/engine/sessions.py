"""Which agent session a step goes on in, by what the file says: new, resume, inherit, or the name of one."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from runner.templates import TemplateError
from runner.workflows.items import ENDED

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from runner.workflows.items import Frame, Item


_FACTS: Final = ("session_cwd", "session_cost_usd", "session_tokens")


class Sessions:
    """The sessions of one run. `seed` is the one that the first `resume` without a predecessor goes on in."""

    def __init__(self, seed: str | None = None) -> None:
        self._seed = seed
        self._named: dict[tuple[str, str], str] = {}
        self._busy: set[tuple[str, str]] = set()
        self._facts: dict[str, dict[str, Any]] = {}

    def known(self, name: str, agent: str, session: str) -> None:
        """A step of this name's session has come to an id."""
        self._named[name, agent] = session

    def learn(self, body: Mapping[str, Any]) -> None:
        """What the journal keeps of an attempt: where its session is, and what that has cost in all by then."""
        session = body.get("session")
        if session:
            self._facts[str(session)] = {name: body[name] for name in _FACTS if body.get(name) is not None}

    def facts(self, session: str) -> Mapping[str, Any]:
        """What was learned of a session."""
        return self._facts.get(session, {})

    def take(self, name: str, agent: str) -> bool:
        """Begin to write to a named session → False while somebody else does."""
        if (name, agent) in self._busy:
            return False
        self._busy.add((name, agent))
        return True

    def give(self, name: str, agent: str) -> None:
        """The step that wrote to it has ended."""
        self._busy.discard((name, agent))

    def find(self, item: Item, how: str, agent: str) -> tuple[str | None, str]:
        """The id of the session to go on in, and a warning when there should be one and is none.

        `resume`: the nearest finished step along the needs with the same agent, then the iteration before (of a
        counted loop), then outward. `inherit`: the same, from the step that called this workflow.
        TemplateError when two are equally near.
        """
        if how == "new":
            return None, ""
        if how not in ("resume", "inherit"):
            return self._named.get((how, agent)), ""
        start: Item | None = item
        if how == "inherit":
            start = _caller(item)
        found = _outward(start, agent) if start is not None else None
        if found is None and self._seed is not None:
            found, self._seed = self._seed, None
        if found is None:
            return None, f"{item.path}: there is no session of '{agent}' to {how}: it begins a new one"
        return found, ""


def _caller(item: Item) -> Item | None:
    """The step that runs the workflow which the item is part of; None at the top."""
    owner = item.frame.owner
    while owner is not None and owner.node.kind != "workflow":
        owner = owner.frame.owner
    return owner


def _outward(item: Item, agent: str) -> str | None:
    current: Item | None = item
    while current is not None:
        found = _along(current, agent)
        if found is not None:
            return found
        owner = current.frame.owner
        if owner is not None and owner.node.kind == "loop":
            found = _before(owner, agent)
            if found is not None:
                return found
        if owner is None or owner.node.kind == "workflow":
            return None
        current = owner
    return None


def _along(item: Item, agent: str) -> str | None:
    """The session of the nearest need, by steps; what is inside of a container counts as the container."""
    level = [item.frame.items[need] for need in item.node.needs]
    seen: set[str] = set()
    while level:
        found = list(dict.fromkeys(session for one in level for session in _last_of(one, agent)))
        if len(found) > 1:
            names = ", ".join(one.node.id for one in level if list(_last_of(one, agent)))
            raise TemplateError(
                f"step '{item.path}': which session is meant? {names} have one each", "name one with `session: NAME`"
            )
        if found:
            return found[0]
        seen.update(one.path for one in level)
        after = [one.frame.items[need] for one in level for need in one.node.needs]
        level = [one for one in dict.fromkeys(after) if one.path not in seen]
    return None


def _last_of(item: Item, agent: str) -> Iterable[str]:
    """The session that a step left, if it is this agent's; of a container that of its last step with one."""
    if item.state not in ENDED:
        return []
    if item.inside is not None and item.node.kind != "workflow":
        return _in_frame(item.inside, agent)
    values = item.result.values
    session = values.get("session") if values.get("agent") == agent else None
    return [str(session)] if session else []


def _in_frame(frame: Frame, agent: str) -> list[str]:
    """Those of the steps that no other step with a session comes after: two only if they ran beside each other."""
    left = {id: found for id, item in frame.items.items() if (found := list(_last_of(item, agent)))}
    followed: set[str] = set()
    reached = list(left)
    while reached:
        needs = [need for need in frame.items[reached.pop()].node.needs if need not in followed]
        followed.update(needs)
        reached += needs
    return [session for id, found in left.items() if id not in followed for session in found]


def _before(loop: Item, agent: str) -> str | None:
    """The last session of the iteration before; an item of a list has nothing to do with the one before it."""
    assert loop.node.iterations is not None
    if loop.node.iterations.max is None or not loop.rounds:
        return None
    views: Mapping[str, Any] = loop.rounds[-1]
    found = [_seen(view, agent) for view in views.values()]
    return next((session for session in reversed(found) if session), None)


def _seen(view: Mapping[str, Any], agent: str) -> str | None:
    """The session of this agent that a step of the iteration left, or what is in it."""
    own = view.get("session") if view.get("agent") == agent else (view.get("sessions") or {}).get(agent)
    return str(own) if own else None
