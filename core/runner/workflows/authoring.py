"""Advice on a workflow that can run as it is: the mistakes that authors make again and again, each with a code.

What is certainly wrong (unknown names, cycles, unsafe places of values) is found by `load` and `check`; here are
the rest. Each check is a function whose docstring is its documentation; its name is the code.
"""

from __future__ import annotations

import inspect
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from runner.workflows import authoring_commands, authoring_gates, authoring_prompts, authoring_teams
from runner.workflows.authoring_flow import Flow

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

    from runner.workflows.authoring_steps import Finding
    from runner.workflows.load import Loaded


@dataclass(frozen=True, slots=True)
class Advice:
    """What is said of one place (`file:line:column`) of a workflow; `error` when a run would certainly be wrong."""

    code: str
    place: str
    message: str
    hint: str = ""
    error: bool = False

    def __str__(self) -> str:
        return f"{self.place}: {self.message}" + (f" ({self.hint})" if self.hint else "") + f" [{self.code}]"


_CHECKS: Final[tuple[Callable[[Flow], Iterator[Finding]], ...]] = (
    *authoring_teams.CHECKS,
    *authoring_gates.CHECKS,
    *authoring_prompts.CHECKS,
    *authoring_commands.CHECKS,
)


def _code(check: Callable[..., object]) -> str:
    return check.__name__.replace("_", "-")


def _first_line(check: Callable[..., object]) -> str:
    return (inspect.getdoc(check) or "").partition("\n")[0]


CHECKS: Final[Mapping[str, str]] = {_code(check): _first_line(check) for check in _CHECKS}
"""Every code, and what it means in one sentence."""


def explain(code: str) -> str:
    """The whole documentation of a code; KeyError for one that there is not."""
    return {_code(check): inspect.getdoc(check) or "" for check in _CHECKS}[code]


def advice(loaded: Loaded) -> list[Advice]:
    """What there is to say of a loaded workflow and its sub-workflows, in the order of the checks."""
    flow = Flow(loaded)
    found = [Advice(_code(check), *finding) for check in _CHECKS for finding in check(flow)]
    return list(dict.fromkeys(found))
