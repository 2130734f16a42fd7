"""The program itself: help, global options, formats, streams, errors, exit codes."""

from __future__ import annotations

import json
import os
import pty
import re
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from runner import __version__
from runner.cli.table import COMMANDS, SECTIONS

if TYPE_CHECKING:
    from conftest import Runner

BREAKING = """\
import click
from runner import hookimpl


@click.command()
def boom():
    raise ZeroDivisionError("what a\\nsurprise")


@click.command()
@click.pass_obj
def flood(inv):
    for number in range(200_000):
        inv.line(f"line {number}")


@click.command()
@click.pass_obj
def nap(inv):
    import time

    inv.line("napping")
    import sys
    sys.stdout.flush()
    time.sleep(60)


@click.command()
@click.argument("text")
@click.option("--times", type=int, default=1)
@click.pass_obj
def say(inv, text, times):
    inv.emit_list([{"text": text}] * times, lambda: inv.table(("text", "state"), [(text, "done")] * times))


@click.command()
def ask():
    click.prompt("name")


@click.command()
@click.pass_obj
def three(inv):
    return 3


@hookimpl
def register_commands():
    return {"boom": boom, "flood": flood, "nap": nap, "say": say, "ask": ask, "three": three}
"""


@pytest.fixture
def commands(project: Path) -> Path:
    """A project whose plugin brings commands that do what a test needs."""
    (project / "plugins").mkdir()
    (project / "plugins" / "trouble.py").write_text(BREAKING)
    return project


def test_version_is_the_packages(runner: Runner) -> None:
    assert runner.ok("--version").stdout == f"runner {__version__}\n"
    assert runner.ok("--version", "--format", "json").json == {"version": __version__}
    assert runner.ok("config", "--version").stdout == f"runner {__version__}\n"


def test_help_lists_every_command_in_a_section_and_has_an_example(runner: Runner) -> None:
    text = runner.ok("--help").stdout
    assert runner.ok().stdout == text
    assert runner.ok("-h").stdout == text
    for section in SECTIONS:
        assert f"\n{section}:\n" in text
    for name, entry in COMMANDS.items():
        assert re.search(rf"^  {name} +{re.escape(entry.help)}$", text, re.MULTILINE), name
    assert "Example:\n  runner init\n" in text


def test_every_listed_command_exists() -> None:
    import importlib

    for name, entry in COMMANDS.items():
        module = importlib.import_module(f"runner.cli.commands.{entry.module}")
        assert module.command.name in (name, None, "command"), name
        assert entry.section in SECTIONS


@pytest.mark.parametrize("name", sorted(COMMANDS))
def test_every_command_has_help_with_an_example(runner: Runner, name: str) -> None:
    text = runner.ok(name, "--help").stdout
    assert "Example" in text
    assert re.search(rf"^ +(\$ )?runner .*{name}", text, re.MULTILINE)


def test_global_options_stand_before_or_after_the_command(runner: Runner, commands: Path) -> None:
    before = runner.ok("--format", "json", "-q", "say", "hi")
    after = runner.ok("say", "hi", "--format", "json", "-q")
    between = runner.ok("say", "--format=json", "hi")
    assert before.json == after.json == between.json == {"items": [{"text": "hi"}]}
    assert runner.ok("say", "hi", "--times", "2", "--format", "jsonl").stdout == '{"text": "hi"}\n{"text": "hi"}\n'


def test_a_plugins_command_obeys_the_options_behind_its_name(runner: Runner, commands: Path, tmp_path: Path) -> None:
    (commands / "plugins" / "where.py").write_text(
        "import click\nfrom runner import hookimpl\n\n"
        "@click.command()\n@click.pass_obj\ndef where(inv):\n    inv.line(inv.app().store_url)\n\n"
        "@hookimpl\ndef register_commands():\n    return {'where': where}\n"
    )
    assert runner.ok("where", "--store", "sqlite:////x/y.db").stdout == "sqlite:////x/y.db\n"
    assert runner.ok("where", "-C", commands, cwd=tmp_path).stdout.endswith("/store.db\n")
    assert runner("where", cwd=tmp_path).code == 2


def test_the_format_may_come_from_the_environment_and_the_flag_goes_first(runner: Runner, commands: Path) -> None:
    env = {"RUNNER_FORMAT": "json"}
    assert runner.ok("say", "hi", env=env).json == {"items": [{"text": "hi"}]}
    assert runner.ok("say", "hi", "--format", "text", env=env).stdout.startswith("TEXT")


@pytest.mark.parametrize(("args", "env"), [(["--format", "jsn"], {}), ([], {"RUNNER_FORMAT": "jsn"})])
def test_an_unknown_format_is_an_error(runner: Runner, project: Path, args: list[str], env: dict[str, str]) -> None:
    ended = runner("config", *args, env=env)
    name = "--format" if args else "RUNNER_FORMAT"
    assert (ended.code, ended.stderr) == (2, f"error: {name} can't be 'jsn' (did you mean 'json'?)\n")


def test_an_unknown_command_is_an_error_with_the_nearest(runner: Runner, folder: Path) -> None:
    ended = runner("qeue")
    assert (ended.code, ended.stdout, ended.stderr) == (
        2,
        "",
        "error: unknown command 'qeue' (did you mean 'queue'?)\n",
    )
    ended = runner("zzzzz")
    assert (ended.code, ended.stderr) == (2, "error: unknown command 'zzzzz'\nhint: see: runner --help\n")


def test_usage_errors_exit_2_in_the_form_that_was_asked_for(runner: Runner, project: Path) -> None:
    ended = runner("config", "--bogus")
    assert (ended.code, ended.stdout) == (2, "")
    assert ended.stderr == "error: no such option: --bogus\nhint: see: runner config --help\n"
    assert runner("init", "--yse").stderr == "error: no such option: --yse (did you mean '--yes'?)\n"
    for args in (("config", "--bogus", "--format", "json"), ("--format=json", "config", "--bogus")):
        ended = runner(*args)
        assert ended.code == 2
        assert ended.stderr == ""
        assert ended.error["code"] == "usage"
        assert ended.error["message"] == "no such option: --bogus"
    missing = runner("completion")
    assert missing.stderr.splitlines() == [
        "error: missing argument SHELL",
        "hint: see: runner completion --help",
    ]


def test_an_exit_code_is_what_the_command_returns(runner: Runner, commands: Path) -> None:
    assert runner("three").code == 3


def test_an_unexpected_exception_is_one_line_that_names_a_report(runner: Runner, commands: Path) -> None:
    ended = runner("boom")
    assert ended.code == 1
    assert ended.stdout == ""
    first, hint = ended.stderr.splitlines()
    match = re.fullmatch(r"error: internal error: ZeroDivisionError: what a surprise; the report is in (\S+)", first)
    assert match, first
    assert hint.startswith("hint: ")
    report = Path(match[1])
    assert report.is_relative_to(os.environ["XDG_STATE_HOME"])
    assert report.stat().st_mode & 0o077 == 0 or report.parent.stat().st_mode & 0o077 == 0
    assert "Traceback (most recent call last)" in report.read_text()
    assert __version__ in report.read_text()


def test_dash_v_shows_the_traceback_at_once(runner: Runner, commands: Path) -> None:
    assert "Traceback (most recent call last)" in runner("boom", "-v").stderr
    json_form = runner("boom", "--format", "json")
    assert json_form.error["code"] == "internal"
    assert json_form.stderr == ""


def test_a_reader_that_had_enough_is_no_trouble(runner: Runner, commands: Path) -> None:
    command = f"{' '.join(runner.argv)} flood | head -n 2; echo ${{PIPESTATUS[0]}}"
    ended = subprocess.run(["bash", "-c", command], cwd=commands, capture_output=True, text=True, check=False)
    assert ended.stdout.splitlines() == ["line 0", "line 1", "141"]
    assert ended.stderr == ""


def test_a_full_disk_behind_stdout_is_one_sentence(runner: Runner, commands: Path) -> None:
    with open("/dev/full", "w") as full:
        process = runner.start("flood", stdout=full)
        _, stderr = process.communicate(timeout=60)
    assert process.returncode == 1
    assert stderr == "error: can't write the output: No space left on device\n"


@pytest.mark.parametrize("closed", ["1", "2", "0"])
def test_a_closed_stream_is_no_trouble(runner: Runner, commands: Path, closed: str) -> None:
    sign = "<" if closed == "0" else ">"
    command = f"{' '.join(runner.argv)} say hi {closed}{sign}&-"
    ended = subprocess.run(["bash", "-c", command], cwd=commands, capture_output=True, text=True, check=False)
    assert ended.returncode == 0
    assert "Traceback" not in ended.stderr


def test_ctrl_c_ends_with_130_and_no_traceback(runner: Runner, commands: Path) -> None:
    process = runner.start("nap")
    assert process.stdout is not None
    assert process.stdout.readline() == "napping\n"
    process.send_signal(signal.SIGINT)
    _, stderr = process.communicate(timeout=30)
    assert process.returncode == 130
    assert stderr == "interrupted\n"


def test_a_question_without_an_answer_is_a_usage_error(runner: Runner, commands: Path) -> None:
    ended = runner("ask", input="")
    assert ended.code == 2
    assert "error: the input ended before the question was answered" in ended.stderr


@pytest.mark.parametrize("encoding", ["utf-8", "ascii", "latin-1"])
def test_any_text_survives_any_encoding(runner: Runner, commands: Path, encoding: str) -> None:
    word = "žluť \N{SNOWMAN} \udc80"
    env = {"PYTHONIOENCODING": encoding, "LC_ALL": "C"}
    command = [*runner.argv, "say", os.fsdecode("žluť \N{SNOWMAN} ".encode() + b"\x80"), "--format", "json"]
    ended = subprocess.run(command, cwd=commands, env={**os.environ, **env}, capture_output=True, check=True)
    assert json.loads(ended.stdout.decode(encoding))["items"][0]["text"] == word
    text = subprocess.run(command[:-2], cwd=commands, env={**os.environ, **env}, capture_output=True, check=True)
    assert b"lu" in text.stdout


def test_a_payload_can_not_drive_the_terminal(runner: Runner, commands: Path) -> None:
    out = runner.ok("say", "a\x1b[31mb\rc\x07\nd\x9be").stdout
    assert not re.search(r"[\x00-\x09\x0b-\x1f\x7f-\x9f]", out)
    assert len(out.splitlines()) == 2


def on_terminal(argv: list[str], cwd: Path, columns: int, env: dict[str, str], typed: bytes = b"") -> str:
    """What a program writes to a terminal of so many columns, on which `typed` is typed."""
    script = f"import os,sys,pty\nos.execvp({argv[0]!r}, {argv!r})"
    pid, fd = pty.fork()
    if pid == 0:  # pragma: no cover - the child
        os.chdir(cwd)
        os.execvpe(
            sys.executable, [sys.executable, "-c", f"import time;time.sleep(0.2)\n{script}"], {**os.environ, **env}
        )
    import fcntl
    import struct
    import termios

    fcntl.ioctl(fd, termios.TIOCSWINSZ, struct.pack("HHHH", 24, columns, 0, 0))
    os.write(fd, typed)
    data, end = b"", time.monotonic() + 60
    while time.monotonic() < end:
        try:
            chunk = os.read(fd, 65536)
        except OSError:
            break
        if not chunk:
            break
        data += chunk
    os.close(fd)
    os.waitpid(pid, 0)
    return data.decode()


def test_init_asks_on_a_terminal_unless_told_yes(runner: Runner, folder: Path) -> None:
    for typed, made in ((b"n\n", False), (b"\n" * 5, True)):
        seen = on_terminal([*runner.argv, "init"], folder, 200, {"TERM": "xterm"}, typed)
        assert f"Make {folder} a project?" in seen
        assert (folder / ".runner").exists() is made
    assert "?" not in on_terminal([*runner.argv, "init", "other", "--yes"], folder, 200, {"TERM": "xterm"})


def test_a_table_fits_the_terminal_and_has_colours_there(runner: Runner, commands: Path) -> None:
    argv = [*runner.argv, "say", "0123456789" * 20]
    lines = on_terminal(argv, commands, 60, {"TERM": "xterm"}).splitlines()
    plain = [re.sub(r"\x1b\[\d*m", "", line) for line in lines]
    assert all(len(line) <= 60 for line in plain)
    assert plain[1].endswith("…  done")
    assert "\x1b[32mdone" in lines[1]

    bare = on_terminal(argv, commands, 60, {"TERM": "xterm", "NO_COLOR": "1"})
    assert "\x1b" not in bare


def test_a_table_in_a_pipe_is_whole_and_plain(runner: Runner, commands: Path) -> None:
    out = runner.ok("say", "0123456789" * 20).stdout
    assert "0123456789" * 20 in out
    assert "\x1b" not in out


def test_a_wide_sign_takes_two_columns() -> None:
    from runner.cli.output import cut, width

    assert width("日本") == 4
    assert width("e\N{COMBINING ACUTE ACCENT}") == 1
    assert cut("日本語", 4) in ("日…", "日...")


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_completion_prints_a_script(runner: Runner, shell: str) -> None:
    assert "_RUNNER_COMPLETE" in runner.ok("completion", shell).stdout
    assert runner.ok("completion", shell, "--format", "json").json["shell"] == shell


def test_completion_knows_commands_and_options(runner: Runner) -> None:
    def complete(words: str, index: int) -> list[str]:
        env = {"_RUNNER_COMPLETE": "bash_complete", "COMP_WORDS": words, "COMP_CWORD": str(index)}
        return [line.partition(",")[2] for line in runner(env=env).stdout.split()]

    assert complete("runner re", 1) == [name for name in COMMANDS if name.startswith("re")]
    assert "--yes" in complete("runner init --", 2)


def test_a_plugins_command_is_listed_by_help_all(runner: Runner, commands: Path) -> None:
    assert "boom" not in runner.ok("--help").stdout
    text = runner.ok("--help", "--all").stdout
    assert re.search(r"From plugins:\n  ask +\n?.*\n  boom", text)


def test_a_plugin_can_not_replace_a_built_in_command(runner: Runner, project: Path) -> None:
    (project / "plugins").mkdir()
    (project / "plugins" / "rude.py").write_text(
        "import click\nfrom runner import hookimpl\n\n"
        "@hookimpl\ndef register_commands():\n    return {'queue': click.Command('queue')}\n"
    )
    ended = runner("nonsense")
    assert ended.code == 2
    assert ended.stderr.startswith("error: plugin 'rude' brings the command 'queue', which is built in")


@pytest.mark.parametrize("closing", ["<&-", ">&-", "2>&-", "<&- >&- 2>&-"])
def test_closed_streams_are_no_error_and_touch_no_file(runner: Runner, project: Path, closing: str) -> None:
    program = " ".join(runner.argv)
    calls = (f'{program} submit --type run_script --payload \'{{"script": "true"}}\'', f"{program} queue")
    for call in calls:
        done = subprocess.run(
            ["sh", "-c", f"{call} {closing}"], cwd=project, capture_output=True, text=True, check=False
        )
        assert (done.returncode, done.stderr) == (0, "")
    assert len(runner.ok("queue", "--format", "json").items) == 1


@pytest.mark.parametrize("group", ["artifact", "store"])
def test_a_group_without_a_command_shows_its_help(runner: Runner, group: str) -> None:
    said = runner(group)
    assert (said.code, said.stdout) == (2, "")
    lines = said.stderr.splitlines()
    assert lines[0].startswith(f"Usage: runner {group} ")
    assert "Commands:" in lines
    for words, env in (((group, "--format", "json"), {}), ((group,), {"RUNNER_FORMAT": "json"})):
        assert runner(*words, env=env).error["message"] == "missing command"


def test_a_stores_password_is_never_shown() -> None:
    from runner.app import hide_password

    assert hide_password("postgresql://me:secret@host/db") == "postgresql://me:***@host/db"
    assert hide_password("postgresql://host/db?password=secret&sslmode=require") == (
        "postgresql://host/db?password=***&sslmode=require"
    )
