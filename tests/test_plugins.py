"""The plugin manager: order, owners, wrappers, names, and what is said about a plugin that is wrong."""

from __future__ import annotations

import subprocess
import sys
import types
from typing import TYPE_CHECKING, Any

import pytest

from runner import Agent, CheckSpec, Route, Step, StepResult, TypeSpec, UsageError, Verdict, hookimpl
from runner.app import App
from runner.entrypoints import scan
from runner.errors import ConfigError, PluginError
from runner.model import Check
from runner.plugins import BUILT_IN, Plugins

if TYPE_CHECKING:
    from pathlib import Path

    from conftest import Runner

HEAD = "from runner import Agent, CheckSpec, TypeSpec, hookimpl\n"


@pytest.fixture(autouse=True)
def _here(monkeypatch: pytest.MonkeyPatch, folder: Path) -> None:
    monkeypatch.chdir(folder)


def plugin(project: Path, name: str, text: str) -> Path:
    path = project / "plugins" / f"{name}.py"
    path.parent.mkdir(exist_ok=True)
    path.write_text(text)
    return path


def made(**hooks: Any) -> types.ModuleType:
    """A plugin made of functions."""
    module = types.ModuleType("made")
    for name, function in hooks.items():
        setattr(module, name, function)
    return module


def names(ended: Any) -> dict[str, dict[str, Any]]:
    return {item["name"]: item for item in ended.items}


def test_an_app_has_the_built_in_plugins_and_no_other_process_wide_state(project: Path) -> None:
    one, two = App.open(project), App.open(project)
    assert one.plugins.manager is not two.plugins.manager
    assert list(one.plugins.records)[: len(BUILT_IN)] == list(BUILT_IN)
    one.plugins.register(made(route=hookimpl(lambda task: Route(machine="m"))), "mine")
    assert one.hook.route(task=None, fleet=None) == Route(machine="m")
    assert not two.plugins.manager.has_plugin("mine")


def test_a_built_in_plugin_is_imported_when_it_is_asked_and_not_when_it_is_off(runner: Runner, project: Path) -> None:
    code = (
        "import sys; from runner.app import App\n"
        "app = App.open('.', switches=sys.argv[1:])\n"
        "app.plugins; print('runner_plugins.claiming' in sys.modules)\n"
        "try: app.hook.claim(queue=None, worker=None, request=None)\n"
        "except AttributeError: pass\n"
        "print('runner_plugins.claiming' in sys.modules)"
    )
    for switches, wanted in ((), "False\nTrue\n"), (("no:claiming",), "False\nFalse\n"):
        ran = subprocess.run(
            [sys.executable, "-c", code, *switches], cwd=project, capture_output=True, text=True, check=True
        )
        assert ran.stdout == wanted


def test_anybodys_answer_comes_before_the_built_in_one(project: Path) -> None:
    app = App.open(project)
    app.plugins.register(made(open_store=hookimpl(lambda url: f"mine {url}")), "mine")
    assert str(app.store).startswith("mine sqlite:///")


def test_a_wrapper_sees_the_one_answer_of_the_owner(project: Path) -> None:
    seen = []

    def wrap(step: Step, context: Any) -> Any:
        result = yield
        seen.append((step.type, result))
        return "wrapped"

    app = App.open(project)
    app.plugins.register(
        made(
            register_types=hookimpl(lambda: {"mine": TypeSpec()}),
            run_step=hookimpl(lambda step, context: "own"),
            around=hookimpl(wrapper=True, specname="run_step")(wrap),
        ),
        "mine",
    )
    app.plugins.register(
        made(register_types=hookimpl(lambda: {"other": TypeSpec()}), run_step=hookimpl(lambda step, context: None)),
        "other",
    )
    assert app.owner("run_step", "mine")(step=Step("main", "mine", {}), context=None) == "wrapped"
    assert app.owner("run_step", "other")(step=Step("main", "other", {}), context=None) == "wrapped"
    assert seen == [("mine", "own"), ("other", None)]


def test_a_check_is_answered_by_its_owner_alone(project: Path) -> None:
    def owner_of(name: str) -> types.ModuleType:
        return made(
            register_checks=hookimpl(lambda: {name: CheckSpec(name)}),
            verify=hookimpl(lambda check: Verdict(True, f"{name} answers {check.type}")),
        )

    app = App.open(project)
    app.plugins.register(owner_of("red"), "red")
    app.plugins.register(owner_of("blue"), "blue")
    ask = {"step": None, "result": StepResult(), "context": None}
    assert app.owner("verify", "red")(check=Check("red"), **ask).summary == "red answers red"
    assert app.owner("verify", "blue")(check=Check("blue"), **ask).summary == "blue answers blue"
    with pytest.raises(UsageError) as caught:
        app.owner("verify", "blu")
    assert str(caught.value) == "unknown check 'blu' (did you mean 'blue'?)"


def test_functions_without_the_marker_are_no_hooks(project: Path) -> None:
    app = App.open(project)
    app.plugins.register(made(route=lambda task, fleet: Route(machine="m"), nonsense=lambda: None), "mine")
    assert app.hook.route(task=None, fleet=None) is None


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        (
            "\n@hookimpl\ndef run_stp(step, context): ...\n",
            "plugins/odd.py:3: plugin 'odd' implements the unknown hook 'run_stp' (did you mean 'run_step'?)",
        ),
        (
            "@hookimpl\ndef route(task, flet): ...\n",
            "plugins/odd.py:2: plugin 'odd': hook 'route' has no argument 'flet' (did you mean 'fleet'?)",
        ),
        (
            "@hookimpl\ndef register_types(self): ...\n",
            "plugins/odd.py:2: plugin 'odd': hook 'register_types' has no argument 'self' (it takes none)",
        ),
        (
            "@hookimpl\ndef route(*args): ...\n",
            "plugins/odd.py:2: plugin 'odd': hook 'route' can't take '*args' (name its arguments: task, fleet)",
        ),
        (
            "@hookimpl\nasync def route(task): ...\n",
            "plugins/odd.py:2: plugin 'odd': hook 'route' is an async function (hooks are plain functions)",
        ),
        (
            "@hookimpl(wrapper=True)\ndef route(task): ...\n",
            "plugins/odd.py:2: plugin 'odd': hook 'route' is a wrapper without a yield",
        ),
        (
            "@hookimpl\ndef run_step(step, context): ...\n",
            "plugins/odd.py:2: plugin 'odd' implements 'run_step', but has no register_types: it is never called",
        ),
        (
            "@hookimpl\ndef register_types(): return ['x']\n",
            "plugin 'odd': register_types must return a mapping of names, not list",
        ),
        (
            "@hookimpl\ndef register_types(): return {'x': 1}\n",
            "plugin 'odd': register_types gives 'x' a int, not a TypeSpec (write: {'x': TypeSpec(...)})",
        ),
        (
            "@hookimpl\ndef register_types():\n    return {}['x']\n",
            "plugin 'odd': register_types failed: plugins/odd.py:4: KeyError: 'x'",
        ),
        (
            "@hookimpl\ndef configure(config):\n    raise ValueError('no')\n",
            "configure failed: plugins/odd.py:4: ValueError: no",
        ),
    ],
)
def test_a_plugin_that_is_wrong_is_one_sentence_with_place_hook_and_suggestion(
    runner: Runner, project: Path, text: str, sentence: str
) -> None:
    plugin(project, "odd", HEAD + text)
    for args in (("submit", "--type", "run_script"), ("plugins",)):
        ended = runner(*args)
        assert ended.code == 2
        assert sentence in ended.stderr.replace("\nhint: ", " (").replace("\n", ")\n")
        assert "Traceback" not in ended.stderr


def test_a_project_plugin_that_fails_to_import_is_named_and_skipped(runner: Runner, project: Path) -> None:
    plugin(project, "sad", "\n1 / 0\n")
    told = (
        "plugin 'sad' (project plugin plugins/sad.py) can't be imported: "
        "plugins/sad.py:2: ZeroDivisionError: division by zero"
    )
    ended = runner.ok("submit", "--type", "run_script", "--payload", '{"script": "true"}')
    assert f"warning: {told} (skipped; -p no:sad switches it off)" in ended.stderr
    assert names(runner.ok("plugins", "--format", "json"))["sad"]["state"] == "broken"

    ended = runner("queue", "-p", "sad")
    assert (ended.code, ended.stderr) == (2, f"error: {told}\n")
    assert (
        runner.ok("submit", "--type", "run_script", "--payload", '{"script": "true"}', "-p", "no:sad").stderr.count(
            "sad"
        )
        == 0
    )


def test_a_plugin_named_in_runner_yaml_must_be_there(runner: Runner, project: Path) -> None:
    (project / "runner.yaml").write_text("plugins:\n  - nobody.here\n")
    ended = runner("submit", "--type", "run_script")
    assert ended.code == 2
    assert ended.stderr == (
        "error: plugin 'nobody.here' (project plugin runner.yaml:2) can't be imported: "
        "ModuleNotFoundError: No module named 'nobody'\n"
    )


def test_a_plugin_named_in_runner_yaml_may_be_a_module_of_the_project(runner: Runner, project: Path) -> None:
    (project / "tools").mkdir()
    (project / "tools" / "extra.py").write_text(
        HEAD + "@hookimpl\ndef register_types(): return {'extra': TypeSpec()}\n"
    )
    (project / "runner.yaml").write_text("plugins: [tools.extra]\n")
    item = names(runner.ok("plugins", "--format", "json"))["tools.extra"]
    assert (item["origin"], item["source"], item["hooks"]) == ("project plugin", "runner.yaml:1", ["register_types"])


def test_a_plugin_of_the_person_is_loaded_for_every_command(runner: Runner, project: Path, tmp_path: Path) -> None:
    (tmp_path / "site").mkdir()
    (tmp_path / "site" / "mine_too.py").write_text("import sys\nprint('loaded', file=sys.stderr)\n")
    env = {"PYTHONPATH": str(tmp_path / "site"), "RUNNER_PLUGINS": "mine_too"}
    assert runner.ok("queue", env=env).stderr.startswith("loaded\n")


def test_unknown_names_after_dash_p_are_errors(runner: Runner, project: Path) -> None:
    ended = runner("queue", "-p", "no:sqlite_stor")
    assert (ended.code, ended.stderr) == (
        2,
        "error: -p no:sqlite_stor: there is no plugin 'sqlite_stor' (did you mean 'sqlite_store'?)\n",
    )
    ended = runner("queue", "-p", "nobody")
    assert (ended.code, ended.stderr) == (
        2,
        "error: plugin 'nobody' (-p nobody) can't be imported: ModuleNotFoundError: No module named 'nobody'\n",
    )


def test_without_its_plugin_a_store_can_not_be_opened(runner: Runner, project: Path) -> None:
    ended = runner("queue", "-p", "no:sqlite_store")
    assert ended.code == 2
    assert ended.stderr.startswith("error: no plugin opens the store sqlite:///")
    ended = runner("queue", "--store", "carrier-pigeon://me:secret@loft/1")
    assert ended.code == 2
    assert ended.stderr.splitlines()[0] == "error: no plugin opens the store carrier-pigeon://me:***@loft/1"


def test_two_plugins_of_one_name_are_an_error_that_names_both(runner: Runner, project: Path) -> None:
    plugin(project, "routing", HEAD)
    ended = runner("submit", "--type", "run_script")
    assert ended.code == 2
    assert ended.stderr.splitlines()[0] == (
        "error: two plugins are called 'routing': 'routing' (built-in runner_plugins.routing) "
        "and 'routing' (project plugin plugins/routing.py)"
    )


def test_a_projects_check_overrides_a_built_in_one_and_says_so(runner: Runner, project: Path) -> None:
    plugin(
        project,
        "mine",
        HEAD + "@hookimpl\ndef register_checks(): return {'exit_code': CheckSpec('mine')}\n"
        "@hookimpl\ndef verify(check): return True\n",
    )
    app = App.open(project, code=True)
    assert app.checks["exit_code"].summary == "mine"
    item = names(runner.ok("plugins", "--format", "json"))["mine"]
    assert item["reason"] == "overrides exit_code of checks_exit_code"


def test_runner_plugins_is_a_table_as_well(runner: Runner, project: Path) -> None:
    lines = runner.ok("plugins", "-p", "no:repair").stdout.splitlines()
    assert lines[0].split() == ["NAME", "ORIGIN", "SOURCE", "HOOKS", "STATE"]
    rows = {line.split()[0]: line for line in lines[1:]}
    assert rows["repair"].endswith("off: -p no:repair")
    assert rows["sqlite_store"].endswith("on")
    assert "open_store" in rows["sqlite_store"]


def test_runner_plugins_works_outside_a_project(runner: Runner, folder: Path) -> None:
    assert "sqlite_store" in names(runner.ok("plugins", "--format", "json"))


def test_agents_of_the_configuration_extend_and_change_those_of_plugins(project: Path) -> None:
    (project / "runner.yaml").write_text(
        "agents:\n"
        "  fast: {extends: base, model: small}\n"
        "  base: {extends: parrot, timeout: 5m, argv: [--x]}\n"
        "  parrot: {model: big}\n"
        "  own: {program: /bin/own, permissions: {edit: [--ok]}}\n"
    )
    app = App.open(project)
    app.plugins.register(
        made(register_agents=hookimpl(lambda: {"parrot": Agent("parrot", "polly", argv=("-p",), strip=("A*",))})), "p"
    )
    agents = app.agents
    assert (agents["parrot"].program, agents["parrot"].model, agents["parrot"].argv) == ("polly", "big", ("-p",))
    fast = agents["fast"]
    assert (fast.name, fast.program, fast.model, fast.timeout, fast.argv) == ("fast", "polly", "small", 300.0, ("--x",))
    assert fast.strip == ("A*",)
    assert agents["own"].permissions == {"edit": ("--ok",)}


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ("agents:\n  x:\n    extends: cluade\n", "runner.yaml:3: unknown agent 'cluade' (did you mean 'claude'?)"),
        ("agents:\n  cluade: {model: m}\n", "runner.yaml:2: agent 'cluade' has no program (did you mean 'claude'?)"),
        ("agents:\n  a: {extends: b}\n  b: {extends: a}\n", "runner.yaml:2: the agents a, b extend each other"),
        ("defaults:\n  agent: cluade\n", "runner.yaml:2: unknown agent 'cluade' (did you mean 'claude'?)"),
        (
            "routes:\n  - match: {type: run_scrpt}\n",
            "runner.yaml:2: unknown type 'run_scrpt' (did you mean 'run_script'?)",
        ),
        (
            "routes:\n  - match: {type: run_script}\n    agent: scrip\n",
            "runner.yaml:3: unknown agent 'scrip' (did you mean 'script'?)",
        ),
        ("limits:\n  types: {run_scrpt: 2}\n", "runner.yaml:2: unknown type 'run_scrpt' (did you mean 'run_script'?)"),
        ("types:\n  agent_rn: {attempts: 2}\n", "runner.yaml:2: unknown type 'agent_rn' (did you mean 'agent_run'?)"),
    ],
)
def test_a_name_that_nobody_brings_is_told_with_file_and_line(project: Path, text: str, sentence: str) -> None:
    (project / "runner.yaml").write_text(text)
    with pytest.raises(ConfigError) as caught:
        _ = App.open(project, code=True).registry
    assert str(caught.value) == sentence


def test_a_type_that_only_other_machines_know_may_be_configured(project: Path) -> None:
    (project / "runner.yaml").write_text("routes:\n  - match: {type: ios_build}\n    machine: mac\n")
    assert App.open(project, code=True).registry


def test_a_variable_of_the_environment_that_names_no_agent_is_told(
    project: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("RUNNER_DEFAULTS_AGENT", "cluade")
    with pytest.raises(ConfigError, match=r"^environment RUNNER_DEFAULTS_AGENT: unknown agent 'cluade'"):
        _ = App.open(project, code=True).registry


def test_children_get_absolute_store_and_project(project: Path) -> None:
    env = App.open(project, org="acme").child_env()
    assert env["RUNNER_PROJECT_DIR"] == str(project)
    assert env["RUNNER_STORE"].startswith("sqlite:////")
    assert env["RUNNER_ORGANIZATION_ID"] == "acme"
    assert env["RUNNER_PROJECT_ID"] == App.open(project).project.id


def test_a_relative_store_in_a_file_is_relative_to_the_project(project: Path, tmp_path: Path, monkeypatch: Any) -> None:
    (project / "runner.yaml").write_text("store: sqlite:///here.db\nartifacts: file://kept\n")
    monkeypatch.chdir(tmp_path)
    app = App.open(project, named=True)
    assert app.store_url == f"sqlite:///{project}/here.db"
    assert app.artifacts_url == f"file://{project}/kept"
    assert App.open(project, named=True, store="sqlite:///x.db").store_url == f"sqlite:///{tmp_path}/x.db"


def test_the_scan_of_entry_points_agrees_with_the_library(tmp_path: Path) -> None:
    from importlib import metadata

    info = tmp_path / "some_thing-0.1.dist-info"
    info.mkdir()
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: some-thing\nVersion: 0.1\n")
    (info / "entry_points.txt").write_text(
        "[console_scripts]\nrunner = a:b\n\n[runner]\n# a comment\none = pkg.mod\n"
        "two=pkg.mod:thing.part [extra]\n\n[other]\nx = y\n"
    )
    ours = {(entry.name, entry.target) for entry in scan([str(tmp_path), str(tmp_path / "nowhere"), ""])}
    found = metadata.MetadataPathFinder.find_distributions(metadata.DistributionFinder.Context(path=[str(tmp_path)]))
    theirs = {
        (entry.name, entry.value.partition(" [")[0])
        for dist in found
        for entry in dist.entry_points
        if entry.group == "runner"
    }
    assert ours == theirs == {("one", "pkg.mod"), ("two", "pkg.mod:thing.part")}


def test_a_plugin_manager_can_be_used_without_a_project() -> None:
    told: list[str] = []
    plugins = Plugins([], told.append)
    with pytest.raises(PluginError, match="unknown hook 'open_stor'"):
        plugins.register(made(open_stor=hookimpl(lambda url: None)), "mine")
    assert told == []
