"""The way out for every error: one line for people, an object for programs, the right exit code."""

from __future__ import annotations

import os
import sys
from typing import TYPE_CHECKING

import click

from runner import statuses
from runner.cli import output
from runner.errors import RunnerError, suggestion

if TYPE_CHECKING:
    from runner.cli.invocation import Invocation

EXIT_PIPE = 141
"""What a shell shows for a program that SIGPIPE ended: the reader (`| head`) had enough."""


def report(error: BaseException, inv: Invocation) -> int:
    """Tell about an error in the form of this call → the exit code."""
    if isinstance(error, SystemExit):
        return (
            error.code
            if isinstance(error.code, int)
            else 0
            if error.code is None
            else _tell(str(error.code), "", "error", 1, inv)
        )
    if isinstance(error, BrokenPipeError):
        _drop_stdout()
        return EXIT_PIPE
    if isinstance(error, click.exceptions.Abort) and isinstance(error.__context__, EOFError):
        return _tell(
            "the input ended before the question was answered", "answer with flags", "usage", statuses.EXIT_USAGE, inv
        )
    if isinstance(error, KeyboardInterrupt | click.exceptions.Abort):
        output.write_talk("interrupted")
        return statuses.EXIT_INTERRUPTED
    if isinstance(error, RunnerError):
        _trace(error, inv)
        return _tell(error.message, error.hint, error.code, error.exit_code, inv)
    if isinstance(error, click.ClickException):
        return _click(error, inv)
    if isinstance(error, OSError) and sys.stdout is not None and error.filename is None and _stdout_is_full(error):
        _drop_stdout()
        return _tell(f"can't write the output: {error.strerror}", "", "error", statuses.EXIT_FAILED, inv)
    return _unexpected(error, inv)


def _stdout_is_full(error: OSError) -> bool:
    import errno

    return error.errno in (errno.ENOSPC, errno.EIO, errno.EBADF, errno.EFBIG)


def _drop_stdout() -> None:
    # Python flushes stdout once more as it exits, and would complain.
    try:
        os.dup2(os.open(os.devnull, os.O_WRONLY), 1)
    except OSError:
        pass


def asked_format(inv: Invocation) -> str:
    """The format this call asked for, found without parsing: the error may be in the parsing."""
    argv = list(inv.argv[: inv.argv.index("--")] if "--" in inv.argv else inv.argv)
    for word, after in reversed(list(zip(argv, [*argv[1:], ""], strict=True))):
        if word == "--format":
            return after
        if word.startswith("--format="):
            return word.removeprefix("--format=")
    return os.environ.get("RUNNER_FORMAT", "")


def _tell(message: str, hint: str, code: str, exit_code: int, inv: Invocation) -> int:
    form = asked_format(inv)
    if form in ("json", "jsonl"):
        try:
            output.write_json({"error": {"code": code, "message": message, "hint": hint}}, lines=form == "jsonl")
            if sys.stdout is not None:
                sys.stdout.flush()
        except OSError:
            _drop_stdout()
        return exit_code
    output.write_error(message, hint)
    return exit_code


def _click(error: click.ClickException, inv: Invocation) -> int:
    # A group without a command: click 8.2 and newer raise the whole help as an error.
    if type(error).__name__ == "NoArgsIsHelpError" and isinstance(error, click.UsageError) and error.ctx is not None:
        if asked_format(inv) in ("json", "jsonl"):
            return _tell("missing command", f"see: {error.ctx.command_path} --help", "usage", statuses.EXIT_USAGE, inv)
        output.write_talk(error.ctx.get_help())
        return statuses.EXIT_USAGE
    message = " ".join(error.format_message().split()).rstrip(".")
    hint = ""
    if isinstance(error, click.UsageError):
        path = error.ctx.command_path if error.ctx else "runner"
        hint = f"see: {path} --help"
    if isinstance(error, click.MissingParameter) and error.param is not None:
        kind = "option" if isinstance(error.param, click.Option) else "argument"
        message = f"missing {kind} {error.param.opts[0] if kind == 'option' else error.param.human_readable_name}"
    if isinstance(error, click.NoSuchOption):
        message = f"no such option: {error.option_name}"
        # Compared without the dashes, which make every option look near.
        near = suggestion(error.option_name.lstrip("-"), [word.lstrip("-") for word in error.possibilities or ()])
        if near.startswith("did you mean"):
            hint = near.replace("'", "'--", 1)
    return _tell(message[:1].lower() + message[1:], hint, "usage", statuses.EXIT_USAGE, inv)


def _trace(error: BaseException, inv: Invocation) -> None:
    if inv.verbose:
        import traceback

        output.write_talk("".join(traceback.format_exception(error)).rstrip())


def _unexpected(error: BaseException, inv: Invocation) -> int:
    """A mistake of ours: one line that names a file with the traceback."""
    import platform
    import time
    import traceback

    from runner import __version__
    from runner.project import state_root

    text = "".join(traceback.format_exception(error))
    _trace(error, inv)
    summary = f"internal error: {type(error).__name__}: {' '.join(str(error).split())}"
    try:
        folder = state_root() / "reports"
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        path = folder / f"{time.strftime('%Y%m%d-%H%M%S')}-{os.getpid()}.txt"
        head = f"runner {__version__}, Python {platform.python_version()}, {platform.platform()}\n"
        path.write_text(head + text, encoding="utf-8", errors="backslashreplace")
    except (OSError, RunnerError):
        if not inv.verbose:
            output.write_talk(text.rstrip())
        return _tell(summary, "", "internal", statuses.EXIT_FAILED, inv)
    return _tell(
        f"{summary}; the report is in {path}", "send it with what you did", "internal", statuses.EXIT_FAILED, inv
    )
