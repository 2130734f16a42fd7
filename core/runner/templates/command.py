"""A command with values in it: the values in files of their own, references in the text, never the other way round."""

from __future__ import annotations

import os
import shlex
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from runner.templates.shellscan import Scan, variable
from runner.templates.syntax import Placeholder, TemplateError, parse, text_of, value_of

if TYPE_CHECKING:
    from pathlib import Path

    from runner.templates.scope import Scope

_UNREADABLE: Final = 125
"""Exit code when a value's file can't be read: none of the command has run then."""


@dataclass(frozen=True, slots=True)
class Command:
    """A command for a shell: `text` refers to variables, `values` are their texts in order.

    `warnings` are sentences for the author.
    """

    text: str
    values: tuple[str, ...] = ()
    names: tuple[str, ...] = ()
    warnings: tuple[str, ...] = ()

    def script(self, folder: Path) -> str:
        """What the shell runs: writes the values to files below `folder` (0600), and reads them at its start.

        The variables are not exported, so children do not see them, and no limit of the environment holds.
        """
        if not self.values:
            return self.text
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        lines = []
        for number, value in enumerate(self.values):
            path = folder / f"value-{number + 1}"
            descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
            with os.fdopen(descriptor, "wb") as file:
                file.write(value.encode("utf-8", "surrogateescape"))
            name = variable(number)
            # The sign at the end keeps newlines that a substitution would cut.
            read = f"unset {name}; {name}=$(cat {shlex.quote(str(path))} && printf x) || exit {_UNREADABLE}"
            lines.append(f"{read}; {name}=${{{name}%x}}; ")
        return "".join(lines) + self.text

    def inline(self) -> str:
        """The command with its values in quotes at its start: for where there is no folder to put them in."""
        names = [f"{variable(number)}={shlex.quote(value)}; " for number, value in enumerate(self.values)]
        return "".join(names) + self.text


def compile_command(
    text: str, scope: Scope | None, *, bash: bool = False, literal_expressions: bool = False
) -> Command:
    """The command with references in place of its placeholders; without a `scope` it is only looked over.

    Raises TemplateError where a value can't stand safely, Undefined for a name that is not there.
    """
    parts = parse(text, literal_expressions=literal_expressions)
    if not any(isinstance(part, Placeholder) for part in parts):
        return Command("".join(str(part) for part in parts))
    scan = Scan(parts, bash=bash)
    scan.run()
    out = [scan.edits.get(place, str(unit)) for place, unit in enumerate(scan.units)]
    left = [unit for place, unit in enumerate(scan.units) if isinstance(unit, int) and place not in scan.edits]
    if left:  # the scanner went past it: nothing is run that was not understood
        scan.refuse(left[0], "here", "put it into a word of its own")
    values = () if scope is None else tuple(_value(part, scope) for part in parts if isinstance(part, Placeholder))
    return Command("".join(out), values, tuple(scan.names), tuple(scan.warnings))


def _value(placeholder: Placeholder, scope: Scope) -> str:
    value = text_of(value_of(placeholder, scope))
    if "\0" in value:
        raise TemplateError(f"the value of '{{{{{placeholder.source}}}}}' has a NUL character", "no shell can hold one")
    return value
