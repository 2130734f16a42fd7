"""What one call of the program has: global options, the App behind them, and how to answer in text or JSON."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from runner.cli import output
from runner.errors import UsageError, suggestion

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping, Sequence

    from runner.app import App
    from runner.errors import RunnerError
    from runner.keeper import Redaction
    from runner.project import Project
    from runner.store import Store

Format = Literal["text", "json", "jsonl"]
FORMATS = ("text", "json", "jsonl")


class Invocation:
    """`ctx.obj` of every command: `@click.pass_obj def command(inv: Invocation, …)`.

    stdout is data and goes through `emit`, `emit_list`, `table` and `line`; talk goes to stderr.
    """

    def __init__(self, argv: Sequence[str] = ()) -> None:
        self.argv = tuple(argv)
        self.store_url: str | None = None
        self.named = False
        self.org: str | None = None
        self.project_id: str | None = None
        self.switches: list[str] = []
        self.verbose = 0
        self.quiet = False
        self.lenient = False
        self._format: Format | None = None
        self._app: App | None = None
        self._opened: dict[str, object] = {}
        self._warned: set[str] = set()

    @property
    def format(self) -> Format:
        """`--format`, else RUNNER_FORMAT, else text."""
        if self._format is None:
            self.set_format(os.environ.get("RUNNER_FORMAT") or "text", "RUNNER_FORMAT")
        assert self._format is not None
        return self._format

    def set_format(self, word: str, where: str = "--format") -> None:
        """Choose the format; UsageError for one that is not there."""
        if word not in FORMATS:
            self._format = self._format or "text"
            raise UsageError(f"{where} can't be '{word}'", suggestion(word, FORMATS))
        self._format = word  # type: ignore[assignment]

    @property
    def json(self) -> bool:
        """Whether the answer is for a program (json or jsonl)."""
        return self.format != "text"

    def change_folder(self, folder: str) -> None:
        """`-C DIR`: as if the program had been started there."""
        try:
            os.chdir(folder)
        except OSError as error:
            raise UsageError(f"-C {folder}: {error.strerror}") from None
        self.named = True

    # The parts behind it.

    def app(self, code: bool = False) -> App:
        """The App of the current folder, opened once; `code=True` lets it import the project's plugins and handlers."""
        try:
            start = Path.cwd()
        except OSError:
            raise UsageError("the current folder does not exist any more", "cd to one that does") from None
        code = code or (self._app is not None and self._app.code)
        wanted = {
            "start": start,
            "code": code,
            "named": self.named,
            "store": self.store_url,
            "switches": tuple(self.switches),
            "project_id": self.project_id,
            "org": self.org,
            "lenient": self.lenient,
        }
        if self._app is None or wanted != self._opened:
            # A plugin's command was looked for before the options behind its name were read.
            self.close()
            from runner.app import App  # most of the start-up cost: not for --help

            self._app = App.open(**wanted, warn=self._warn_once)  # type: ignore[arg-type]
            self._opened = wanted
            output.hide_with(_hider(self._app.config.redact))
        return self._app

    def store(self) -> Store:
        """The store of the project, open."""
        return self.app().store

    def project(self) -> Project:
        """The project of the current folder; UsageError naming `runner init` when there is none."""
        return self.app().project

    def close(self) -> None:
        """Close what was opened."""
        if self._app is not None:
            self._app.close()
            self._app = None

    # Answers.

    def emit(self, value: Mapping[str, Any], text: Callable[[], None]) -> None:
        """One object: as a JSON document (a line with jsonl), or by calling `text`."""
        if self.json:
            output.write_json(value, lines=self.format == "jsonl")
        else:
            text()

    def emit_list(self, items: Iterable[Mapping[str, Any]], text: Callable[[], None]) -> None:
        """A list: `{"items": […]}`, a line each with jsonl, or by calling `text`."""
        if self.format == "jsonl":
            for item in items:
                output.write_json(item, lines=True)
        elif self.format == "json":
            output.write_json({"items": list(items)})
        else:
            text()

    def table(self, columns: Sequence[str], rows: Iterable[Sequence[object]]) -> None:
        """A table that fits the terminal; whole and aligned where stdout is none. Nothing without rows."""
        output.write_table(columns, rows)

    def line(self, text: str = "") -> None:
        """A line of data on stdout."""
        output.write_line(text)

    def talk(self, text: str) -> None:
        """A line for people on stderr; not with -q."""
        if not self.quiet:
            output.write_talk(text)

    def warn(self, text: str) -> None:
        """A warning on stderr, with -q as well."""
        output.write_talk(f"warning: {text}")

    def _warn_once(self, text: str) -> None:
        if text not in self._warned:
            self._warned.add(text)
            self.warn(text)

    def error(self, error: RunnerError) -> None:
        """An error on stderr that does not end the command; the exit code should tell of it."""
        output.write_error(error.message, error.hint)


def _hider(patterns: Sequence[str]) -> Callable[[str], str]:
    """What takes the secrets of this environment, known keys and what `redact` matches out of a text."""
    made: list[Redaction] = []

    def hide(text: str) -> str:
        if not made:
            from runner.keeper.redaction import Redaction  # not before something is shown

            made.append(Redaction.of(os.environ, patterns))
        return made[0].text(text)

    return hide
