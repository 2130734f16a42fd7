"""The built-in checks: each answers with what shows it, in a sentence a person understands."""

from __future__ import annotations

import os
import stat
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest

from runner.model import Check, Step, StepResult, Verdict
from runner.testing.context import StepContext
from runner_plugins import (
    checks_command,
    checks_exit_code,
    checks_file_exists,
    checks_git_changed,
    checks_output_contains,
)


class Kit:
    """Asks checks in a workspace."""

    def __init__(self, root: Path) -> None:
        self.workspace = root / "w"
        self.workspace.mkdir()
        self.folder = root / "attempt"
        self.env: dict[str, str] = {}
        self.base: str | None = None
        self.prompt = ""

    def ask(self, module: Any, value: Any = None, result: StepResult | None = None) -> Verdict:
        [(name, spec)] = module.register_checks().items()
        if isinstance(value, str) or value is None:
            value = spec.parse(value) if value is not None else None
        check = Check(name, value)
        step = Step("main", "t", {"prompt": self.prompt} if self.prompt else {}, checks=(check,))
        with StepContext(self.workspace, self.folder, env=self.env, base=self.base) as context:
            given = {"check": check, "step": step, "result": result or StepResult(), "context": context}
            wanted = module.verify.__code__.co_varnames[: module.verify.__code__.co_argcount]
            verdict = module.verify(**{name: given[name] for name in wanted})
        assert isinstance(verdict, Verdict)
        assert "\n" not in verdict.summary
        return verdict

    def git(self, *words: str) -> str:
        done = subprocess.run(["git", "-C", str(self.workspace), *words], check=True, capture_output=True, text=True)
        return done.stdout.strip()


@pytest.fixture
def kit(tmp_path: Path) -> Kit:
    return Kit(tmp_path)


# exit_code


@pytest.mark.parametrize(
    ("value", "code", "ok", "summary"),
    [
        (None, 0, True, "the exit code is 0"),
        (None, 1, False, "the exit code is 1, not 0"),
        ("3", 3, True, "the exit code is 3"),
        ("3", 0, False, "the exit code is 0, not 3"),
        ("0, 2", 2, True, "the exit code is 2"),
        ([0, 2], 1, False, "the exit code is 1, not 0 or 2"),
        ("-9", -9, True, "the exit code is -9"),
        (None, None, False, "there is no exit code to compare with 0"),
    ],
)
def test_exit_code_really_compares(kit: Kit, value: Any, code: int | None, ok: bool, summary: str) -> None:
    verdict = kit.ask(checks_exit_code, value, StepResult(exit_code=code))
    assert (verdict.ok, verdict.summary) == (ok, summary)


def test_exit_code_says_why_when_the_step_did(kit: Kit) -> None:
    verdict = kit.ask(checks_exit_code, None, StepResult(exit_code=2, evidence={"stderr": "no such file"}))
    assert verdict.summary == "the exit code is 2, not 0: no such file"


# command


def test_a_command_that_exits_with_0_is_green_and_its_logs_are_evidence(kit: Kit) -> None:
    verdict = kit.ask(checks_command, "echo one; echo two; echo err >&2; touch here")
    assert (verdict.ok, verdict.summary) == (True, "`echo one; echo two; echo err >&2; touch here` exited with 0: two")
    assert Path(verdict.evidence["stdout"]).read_text() == "one\ntwo\n"
    assert Path(verdict.evidence["stderr"]).read_text() == "err\n"
    assert verdict.evidence["tail"] == "one\ntwo\nerr"
    assert (kit.workspace / "here").exists()


@pytest.mark.parametrize(
    ("command", "summary"),
    [
        ("echo 2 failed; exit 5", "`echo 2 failed; exit 5` exited with 5: 2 failed"),
        ("no-such-program-here", "no-such-program-here: not found"),
        ("kill -9 $$", "exited with -9"),
    ],
)
def test_a_command_that_fails_is_red_with_the_line_that_says_most(kit: Kit, command: str, summary: str) -> None:
    verdict = kit.ask(checks_command, command)
    assert not verdict.ok
    assert summary in verdict.summary


def test_a_command_that_takes_too_long_is_ended_and_red(kit: Kit) -> None:
    began = time.monotonic()
    verdict = kit.ask(checks_command, {"run": "setsid sleep 60 & sleep 60", "timeout": 0.5})
    assert time.monotonic() - began < 10
    assert verdict.summary == "`setsid sleep 60 & sleep 60` did not end within 0.5 s"


def test_a_regex_must_occur_as_well(kit: Kit) -> None:
    assert kit.ask(checks_command, {"run": "echo 12 passed", "regex": r"\d+ passed"}).ok
    verdict = kit.ask(checks_command, {"run": "echo collected 0", "regex": r"\d+ passed"})
    assert not verdict.ok
    assert "has nothing that matches" in verdict.summary


def test_the_logs_of_several_checks_do_not_meet(kit: Kit) -> None:
    first, second = kit.ask(checks_command, "echo a"), kit.ask(checks_command, "echo b")
    assert Path(first.evidence["stdout"]).read_text() == "a\n"
    assert Path(second.evidence["stdout"]).read_text() == "b\n"


def test_a_program_of_the_workspace_does_not_take_the_place_of_one_on_path(kit: Kit) -> None:
    program = kit.workspace / "ls"
    program.write_text("#!/bin/sh\nexit 0\n")
    program.chmod(program.stat().st_mode | stat.S_IXUSR)
    kit.env = {"PATH": f".::bin:{os.environ['PATH']}"}
    verdict = kit.ask(checks_command, "ls /no/such/place")
    assert not verdict.ok
    assert "No such file" in verdict.summary


def test_git_runs_no_hooks_in_a_check(kit: Kit) -> None:
    kit.git("init", "-q")
    hook = kit.workspace / ".git/hooks/pre-commit"
    hook.write_text("#!/bin/sh\ntouch HOOKED\n")
    hook.chmod(0o755)
    kit.git("config", "core.fsmonitor", "touch MONITORED; false")
    kit.env = {"GIT_CONFIG_COUNT": "1", "GIT_CONFIG_KEY_0": "user.name", "GIT_CONFIG_VALUE_0": "Own Name"}
    verdict = kit.ask(checks_command, "git status -s; git commit -q --allow-empty -m x && git config user.name")
    assert verdict.ok, verdict.evidence
    assert "Own Name" in verdict.summary
    assert sorted(path.name for path in kit.workspace.iterdir()) == [".git"]


def test_forged_bytecode_is_not_run_in_the_place_of_its_source(kit: Kit) -> None:
    source, env = kit.workspace / "mod.py", {**os.environ, "PYTHONDONTWRITEBYTECODE": ""}
    python = [sys.executable, "-c", "import mod; print(mod.VALUE)"]
    source.write_text("VALUE = 2\n")
    subprocess.run(python, cwd=kit.workspace, env=env, check=True)
    before = source.stat()
    source.write_text("VALUE = 1\n")
    os.utime(source, ns=(before.st_atime_ns, before.st_mtime_ns))
    seen = subprocess.run(python, cwd=kit.workspace, env=env, capture_output=True, check=True)
    assert seen.stdout == b"2\n"  # Python itself believes the forged file
    assert kit.ask(checks_command, f"{sys.executable} -c 'import mod, sys; sys.exit(mod.VALUE != 1)'").ok
    assert not list(kit.workspace.rglob("*.pyc"))


def test_a_command_may_start_with_a_brace_or_a_bracket() -> None:
    assert checks_command.parse("{ true; }") == "{ true; }"
    assert checks_command.parse("[ -f x ]") == "[ -f x ]"
    assert checks_command.parse('{"run": "x", "timeout": 5}') == {"run": "x", "timeout": 5}


# file_exists


def test_file_exists_looks_in_the_steps_directory(kit: Kit) -> None:
    (kit.workspace / "out.txt").write_text("hi\n")
    (kit.workspace / "sub").mkdir()
    verdict = kit.ask(checks_file_exists, "out.txt")
    assert (verdict.ok, verdict.summary, verdict.evidence["found"]) == (True, "'out.txt' exists", {"out.txt": 3})
    assert kit.ask(checks_file_exists, '["out.txt", "sub"]').summary == "'out.txt' and 'sub' exist"
    verdict = kit.ask(checks_file_exists, ["out.txt", "outt.txt", "x"])
    assert verdict.summary == "'outt.txt' and 'x' do not exist (there is 'out.txt')"


def test_file_exists_does_not_look_elsewhere(kit: Kit) -> None:
    (kit.workspace / "link").symlink_to("/etc/passwd")
    (kit.workspace / "up").symlink_to("/etc")
    (kit.workspace / "gone").symlink_to("nowhere")
    assert kit.ask(checks_file_exists, "link").summary == "'link' leads out of the workspace by a symbolic link"
    assert not kit.ask(checks_file_exists, "up/passwd").ok
    assert kit.ask(checks_file_exists, "gone").summary == "'gone' does not exist"


# output_contains


def test_output_contains_looks_at_the_output(kit: Kit) -> None:
    result = StepResult(output="first\nALL DONE\n")
    assert kit.ask(checks_output_contains, "ALL DONE", result).ok
    verdict = kit.ask(checks_output_contains, '["ALL DONE", "really"]', result)
    assert (verdict.ok, verdict.summary) == (False, "the output does not contain 'really'")


def test_the_prompts_own_words_do_not_count(kit: Kit) -> None:
    kit.prompt = "Do it, then say PLAN_COMPLETE."
    assert not kit.ask(checks_output_contains, "PLAN_COMPLETE", StepResult(output=f"> {kit.prompt}\nworking")).ok
    assert kit.ask(checks_output_contains, "PLAN_COMPLETE", StepResult(output=f"{kit.prompt}\nPLAN_COMPLETE")).ok
    assert kit.ask(checks_output_contains, "PLAN_COMPLETE", StepResult(output="PLAN_COMPLETE")).ok


def test_the_prompt_as_it_was_sent_does_not_count_either(kit: Kit) -> None:
    kit.prompt = "short"
    kit.folder.mkdir()
    (kit.folder / "prompt.md").write_text("short\n\n## What the checks say\n\nsay DONE\n")
    echoed = StepResult(output="short\n\n## What the checks say\n\nsay DONE\nok")
    assert not kit.ask(checks_output_contains, "DONE", echoed).ok


def test_an_output_too_long_to_be_held_is_searched_in_its_log(kit: Kit, tmp_path: Path) -> None:
    log = tmp_path / "log"
    log.write_bytes(b"x" * 3_000_000 + b"NEEDLE" + b"x" * 3_000_000)
    result = StepResult(output="(see the log)", evidence={"output_path": str(log)})
    assert kit.ask(checks_output_contains, "NEEDLE", result).ok
    assert not kit.ask(checks_output_contains, "see the log", result).ok


# git_changed


@pytest.fixture
def repo(kit: Kit) -> Kit:
    kit.git("init", "-q")
    for name in ("src/a.py", "docs/b.md"):
        (kit.workspace / name).parent.mkdir()
        (kit.workspace / name).write_text("old\n")
    (kit.workspace / ".gitignore").write_text("*.log\n")
    kit.git("add", "-A")
    kit.git("commit", "-q", "-m", "base")
    kit.base = kit.git("rev-parse", "HEAD")
    return kit


def test_no_change_is_red(repo: Kit) -> None:
    (repo.workspace / "x.log").write_text("ignored")
    assert repo.ask(checks_git_changed).summary == "no file was changed"


def test_a_change_counts_committed_staged_or_not(repo: Kit) -> None:
    (repo.workspace / "src/a.py").write_text("new\n")
    assert repo.ask(checks_git_changed).summary == "1 file changed: src/a.py"
    repo.git("add", "-A")
    assert repo.ask(checks_git_changed, "src/**").ok
    repo.git("commit", "-q", "-m", "done")
    assert repo.ask(checks_git_changed, "*.py").ok
    verdict = repo.ask(checks_git_changed, "docs/**")
    assert (verdict.ok, verdict.summary) == (False, "no file that matches 'docs/**' was changed (1 file in all)")


def test_every_glob_needs_a_change(repo: Kit) -> None:
    (repo.workspace / "src/a.py").write_text("new\n")
    assert not repo.ask(checks_git_changed, '["src/**", "docs/**"]').ok
    (repo.workspace / "docs/b.md").unlink()
    assert repo.ask(checks_git_changed, '{"paths": ["src/**", "docs/**"]}').ok


def test_new_files_count_unless_told_otherwise(repo: Kit) -> None:
    (repo.workspace / "src/ne w\u00e9.py").write_text("x")
    assert repo.ask(checks_git_changed, "src/**").evidence["changed"] == ["src/ne w\u00e9.py"]
    assert not repo.ask(checks_git_changed, {"paths": [], "untracked": False}).ok


def test_paths_are_those_below_the_steps_directory(repo: Kit) -> None:
    (repo.workspace / "docs/b.md").write_text("new\n")
    repo.workspace = repo.workspace / "src"
    assert not repo.ask(checks_git_changed).ok
    (repo.workspace / "a.py").write_text("new\n")
    assert repo.ask(checks_git_changed, "a.py").ok


def test_a_diff_program_of_the_repository_is_not_run(repo: Kit) -> None:
    repo.git("config", "diff.external", "touch EVIL; false")
    repo.git("config", "diff.x.textconv", "touch EVIL; cat")
    (repo.workspace / "src/a.py").write_text("new\n")
    assert repo.ask(checks_git_changed).ok
    assert not (repo.workspace / "EVIL").exists()


def test_without_a_repository_or_with_a_wrong_base_it_is_red_with_the_reason(kit: Kit) -> None:
    assert kit.ask(checks_git_changed).summary == "there is no git repository to see changes in"
    kit.git("init", "-q")
    kit.base = "0" * 40
    assert "git can't say what changed: fatal: bad object" in kit.ask(checks_git_changed).summary


# What people may write


@pytest.mark.parametrize(
    ("module", "value", "message"),
    [
        (checks_exit_code, "zero", "not an exit code"),
        (checks_exit_code, True, "not an exit code"),
        (checks_exit_code, [], "not an exit code"),
        (checks_exit_code, "256", "between 0 and 255"),
        (checks_command, "  ", "empty"),
        (checks_command, ["x"], "neither a command nor a mapping"),
        (checks_command, {"runn": "x"}, "'runn' is not known"),
        (checks_command, {"run": "x", "timeout": 0}, "more than 0"),
        (checks_command, {"run": "x", "regex": "("}, "not a regular expression"),
        (checks_file_exists, "/etc/passwd", "leaves the workspace"),
        (checks_file_exists, "a/../../b", "leaves the workspace"),
        (checks_file_exists, "~/x", "leaves the workspace"),
        (checks_file_exists, 5, "a path"),
        (checks_file_exists, [], "a path"),
        (checks_output_contains, 5, "a text"),
        (checks_output_contains, [""], "a text"),
        (checks_git_changed, 5, "neither text nor a mapping"),
        (checks_git_changed, {"path": "x"}, "'path' is not known"),
        (checks_git_changed, {"untracked": "no"}, "true or false"),
        (checks_git_changed, "{x", "not JSON"),
    ],
)
def test_a_wrong_value_is_refused_with_the_reason(module: Any, value: Any, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        module.parse(value)


@pytest.mark.parametrize(
    "module",
    [checks_command, checks_exit_code, checks_file_exists, checks_git_changed, checks_output_contains],
)
def test_what_was_parsed_once_can_be_parsed_again(module: Any) -> None:
    samples: dict[Any, list[Any]] = {
        checks_command: ["pytest -q", '{"run": "x", "timeout": 5, "regex": "y"}'],
        checks_exit_code: ["0", "0, 2"],
        checks_file_exists: ["a", '["a", "b"]'],
        checks_git_changed: ["src/**", '["a"]', '{"paths": ["a"], "untracked": false}', None],
        checks_output_contains: ["a", '["a", "b"]', '" a "'],
    }
    for value in samples[module]:
        once = module.parse(value)
        assert module.parse(once) == once
