"""`runner workflow validate`: what is wrong with workflows, before anything runs."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

import click

from runner import statuses
from runner.cli.flowfile import Workflow, opened, without_tests
from runner.errors import ConfigError

if TYPE_CHECKING:
    from runner.cli.invocation import Invocation


@click.command(
    epilog=(
        "Examples:\n\n\b\n"
        "  runner workflow validate ship\n"
        "  runner workflow validate workflows/*.yaml --strict --format json\n"
    ),
)
@click.argument("names", metavar="NAME|FILE...", nargs=-1, required=True, type=Workflow())
@click.option("--strict", is_flag=True, help="Warnings fail too.")
@click.pass_obj
def validate(inv: Invocation, names: tuple[str, ...], strict: bool) -> None:
    """Look workflows over: names, references, conditions, commands, agents; and what experience advises against.

    Errors end with exit code 2, warnings do not.
    """
    chosen = without_tests(names)
    items = [item for name in chosen for item in _of(inv, name)]
    errors = [item for item in items if not item["warning"] or strict]

    def text() -> None:
        for item in items:
            kind = "warning" if item["warning"] else "error"
            place = f"{item['place']}: " if item["place"] else ""
            code = f" [{item['code']}]" if item["code"] else ""
            inv.line(f"{place}{kind}: {item['message']}{code}")
            if item["hint"]:
                inv.line(f"    {item['hint']}")
        count = f"{len(chosen)} workflow{'' if len(chosen) == 1 else 's'}"
        inv.talk(f"{count}: {len(errors)} error(s), {len(items) - len(errors)} warning(s)")

    inv.emit_list(items, text)
    if errors:
        raise SystemExit(statuses.EXIT_USAGE)


def _of(inv: Invocation, name: str) -> list[dict[str, Any]]:
    from runner.workflows.authoring import advice  # here: not for --help

    try:
        _, loaded, found = opened(inv, name)
    except ConfigError as error:
        told = getattr(error, "found", ((error.message, error.hint),))
        return [_item(name, "", message, hint, "", warning=False) for message, hint in told]
    items = [_item(name, one.place, one.message, one.hint, "", warning=one.warning) for one in found]
    if not any(not one.warning for one in found):
        items += [
            _item(name, one.place, one.message, one.hint, one.code, warning=not one.error) for one in advice(loaded)
        ]
    return items


def _item(name: str, place: str, message: str, hint: str, code: str, *, warning: bool) -> dict[str, Any]:
    if not place and (
        told := re.match(r"(\S.*?:\d+(?::\d+)?): ", message)
    ):  # an error of reading names its place itself
        place, message = told[1], message[told.end() :]
    return {"workflow": name, "place": place, "code": code, "message": message, "hint": hint, "warning": warning}
