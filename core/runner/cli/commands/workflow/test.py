"""`runner workflow test`: the cases of `test_*.yaml`, run by the real executor with agents that are played."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from runner import statuses
from runner.errors import UsageError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from runner.app import App
    from runner.cli.invocation import Invocation
    from runner.flowtests.collect import Collected


@click.command(
    epilog=(
        "Examples:\n\n\b\n"
        "  runner workflow test\n"
        "  runner workflow test workflows/test_ship.yaml -k 'repair and not gate' -x\n"
        "  runner workflow test --lf --junit report.xml\n"
    ),
)
@click.argument("paths", metavar="[FILE|DIR|FILE::CASE]...", nargs=-1)
@click.option("-k", "keyword", metavar="EXPR", help="Only cases with these words: 'repair and not gate'.")
@click.option("--lf", "last_failed", is_flag=True, help="Only cases that failed last; all when none did.")
@click.option("-x", "first", is_flag=True, help="Stop at the first case that does not pass.")
@click.option("-n", "at_once", metavar="N", type=click.IntRange(1), default=1, help="Run N cases at a time.")
@click.option("--collect-only", is_flag=True, help="List the cases; run nothing.")
@click.option("--durations", metavar="N", type=click.IntRange(0), help="Show the N slowest cases; 0 shows all.")
@click.option("--keep", is_flag=True, help="Keep the folders of cases that passed, too.")
@click.option("--junit", metavar="FILE", type=click.Path(dir_okay=False), help="Write the results as JUnit XML.")
@click.pass_obj
def test(
    inv: Invocation,
    paths: tuple[str, ...],
    keyword: str | None,
    last_failed: bool,
    first: bool,
    at_once: int,
    collect_only: bool,
    durations: int | None,
    keep: bool,
    junit: str | None,
) -> None:
    """Test workflows: each case runs in a project of its own, offline, with agents that do what the case says.

    Looks for test_*.yaml in workflows/, .runner/workflows/ and tests/. `runner schema workflow-test` says what
    stands in one. Exit code: 0 all passed, 1 some did not, 2 no tests were found or a file is wrong.
    """
    from runner.cli.flowreport import Report  # here, and below: pydantic

    app = inv.app(code=True)
    cases = _wanted(inv, app, paths, keyword, last_failed=last_failed)
    report = Report(inv, junit, durations)
    if collect_only:
        report.list(cases)
        return
    from runner.flowtests.session import LastFailed, Session

    app.project.prepare()
    session = Session(app, switches=inv.switches, keep=keep, told=report.ended, first=first)
    with report:
        ended = session.run(cases, at_once)
    LastFailed(app).write(ended)
    if any(one.state != "passed" for one in ended):
        raise SystemExit(statuses.EXIT_FAILED)


def _wanted(
    inv: Invocation, app: App, paths: Sequence[str], keyword: str | None, *, last_failed: bool
) -> list[Collected]:
    """The cases that are asked for; UsageError when there are none, ConfigError when a file is wrong."""
    from runner.cli.selection import expression
    from runner.flowtests.collect import collect, find_files
    from runner.flowtests.session import LastFailed, key_of

    fits: Any = expression(keyword) if keyword is not None else lambda text: True
    files = find_files(paths, app.project.root)
    if not files:
        where = ", ".join(paths) or "workflows/, .runner/workflows/ and tests/"
        raise UsageError(f"no workflow tests in {where}", "write a test_NAME.yaml with `workflow` and `cases`")
    cases, wrong = collect(app, files, Path.cwd())
    for error in wrong[1:]:
        inv.talk(f"error: {error}")
    if wrong:
        raise wrong[0]
    chosen = [one for one in cases if fits(f"{one.id}\n{one.loaded.source.workflow.name}".lower())]
    if not chosen:
        raise UsageError(f"none of {len(cases)} cases fits -k '{keyword}'", "see them with --collect-only")
    if last_failed:
        failed = LastFailed(app).read()
        again = [one for one in chosen if key_of(one) in failed]
        inv.talk(f"{len(again)} that failed last" if again else "none failed last: all run")
        chosen = again or chosen
    return chosen
