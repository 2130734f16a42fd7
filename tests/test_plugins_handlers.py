"""Handler files: a file in `handlers/` is a type, at once and without any wiring."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from runner.app import App
from runner.errors import PluginError, UsageError
from runner.model import Check, Step, StepResult

if TYPE_CHECKING:
    from conftest import Runner

GREET = '''\
"""Greet somebody.

More about it.
"""

from pydantic import BaseModel


class Payload(BaseModel):
    name: str
    times: int = 1


requires = ["voice"]


def run(payload, context):
    return f"hello {payload.name}" * payload.times
'''


def write(project: Path, name: str, text: str) -> Path:
    path = project / "handlers" / name
    path.parent.mkdir(exist_ok=True)
    path.write_text(text)
    return path


def step(type: str, **payload: Any) -> Step:
    return Step("main", type, payload)


@pytest.fixture(autouse=True)
def _here(monkeypatch: pytest.MonkeyPatch, project: Path) -> None:
    monkeypatch.chdir(project)


def test_a_file_is_a_type_with_summary_payload_and_requirements(project: Path) -> None:
    write(project, "greet.py", GREET)
    app = App.open(project, code=True)

    assert "greet" in app.types
    spec = app.types["greet"]
    assert (spec.summary, spec.requires, spec.expects) == ("Greet somebody.", ("voice",), "none")
    assert spec.payload_model.__name__ == "Payload"
    assert app.owner("run_step", "greet")(step=step("greet", name="Ada"), context=None) == "hello Ada"


def test_a_file_that_was_dropped_in_runs_at_once(runner: Runner, project: Path) -> None:
    write(
        project, "double.py", '"""Double a number."""\n\ndef run(payload, context):\n    return str(payload["n"] * 2)\n'
    )
    task = runner.ok("submit", "--type", "double", "--payload", '{"n": 21}', "--format", "json").json["id"]
    runner.ok("work", "--drain")
    shown = runner.ok("show", task, "--format", "json").json
    assert shown["status"] == "done"
    assert "42" in str(shown["result"])


def test_it_is_imported_on_first_use_and_never_to_look_at_the_queue(runner: Runner, project: Path) -> None:
    mark = project / "imported"
    write(project, "noisy.py", f"open({str(mark)!r}, 'a').write('x')\n\ndef run(payload, context): ...\n")
    runner.ok("queue")
    runner.ok("submit", "--type", "run_script", "--payload", '{"script": "true"}')
    assert not mark.exists()
    runner.ok("submit", "--type", "noisy")
    assert mark.read_text() == "x"


def test_plugins_of_the_project_are_not_imported_to_look_at_the_queue(runner: Runner, project: Path) -> None:
    mark = project / "imported"
    (project / "plugins").mkdir()
    (project / "plugins" / "noisy.py").write_text(f"open({str(mark)!r}, 'a').write('x')\n")
    (project / "extra.py").write_text(f"open({str(mark)!r}, 'a').write('y')\n")
    (project / "runner.yaml").write_text("plugins: [extra]\n")
    runner.ok("queue")
    runner.ok("config")
    assert not mark.exists()
    runner.ok("plugins")
    assert mark.read_text() == "yx"


def test_importing_one_leaves_no_files_behind(runner: Runner, project: Path) -> None:
    write(project, "greet.py", GREET)
    runner.ok("plugins", env={"PYTHONDONTWRITEBYTECODE": ""})
    assert [path.name for path in (project / "handlers").iterdir()] == ["greet.py"]


def test_a_handlers_name_hides_no_module(project: Path) -> None:
    write(project, "json.py", "import json\n\ndef run(payload, context):\n    return json.dumps([1])\n")
    app = App.open(project, code=True)
    assert app.owner("run_step", "json")(step=step("json"), context=None) == "[1]"
    assert sys.modules["json"].dumps([]) == "[]"


def test_the_traceback_of_a_handler_shows_its_file_and_line(project: Path) -> None:
    path = write(project, "bad.py", "def run(payload, context):\n    return 1 / 0\n")
    app = App.open(project, code=True)
    with pytest.raises(ZeroDivisionError) as caught:
        app.owner("run_step", "bad")(step=step("bad"), context=None)
    last = caught.traceback[-1]
    assert (str(last.path), last.lineno + 1) == (str(path), 2)


def test_a_bad_payload_is_one_sentence_that_names_the_field(runner: Runner, project: Path) -> None:
    write(project, "greet.py", GREET)
    ended = runner("submit", "--type", "greet", "--payload", '{"nmae": "x"}')
    assert ended.code == 2
    assert ended.stderr.startswith("error: payload of greet: name: field required")
    assert "Traceback" not in ended.stderr


def test_an_unknown_type_is_one_sentence_with_the_nearest(runner: Runner, project: Path) -> None:
    app = App.open(project, code=True)
    with pytest.raises(UsageError) as caught:
        app.registry.type("run_scrpt")
    assert str(caught.value) == "unknown type 'run_scrpt' (did you mean 'run_script'?)"
    ended = runner("submit", "--type", "run_scrpt")
    assert ended.code == 2
    assert "(did you mean 'run_script'?)" in ended.stderr


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ("def run(payload, context)\n    pass\n", "handlers/odd.py:1: SyntaxError: expected ':'"),
        (
            "\nimport nothing_of_the_kind\n",
            "handlers/odd.py:2: ModuleNotFoundError: No module named 'nothing_of_the_kind'",
        ),
        ("x = 1\n", "handlers/odd.py: neither run(payload, context) nor a run_step hook"),
        ("\ndef run(payload): ...\n", "handlers/odd.py:2: run must take two arguments"),
        ("requires = 'git'\ndef run(payload, context): ...\n", "handlers/odd.py: requires must be a list of words"),
        (
            "expects = 'change'\ndef run(p, c): ...\n",
            "handlers/odd.py: expects can't be 'change' (did you mean 'changes'?)",
        ),
        ("raise SystemExit(3)\n", "handlers/odd.py:1: SystemExit: 3"),
        (
            "from runner import hookimpl\n@hookimpl\ndef run_stp(step, context): ...\n",
            "handlers/odd.py:2: plugin 'handlers.odd' implements the unknown hook 'run_stp' (did you mean 'run_step'?)",
        ),
        (
            "from runner import hookimpl\ndef run(p, c): ...\n@hookimpl\ndef open_store(url): ...\n",
            "handlers/odd.py:3: a handler implements 'open_store', which is not about its own type",
        ),
        (
            "from runner import TypeSpec, hookimpl\ndef run(p, c): ...\n"
            "@hookimpl\ndef register_types():\n    return {'even': TypeSpec()}\n",
            "handlers/odd.py:3: a handler registers its own type 'odd', not even",
        ),
    ],
)
def test_a_broken_handler_is_one_sentence_where_it_is_used_and_a_line_in_plugins(
    runner: Runner, project: Path, text: str, sentence: str
) -> None:
    write(project, "odd.py", text)

    used = runner("submit", "--type", "odd")
    assert used.code == 2
    assert used.stderr.startswith(f"error: {sentence}")
    assert "Traceback" not in used.stderr

    listed = runner.ok("plugins", "--format", "json")
    item = next(item for item in listed.items if item["name"] == "handlers.odd")
    assert item["state"] == "broken"
    assert item["reason"].startswith(sentence)
    assert {i["state"] for i in listed.items if i["name"] != "handlers.odd"} == {"on"}


def test_a_broken_handler_takes_only_its_own_type_away(project: Path) -> None:
    write(project, "odd.py", "1 +\n")
    write(project, "greet.py", GREET)
    told: list[str] = []
    app = App.open(project, code=True, warn=told.append)
    assert "greet" in app.types.usable()
    assert "odd" not in app.types.usable()
    assert told[0].startswith("type 'odd' is broken: handlers/odd.py:1: SyntaxError")


def test_a_projects_handler_overrides_a_shipped_one_and_says_so(runner: Runner, project: Path) -> None:
    write(project, "run_script.py", '"""Mine."""\n\ndef run(payload, context):\n    return "mine"\n')
    app = App.open(project, code=True)
    assert app.types["run_script"].summary == "Mine."
    item = next(i for i in runner.ok("plugins", "--format", "json").items if i["name"] == "handlers.run_script")
    assert item["origin"] == "project handler"
    assert item["reason"].startswith("overrides run_script of ")


def test_a_handler_can_be_switched_off(project: Path) -> None:
    write(project, "greet.py", GREET)
    for switch in ("no:greet", "no:handlers.greet"):
        assert "greet" not in App.open(project, code=True, switches=[switch]).types


def test_files_that_are_no_types_are_left_alone(project: Path) -> None:
    for name in ("_shared.py", ".hidden.py", "notes.txt", "two words.py"):
        write(project, name, "raise SystemExit")
    write(project, "greet.py", GREET)
    told: list[str] = []
    found = set(App.open(project, code=True, warn=told.append).types) - set(App.open(project).types)
    assert found == {"greet"}
    [warning] = told
    assert "handlers/two words.py is no handler" in warning


def test_what_a_file_prints_while_it_is_imported_is_no_data(runner: Runner, project: Path) -> None:
    write(project, "noisy.py", 'print("from the handler")\n\n\ndef run(payload, context):\n    return "hi"\n')
    (project / "plugins").mkdir()
    (project / "plugins" / "loud.py").write_text('print("from the plugin")\n')
    listed = runner.ok("plugins", "--format", "json")
    assert {"handlers.noisy", "loud"} <= {item["name"] for item in listed.items}
    for noise in ("from the handler", "from the plugin"):
        assert noise in listed.stderr


def test_a_handler_with_hooks_answers_for_its_own_type_alone(project: Path) -> None:
    write(
        project,
        "essay.py",
        "from runner import Repair, hookimpl\n\n"
        "@hookimpl\ndef run_step(step):\n    return 'words'\n\n"
        "@hookimpl\ndef verify(result):\n    return len(result.output) > 3\n\n"
        "@hookimpl\ndef repair(step, verdicts):\n    return Repair('rerun', reason='again')\n\n"
        "@hookimpl\ndef enrich_prompt(step, prompt):\n    return 'be brief'\n",
    )
    app = App.open(project, code=True)
    assert app.types["essay"].implicit_checks == (Check("essay"),)
    assert app.owner("run_step", "essay")(step=step("essay"), context=None) == "words"
    result = StepResult(output="words")
    verify = app.owner("verify", "essay")
    assert verify(check=Check("essay"), step=step("essay"), result=result, context=None) is True

    mine = {"step": step("essay"), "prompt": "p", "context": None}
    others = {"step": step("run_script"), "prompt": "p", "context": None}
    assert "be brief" in app.hook.enrich_prompt(**mine)
    assert "be brief" not in app.hook.enrich_prompt(**others)
    asked = {"result": result, "verdicts": [], "context": None}
    assert app.hook.repair(step=step("essay"), **asked).reason == "again"
    assert getattr(app.hook.repair(step=step("run_script"), **asked), "reason", "") != "again"


def test_one_types_handler_never_runs_the_steps_of_another(project: Path) -> None:
    write(project, "a.py", "def run(payload, context):\n    return 'a'\n")
    write(project, "b.py", "from runner import hookimpl\n\n@hookimpl\ndef run_step(step):\n    return 'b'\n")
    app = App.open(project, code=True)
    run_a = app.owner("run_step", "a")
    assert app.owner("run_step", "b")(step=step("b"), context=None) == "b"
    assert run_a(step=step("a"), context=None) == "a"


def test_a_type_of_a_project_plugin_and_a_handler_of_that_name_are_two_owners(project: Path) -> None:
    write(project, "greet.py", GREET)
    (project / "plugins").mkdir()
    (project / "plugins" / "mine.py").write_text(
        "from runner import TypeSpec, hookimpl\n\n"
        "@hookimpl\ndef register_types():\n    return {'greet': TypeSpec()}\n\n"
        "@hookimpl\ndef run_step(step):\n    return 'plugin'\n"
    )
    with pytest.raises(UsageError) as caught:
        _ = App.open(project, code=True).types
    assert caught.value.message == (
        "two plugins bring the type 'greet': 'mine' (project plugin plugins/mine.py) "
        "and 'handlers.greet' (project handler handlers/greet.py)"
    )


def test_shipped_handlers_and_built_in_plugins_are_all_whole() -> None:
    import importlib

    from runner.handlers import HandlerFile, handler_files
    from runner.hookcheck import check_hooks, implementations
    from runner.plugins import BUILT_IN
    from runner.shipped import shipped

    for file in handler_files(shipped("handlers"), "shipped handler").values():
        assert isinstance(file, HandlerFile)
        assert file.load().spec.summary, f"{file.path} has no docstring"
    for name, hooks in BUILT_IN.items():
        module = importlib.import_module(f"runner_plugins.{name}")
        check_hooks(module, name)
        impls = list(implementations(module))
        assert sorted(impl.hook for impl in impls) == sorted(hooks), f"BUILT_IN[{name!r}] must name its hooks"
        assert not any(impl.wraps or impl.options.get("specname") for impl in impls), f"{name} must be plain"
    folder = Path(importlib.import_module("runner_plugins").__file__ or "").parent
    hooked = {path.stem for path in folder.glob("*.py") if "@hookimpl" in path.read_text()}
    assert hooked == set(BUILT_IN)


def test_a_handler_error_is_a_plugin_error(project: Path) -> None:
    write(project, "odd.py", "1 +\n")
    with pytest.raises(PluginError, match=r"handlers/odd\.py:1: SyntaxError"):
        _ = App.open(project, code=True).types["odd"]
