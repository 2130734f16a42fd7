"""A package of a stranger, installed by pip: nothing but `from runner import hookimpl` and an entry point."""

from __future__ import annotations

import base64
import hashlib
import json
import subprocess
import sys
import zipfile
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from conftest import Runner

MODULE = '''\
"""Shouting, as a service."""

import sys

import click

from runner import Agent, CheckSpec, StepResult, TypeSpec, Verdict, hookimpl


@hookimpl
def register_types():
    return {"shout": TypeSpec(summary="Say it louder.")}


@hookimpl
def run_step(step, context):
    return StepResult(output=step.payload["text"].upper() + "!")


@hookimpl(wrapper=True, specname="run_step")
def timing(step, context):
    result = yield
    context.log(f"took note of {step.type}")
    return result


@hookimpl
def register_checks():
    return {"loud": CheckSpec("the output has no small letters", needs_value=False)}


@hookimpl
def verify(check, result):
    return Verdict(result.output == result.output.upper(), f"the output is {result.output!r}")


@hookimpl
def register_agents():
    repeat = "import sys; print('parrot says', sys.stdin.read().split()[-1])"
    return {"parrot": Agent(name="parrot", program=sys.executable, argv=("-c", repeat))}


@click.command()
@click.argument("name")
@click.pass_obj
def greet(inv, name):
    """Greet NAME."""
    inv.emit({"hello": name}, lambda: inv.line(f"hello {name}"))


@hookimpl
def register_commands():
    return {"greet": greet}
'''


def make_wheel(folder: Path, module: str = MODULE, name: str = "runner_shout", entry: str = "shout") -> Path:
    """A wheel as any build tool makes one: a module, metadata, an entry point."""
    info = f"{name}-1.2.3.dist-info"
    files = {
        f"{name}.py": module,
        f"{info}/METADATA": f"Metadata-Version: 2.1\nName: {name.replace('_', '-')}\nVersion: 1.2.3\n",
        f"{info}/WHEEL": "Wheel-Version: 1.0\nGenerator: test\nRoot-Is-Purelib: true\nTag: py3-none-any\n",
        f"{info}/entry_points.txt": f"[console_scripts]\nx = y:z\n\n[runner]\n{entry} = {name}\n",
    }
    lines = []
    for path, text in files.items():
        digest = base64.urlsafe_b64encode(hashlib.sha256(text.encode()).digest()).rstrip(b"=").decode()
        lines.append(f"{path},sha256={digest},{len(text.encode())}")
    files[f"{info}/RECORD"] = "\n".join([*lines, f"{info}/RECORD,,", ""])
    wheel = folder / f"{name}-1.2.3-py3-none-any.whl"
    with zipfile.ZipFile(wheel, "w") as archive:
        for path, text in files.items():
            archive.writestr(path, text)
    return wheel


def install(wheel: Path, target: Path) -> dict[str, str]:
    """Install a wheel with pip into a folder of its own → the environment in which it is found."""
    pip = [sys.executable, "-m", "pip", "install", "--quiet", "--disable-pip-version-check", "--no-deps", "--no-index"]
    subprocess.run([*pip, "--target", str(target), str(wheel)], check=True, capture_output=True)
    return {"PYTHONPATH": str(target), "RUNNER_DISABLE_PLUGIN_AUTOLOAD": ""}


@pytest.fixture(scope="module")
def installed(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    folder = tmp_path_factory.mktemp("third-party")
    return install(make_wheel(folder), folder / "site")


@pytest.fixture
def stranger(runner: Runner, project: Path, installed: dict[str, str]) -> Runner:
    """The program with the package installed."""
    runner.env.update(installed)
    return runner


def test_it_is_listed_with_origin_version_and_hooks(stranger: Runner) -> None:
    items = {item["name"]: item for item in stranger.ok("plugins", "--format", "json").items}
    assert items["shout"] == {
        "name": "shout",
        "origin": "entry point",
        "source": "runner_shout",
        "version": "1.2.3",
        "state": "on",
        "reason": "",
        "hooks": [
            "register_agents",
            "register_checks",
            "register_commands",
            "register_types",
            "run_step",
            "verify",
        ],
    }
    assert "entry point" in next(
        line for line in stranger.ok("plugins").stdout.splitlines() if line.startswith("shout")
    )


def test_its_type_and_its_check_run_a_task_to_done(stranger: Runner) -> None:
    task = stranger.ok(
        "submit", "--type", "shout", "--payload", '{"text": "hello"}', "--check", "loud", "--format", "json"
    ).json["id"]
    stranger.ok("work", "--drain")

    shown = stranger.ok("show", task, "--format", "json").json
    assert shown["status"] == "done"
    assert "HELLO!" in json.dumps(shown["result"])
    assert "the output is 'HELLO!'" in json.dumps(shown["result"])


def test_its_wrapper_takes_part_in_the_types_of_others(stranger: Runner) -> None:
    task = stranger.ok("submit", "--type", "run_script", "--payload", '{"script": "true"}', "--format", "json").json[
        "id"
    ]
    stranger.ok("work", "--drain")
    assert stranger.ok("show", task, "--format", "json").json["status"] == "done"
    logs = list(Path(stranger.ok("config", "store", "--format", "json").json["value"][10:]).parent.glob("runs/**/*"))
    assert any("took note of run_script" in path.read_text(errors="replace") for path in logs if path.is_file())


def test_its_agent_answers(stranger: Runner) -> None:
    assert "parrot says squawk" in stranger.ok("run", "parrot", "squawk").stdout


def test_its_command_is_there(stranger: Runner) -> None:
    assert stranger.ok("greet", "Ada").stdout == "hello Ada\n"
    assert stranger.ok("greet", "Ada", "--format", "json").json == {"hello": "Ada"}
    assert "greet  " in stranger.ok("--help", "--all").stdout


@pytest.mark.parametrize("switch", ["-p no:shout", "RUNNER_DISABLE_PLUGIN_AUTOLOAD"])
def test_it_can_be_switched_off(stranger: Runner, switch: str) -> None:
    args = switch.split() if switch.startswith("-p") else []
    if not args:
        stranger.env[switch] = "1"
    submit = stranger(*args, "submit", "--type", "shout", "--payload", '{"text": "x"}')
    assert submit.code == 2
    assert "shout" in submit.stderr
    assert stranger("greet", "Ada", *args).code == 2
    items = {item["name"]: item for item in stranger.ok("plugins", *args, "--format", "json").items}
    assert items["shout"]["state"] == "off" if args else "shout" not in items


def test_asked_for_by_name_it_is_loaded_although_installed_ones_are_off(stranger: Runner) -> None:
    stranger.env["RUNNER_DISABLE_PLUGIN_AUTOLOAD"] = "1"
    assert stranger.ok("-p", "shout", "greet", "Ada").stdout == "hello Ada\n"


def test_one_that_fails_to_import_is_named_and_skipped(runner: Runner, project: Path, tmp_path: Path) -> None:
    runner.env.update(install(make_wheel(tmp_path, "import no_such_thing\n", "runner_sad", "sad"), tmp_path / "site"))

    ended = runner.ok("queue")
    assert ended.stderr.splitlines()[0] == (
        "warning: plugin 'sad' (entry point runner_sad 1.2.3) can't be imported: "
        f"{tmp_path}/site/runner_sad.py:1: ModuleNotFoundError: No module named 'no_such_thing' "
        "(skipped; -p no:sad switches it off)"
    )
    assert runner.ok("queue", "-p", "no:sad", "--format", "json").stderr == ""

    asked = runner("queue", "-p", "sad")
    assert asked.code == 2
    assert asked.stderr.splitlines()[-1] == (
        "error: plugin 'sad' (entry point runner_sad 1.2.3) can't be imported: "
        f"{tmp_path}/site/runner_sad.py:1: ModuleNotFoundError: No module named 'no_such_thing'"
    )


def test_two_packages_that_bring_one_type_are_told_apart(
    runner: Runner, project: Path, tmp_path: Path, installed: dict[str, str]
) -> None:
    other = MODULE.replace('"loud"', '"LOUD"').replace('"parrot"', '"cockatoo"').replace('"greet"', '"salute"')
    env = install(make_wheel(tmp_path, other, "runner_yell", "yell"), tmp_path / "site")
    runner.env.update(env, PYTHONPATH=f"{env['PYTHONPATH']}:{installed['PYTHONPATH']}")

    ended = runner("submit", "--type", "shout", "--payload", '{"text": "x"}')
    assert ended.code == 2
    assert ended.stderr == (
        "error: two plugins bring the type 'shout': 'shout' (entry point runner_shout 1.2.3) "
        "and 'yell' (entry point runner_yell 1.2.3)\nhint: switch one off: -p no:yell\n"
    )
    runner.ok("submit", "--type", "shout", "--payload", '{"text": "x"}', "-p", "no:yell")
    assert runner("plugins").code == 2
