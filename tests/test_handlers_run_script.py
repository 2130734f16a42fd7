"""The type run_script: a shell script in the workspace, judged by its exit code, its output kept exactly."""

from __future__ import annotations

import subprocess
import sys
import time
from typing import TYPE_CHECKING, Any

import pytest
from pydantic import ValidationError

from runner.handlers import HandlerFile
from runner.model import Check, Policy, Step, StepResult
from runner.shipped import shipped
from runner.testing.context import StepContext

if TYPE_CHECKING:
    from pathlib import Path

HANDLER = HandlerFile(shipped("handlers") / "run_script.py", "shipped").load()


def run(context: StepContext, script: str, policy: Policy | None = None, **payload: Any) -> StepResult:
    step = Step("main", "run_script", {"script": script, **payload}, policy=policy or Policy())
    result = HANDLER.run_step(step, context)
    assert isinstance(result, StepResult)
    return result


@pytest.fixture
def context(tmp_path: Path) -> Any:
    (tmp_path / "w").mkdir()
    with StepContext(tmp_path / "w", tmp_path / "attempt") as made:
        yield made


def test_its_output_is_exactly_what_it_printed(context: StepContext) -> None:
    result = run(context, "printf '  a\\tb\\n\\nc\\n\\n'; echo err >&2")
    assert result == StepResult("ok", "  a\tb\n\nc", 0, {})
    assert (context.folder / "stderr.log").read_text() == "err\n"


def test_it_works_in_the_workspace_with_the_contracts_variables(context: StepContext) -> None:
    run(context, 'pwd -P > where; echo "$RUNNER_ATTEMPT $EXTRA" > env', env={"EXTRA": "yes"})
    assert (context.workspace / "where").read_text().strip() == str(context.workspace.resolve())
    assert (context.workspace / "env").read_text() == "1 yes\n"


def test_a_failing_script_is_left_to_the_exit_code_check(context: StepContext) -> None:
    result = run(context, "echo out; echo the reason >&2; exit 3")
    assert (result.outcome, result.exit_code, result.output) == ("ok", 3, "out")
    assert result.evidence["stderr"] == "the reason"
    assert HANDLER.spec.implicit_checks == (Check("exit_code", 0),)
    assert (HANDLER.spec.expects, HANDLER.spec.repairs) == ("none", 0)


def test_a_script_that_takes_too_long_is_ended_with_all_it_started(context: StepContext) -> None:
    began = time.monotonic()
    result = run(context, "(setsid sleep 60 &) ; sleep 60", timeout=0.5)
    assert time.monotonic() - began < 10
    assert result.outcome == "timeout"
    assert result.evidence["error"] == "the script took longer than 0.5 s and was ended"


def test_the_tasks_own_limit_replaces_the_default_one(context: StepContext) -> None:
    context.deadline = time.monotonic() + 0.4
    result = run(context, "sleep 60", Policy(timeout=0.4))
    assert (result.outcome, result.evidence["error"]) == ("timeout", "the script took longer than 0.4 s and was ended")


def test_a_script_killed_by_a_signal_has_crashed(context: StepContext) -> None:
    result = run(context, "kill -9 $$")
    assert (result.outcome, result.exit_code) == ("crashed", -9)
    assert result.evidence["error"] == "the script was ended by signal 9 (SIGKILL)"


def test_a_long_output_is_named_not_cut(context: StepContext) -> None:
    result = run(context, "head -c 1048576 /dev/zero | tr '\\0' x")
    assert len(result.output) == 1 << 20
    result = run(context, "head -c 1048577 /dev/zero | tr '\\0' x")
    assert result.evidence == {"output_path": str(context.folder / "stdout.log"), "output_bytes": 1048577}
    assert str(context.folder / "stdout.log") in result.output


def test_a_script_longer_than_an_argument_may_be_runs_too(context: StepContext) -> None:
    result = run(context, f": {'x' * 200_000}\necho fine")
    assert (result.output, result.exit_code) == ("fine", 0)


def test_bytes_that_are_no_text_do_not_break_it(context: StepContext) -> None:
    assert run(context, "printf 'a\\377b'").output == "a\ufffdb"


@pytest.mark.parametrize(
    "payload",
    [{"script": "true", "timeout": 5}, {"script": "true", "cwd": "~/x", "_target_machine": "mac", "_x": 1}],
)
def test_a_payload_of_the_documented_form_is_accepted(payload: dict[str, Any]) -> None:
    HANDLER.spec.payload_model.model_validate(payload)


@pytest.mark.parametrize(
    ("payload", "field"),
    [
        ({}, "script"),
        ({"script": ""}, "script"),
        ({"script": 5}, "script"),
        ({"script": "x", "timeout": 0}, "timeout"),
        ({"script": "x", "timeout": "5"}, "timeout"),
        ({"script": "x", "scrpt": "y"}, "scrpt"),
        ({"script": "x", "env": {"A": 1}}, "env"),
        ({"script": "a\0b"}, "script"),
        ({"script": "x", "env": {"A": "\0"}}, "env"),
    ],
)
def test_a_wrong_payload_is_refused_by_field(payload: dict[str, Any], field: str) -> None:
    with pytest.raises(ValidationError) as caught:
        HANDLER.spec.payload_model.model_validate(payload)
    assert caught.value.errors()[0]["loc"][0] == field


def test_its_schema_lets_the_runners_own_keys_pass() -> None:
    schema = HANDLER.spec.payload_model.model_json_schema()
    assert schema["patternProperties"] == {"^_": {}}
    assert schema["required"] == ["script"]


@pytest.mark.parametrize("name", ["run_script", "agent_run"])
def test_a_worker_that_loads_the_handlers_does_not_import_pydantic(name: str) -> None:
    program = (
        "import sys; from runner.handlers import HandlerFile; from runner.shipped import shipped;"
        f"handler = HandlerFile(shipped('handlers') / '{name}.py', 'shipped').load();"
        "before = 'pydantic' in sys.modules;"
        "fields = sorted(handler.spec.payload_model.model_fields); print(before, 'pydantic' in sys.modules, fields)"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert done.stdout.startswith("False True [")
