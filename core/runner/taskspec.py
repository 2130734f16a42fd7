"""The `spec` of a task: its checks, read from what people write, and its policy, layered from the configuration."""

from __future__ import annotations

from dataclasses import asdict
from typing import TYPE_CHECKING, Any

from runner.config.values import plain
from runner.errors import suggestion
from runner.model import Policy
from runner.taskrequest import located, storable

if TYPE_CHECKING:
    from collections.abc import Mapping

    from runner.config import Config
    from runner.model import JSON, Agent, CheckSpec, TypeSpec
    from runner.taskrequest import TaskRequest


class CheckReader:
    """Reads checks in any of their forms; a text that was read once is not read again."""

    def __init__(self, known: Mapping[str, CheckSpec]) -> None:
        self._known = known
        self._read: dict[str, JSON] = {}

    def read(self, item: Any, where: str = "") -> JSON:
        """`{"type", "value"}` of `'TYPE: VALUE'`, `{"type": …, "value": …}` or `{TYPE: VALUE}`."""
        if isinstance(item, str):
            if item not in self._read:
                kind, colon, text = item.partition(":")
                self._read[item] = self._made(kind.strip(), text.strip() if colon else None, where)
            return self._read[item]
        if isinstance(item, dict) and "type" in item and set(item) <= {"type", "value"}:
            return self._made(item["type"], item.get("value"), where)
        if isinstance(item, dict) and len(item) == 1:
            [(kind, value)] = item.items()
            return self._made(kind, value, where)
        raise located(where, f"{item!r} is not a check", "write 'TYPE: VALUE'")

    def _made(self, kind: Any, value: Any, where: str) -> JSON:
        spec = self._known.get(kind) if isinstance(kind, str) else None
        if spec is None:
            raise located(where, f"no check is called '{kind}'", suggestion(str(kind), self._known))
        if spec.needs_value and value in (None, ""):
            raise located(where, f"check '{kind}' needs a value", f"write '{kind}: …'; {spec.summary}")
        if spec.parse is not None and value is not None:
            try:
                value = spec.parse(value)
            except ValueError as error:
                raise located(where, f"check '{kind}': {error}", spec.summary) from None
        reason = storable(value)
        if reason:
            raise located(where, f"check '{kind}': {reason}")
        return {"type": kind, "value": value}


def policy_for(
    request: TaskRequest, type: str, spec: TypeSpec, config: Config, agent: Agent | None, in_repository: bool
) -> Policy:
    """The request's word, then the type's section of the configuration, then its defaults, then the type itself.

    Globs of the request and of the type's section are joined. A type that expects changes expects an
    answer where no change could be seen: outside a repository, or from an agent that only reads.
    """
    section = config.types.get(type)

    def pick(name: str, fallback: Any = None) -> Any:
        for source in (request, section, config.defaults):
            value = getattr(source, name, None)
            if value is not None:
                return value
        return fallback

    def joined(name: str) -> tuple[str, ...]:
        words = (*getattr(request, name), *(getattr(section, name, None) or ()))
        return tuple(dict.fromkeys(words))

    expects = pick("expects", spec.expects)
    permission = request.payload.get("permission") or (agent.permission if agent else None)
    if request.expects is None and expects == "changes" and (permission == "read-only" or not in_repository):
        expects = "answer"
    repairs, repairer = _repair(request, section, config, spec)
    return Policy(
        expects=expects,
        attempts=pick("attempts", 3),
        interruptions=pick("interruptions", 10),
        repairs=repairs,
        repair_agent=repairer,
        timeout=pick("timeout"),
        silence=pick("silence"),
        may_edit=joined("may_edit"),
        protect=joined("protect"),
        artifacts=joined("artifacts"),
    )


def _repair(request: TaskRequest, section: Any, config: Config, spec: TypeSpec) -> tuple[int, str | None]:
    """How often red checks are repaired, and by whom: the request, the type's section, the defaults.

    Naming somebody is asking for it: then a type that has no repairs of its own gets two.
    """
    count, agent = request.repairs, request.repair_agent
    for source in (section, config.defaults):
        if source is None:
            continue
        agent = agent or source.repair.agent
        if count is None:
            count = source.repair.attempts if source.repair.attempts is not None else source.repairs
    if count is None:
        count = max(spec.repairs, 2) if agent else spec.repairs
    return count, agent


def default_checks(type: str, config: Config, read: CheckReader) -> list[JSON]:
    """The checks that the configuration gives to every task of a type, read; a complaint names file and line."""
    section = config.types.get(type)
    return [
        read.read(plain(item), config.origin(f"types.{type}.checks.{number}"))
        for number, item in enumerate(section.checks if section is not None else ())
    ]


def policy_json(policy: Policy) -> JSON:
    """The policy as `spec` holds it."""
    return {name: list(value) if isinstance(value, tuple) else value for name, value in asdict(policy).items()}
