"""The group `runner`: lazy commands, global options before or after them, and one way out for every error."""

from __future__ import annotations

import importlib
import os
import sys
from typing import TYPE_CHECKING, Any

import click

from runner import statuses
from runner.cli import output
from runner.cli.invocation import FORMATS, Invocation
from runner.cli.table import COMMANDS, SECTIONS
from runner.errors import UsageError, suggestion

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from click.shell_completion import CompletionItem

_EXAMPLE = """\
  runner init
  runner submit "Fix the failing test" --check 'command: pytest -q'
  runner work --drain
  runner queue --all"""


class Group(click.Group):
    """Imports a command when it is called; asks plugins for a name it does not know."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        return list(COMMANDS)

    def get_command(self, ctx: click.Context, name: str) -> click.Command | None:
        entry = COMMANDS.get(name)
        if entry is not None:
            module = importlib.import_module(f"runner.cli.commands.{entry.module}")
            command: click.Command | None = module.command
        else:
            command = plugin_commands(ctx.obj).get(name)
        if command is not None:
            add_globals(command)
            if "_RUNNER_COMPLETE" in os.environ:
                from runner.cli.complete import attach  # here: only a shell asks

                attach(command, name)
        return command

    def shell_complete(self, ctx: click.Context, incomplete: str) -> list[CompletionItem]:
        from click.shell_completion import CompletionItem

        # From the table: the default would import every command at each press of the key.
        commands = [CompletionItem(n, help=e.help) for n, e in COMMANDS.items() if n.startswith(incomplete)]
        return commands + click.Command.shell_complete(self, ctx, incomplete)

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        name = args[0]
        if name not in COMMANDS:
            args = [name, *take_early(ctx.obj, args[1:])]
        command = self.get_command(ctx, name)
        if command is None:
            known = [*COMMANDS, *plugin_commands(ctx.obj)]
            if name.startswith("-"):
                raise UsageError(f"no such option: {name}", "see: runner --help")
            near = suggestion(name, known)
            raise UsageError(f"unknown command '{name}'", near if near.startswith("did") else "see: runner --help")
        return name, command, args[1:]

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        width = max(map(len, COMMANDS))
        for section in SECTIONS:
            rows = [(name.ljust(width), entry.help) for name, entry in COMMANDS.items() if entry.section == section]
            with formatter.section(section):
                formatter.write_dl(rows)
        if "--all" in ctx.obj.argv:
            commands = plugin_commands(ctx.obj)
            with formatter.section("From plugins"):
                rows = [(name.ljust(width), command.get_short_help_str(70)) for name, command in commands.items()]
                formatter.write_dl(rows or [("(none)", "")])

    def format_epilog(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        formatter.write_paragraph()
        formatter.write(
            "Example:\n"
            + _EXAMPLE
            + "\n\nrunner COMMAND --help says more about one. Options may stand after the command.\n"
        )


def take_early(inv: Invocation, args: list[str]) -> list[str]:
    """Obey `-p` and `-C` among the words after an unknown command → the other words.

    They decide which plugins there are, so they can't wait until the command is known.
    """
    rest: list[str] = []
    words = list(args)
    while words:
        word = words.pop(0)
        if word == "--":
            return [*rest, word, *words]
        if word[:2] not in ("-p", "-C") or (len(word) == 2 and not words):
            rest.append(word)
        elif word[:2] == "-p":
            inv.switches.append(word[2:] or words.pop(0))
        else:
            inv.change_folder(word[2:] or words.pop(0))
    return rest


def plugin_commands(inv: Invocation) -> dict[str, click.Command]:
    """The commands that plugins bring, the project's own included. A built-in one can't be replaced."""
    from runner.cli.plugin_commands import collect_commands

    return collect_commands(inv.app(code=True).plugins, COMMANDS)


def global_options() -> list[click.Option]:
    """The options that every command takes, too."""

    def option(*names: str, **settings: Any) -> click.Option:
        action: Callable[[Invocation, Any], None] = settings.pop("action")

        def callback(ctx: click.Context, param: click.Parameter, value: Any) -> None:
            if value not in (None, (), False, 0) and not ctx.resilient_parsing:
                action(ctx.find_root().obj, value)

        settings.setdefault("is_eager", True)
        return click.Option(names, expose_value=False, callback=callback, **settings)

    def set_store(inv: Invocation, url: str) -> None:
        inv.store_url = url

    def set_org(inv: Invocation, id: str) -> None:
        inv.org = id

    def set_project(inv: Invocation, id: str) -> None:
        inv.project_id = id

    def set_quiet(inv: Invocation, _: bool) -> None:
        inv.quiet = True

    def set_verbose(inv: Invocation, count: int) -> None:
        inv.verbose += count

    return [
        option("-C", metavar="DIR", help="As if started in DIR.", action=Invocation.change_folder),
        option("--format", metavar="|".join(FORMATS), help="How to answer.", action=Invocation.set_format),
        option("--store", metavar="URL", help="The store to use.", action=set_store),
        option("--project", metavar="ID", help="File under this project id.", action=set_project),
        option("--org", metavar="ID", help="The organisation's id, for children.", action=set_org),
        option(
            "-p",
            metavar="no:NAME|NAME",
            multiple=True,
            help="Switch a plugin off, or load one.",
            action=lambda inv, names: inv.switches.extend(names),
        ),
        option("-v", count=True, help="Say more; tracebacks.", action=set_verbose),
        option("-q", is_flag=True, help="Say less.", action=set_quiet),
        # Last of all: the format may stand after it.
        option("--version", is_flag=True, is_eager=False, help="Print the version.", action=_version),
    ]


def _version(inv: Invocation, _: bool) -> None:
    from runner import __version__

    inv.emit({"version": __version__}, lambda: inv.line(f"runner {__version__}"))
    raise click.exceptions.Exit(0)


def add_globals(command: click.Command) -> None:
    """Let a command (and those under it) take the global options as well; its own of the same name win."""
    taken = {name for param in command.params for name in (*param.opts, *param.secondary_opts)}
    if "-C" in taken:
        return
    for option in global_options():
        if not taken & set(option.opts):
            option.hidden = True
            command.params.append(option)
    if isinstance(command, click.Group):
        for child in command.commands.values():
            add_globals(child)


@click.pass_context
def _alone(ctx: click.Context) -> None:
    """`runner` without a command says what there is."""
    if ctx.invoked_subcommand is None:
        output.write_line(ctx.get_help())


group = Group(
    "runner",
    params=[
        *global_options(),
        click.Option(["--all"], is_flag=True, expose_value=False, help="With --help: plugins' commands, too."),
    ],
    help="A queue, checks and repair for AI coding agents and scripts.",
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100},
    invoke_without_command=True,
    callback=_alone,
)


def run(argv: Sequence[str]) -> int:
    """Run one call of the program → its exit code. Nothing a user can cause leaves here as a traceback."""
    output.prepare()
    inv = Invocation(argv)
    if "_RUNNER_COMPLETE" in os.environ:
        return _complete(inv)
    try:
        try:
            code = _run(inv)
        finally:
            inv.close()
        if sys.stdout is not None:
            sys.stdout.flush()
    except BaseException as error:
        from runner.cli.failure import report

        code = report(error, inv)
    return code


def _complete(inv: Invocation) -> int:
    """Answer a shell that completes a line. A person is typing there: nothing but words may come out."""
    from click.shell_completion import shell_complete

    try:
        return shell_complete(group, {"obj": inv}, "runner", "_RUNNER_COMPLETE", os.environ["_RUNNER_COMPLETE"])
    except Exception:
        return statuses.EXIT_OK
    finally:
        inv.close()


def _run(inv: Invocation) -> int:
    try:
        with group.make_context("runner", list(inv.argv), obj=inv) as ctx:
            code = group.invoke(ctx)
    except click.exceptions.Exit as end:
        return int(end.exit_code)
    return code if isinstance(code, int) and not isinstance(code, bool) else statuses.EXIT_OK
