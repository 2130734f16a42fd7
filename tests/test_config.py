"""Layered configuration: which layer wins, where each value came from, what a mistake is called."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from runner.config import Config, Section, load_config
from runner.config.schema import Settings, json_schema
from runner.config.values import plain
from runner.errors import ConfigError
from runner.project import find_project

if TYPE_CHECKING:
    from conftest import Runner


def configure(project: Path, text: str, **environ: str) -> Config:
    (project / "runner.yaml").write_text(text)
    return load_config(find_project(project), environ)


def users_file(text: str) -> Path:
    path = Path(os.environ["XDG_CONFIG_HOME"]) / "runner" / "config.yaml"
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)
    return path


def mistake(project: Path, text: str, **environ: str) -> str:
    os.chdir(project)
    with pytest.raises(ConfigError) as caught:
        configure(project, text, **environ)
    return str(caught.value)


@pytest.fixture(autouse=True)
def _stay(monkeypatch: pytest.MonkeyPatch, folder: Path) -> None:
    monkeypatch.chdir(folder)


def test_defaults_hold_without_any_file(project: Path) -> None:
    config = load_config(find_project(project), {})
    assert config.store is None
    assert config.defaults.attempts == 3
    assert config.defaults.agent == "claude"
    assert (config.worker.slots, config.worker.lease, config.worker.renew) == (1, 300.0, 20.0)
    assert config.workspace.max_file == 50 << 20
    assert config.sqlite.synchronous == "full"
    assert config.origin("worker.lease") == "default"


def test_a_configuration_has_the_names_that_the_model_has() -> None:
    assert set(Config.__annotations__) == set(Settings.model_fields)


def test_environment_beats_project_beats_user_beats_default_and_each_says_so(project: Path) -> None:
    mine = users_file("worker:\n  slots: 2\n  poll: 1s\n  grace: 3\n")
    config = configure(project, "worker:\n  slots: 4\n  poll: 2m\n", RUNNER_WORKER_SLOTS="8")

    assert (config.worker.slots, config.origin("worker.slots")) == (8, "environment RUNNER_WORKER_SLOTS")
    assert (config.worker.poll, config.origin("worker.poll")) == (120.0, "runner.yaml:3")
    assert (config.worker.grace, config.origin("worker.grace")) == (3.0, f"{mine}:4")
    assert (config.worker.lease, config.origin("worker.lease")) == (300.0, "default")


def test_a_flag_beats_all(project: Path) -> None:
    config = configure(project, "store: sqlite:///a.db\n", RUNNER_STORE="sqlite:///b.db")
    assert config.store == "sqlite:///b.db"
    config = config.with_value("store", "sqlite:///c.db", "flag --store")
    assert (config.store, config.origin("store")) == ("sqlite:///c.db", "flag --store")


def test_named_entries_are_merged_lists_are_replaced(project: Path) -> None:
    users_file("agents: {fast: {program: a, model: m}}\nworkspace: {copy: [.env]}\n")
    config = configure(project, "agents: {fast: {model: n}, slow: {program: b}}\nworkspace: {copy: [.npmrc]}\n")
    assert (config.agents["fast"].program, config.agents["fast"].model) == ("a", "n")
    assert config.agents["slow"].program == "b"
    assert config.workspace.copy == (".npmrc",)


def test_a_project_adds_to_the_redaction_of_its_user_and_can_not_end_it(project: Path) -> None:
    users_file("redact: [mine-\\d+]\n")
    config = configure(project, "redact: [ours-\\d+]\n")
    assert config.redact == (r"mine-\d+", r"ours-\d+")
    assert config.origin("redact.1") == "runner.yaml:1"


def test_variables_take_lists_by_commas_and_mappings_as_yaml(project: Path) -> None:
    config = configure(
        project,
        "",
        RUNNER_WORKER_CAPABILITIES="docker, gpu",
        RUNNER_LIMITS_TYPES="{agent_run: 2}",
        RUNNER_REDACT=r'["a,b", "c\\d"]',
        RUNNER_DEFAULTS_TIMEOUT="90s",
        RUNNER_DEFAULTS_REPAIRS="",
    )
    assert config.worker.capabilities == ("docker", "gpu")
    assert config.limits.types == {"agent_run": 2}
    assert config.redact == ("a,b", r"c\d")
    assert config.defaults.timeout == 90.0
    assert config.defaults.repairs is None


def test_variables_of_hosted_ci_are_not_read(project: Path) -> None:
    hosted = ("NAME", "OS", "ARCH", "TEMP", "DEBUG", "ENVIRONMENT", "WORKSPACE", "TOOL_CACHE", "TRACKING_ID", "TOKEN")
    config = configure(project, "", **{f"RUNNER_{name}": "/opt/hosted" for name in hosted})
    assert plain(config) == plain(load_config(find_project(project), {}))


def test_a_misspelled_variable_of_a_section_is_an_error(project: Path) -> None:
    assert mistake(project, "", RUNNER_WORKER_LAESE="2") == (
        "environment: unknown variable RUNNER_WORKER_LAESE (did you mean 'RUNNER_WORKER_LEASE'?)"
    )


def test_machines_come_from_machines_yaml(project: Path) -> None:
    (project / "machines.yaml").write_text(
        "machines:\n  mac-mini:\n    role: worker\n    os: macos\n    tailscale_ip: 100.64.0.3\n"
        "    aliases: [old]\n    worker_port: 8001\n    ssh: {user: ci}\n"
    )
    config = load_config(find_project(project), {})
    machine = config.machines["mac-mini"]
    assert (machine.os, machine.tailscale_ip, machine.aliases, machine.ssh.user) == (
        "macos",
        "100.64.0.3",
        ("old",),
        "ci",
    )
    assert config.origin("machines.mac-mini.os") == "machines.yaml:4"


def test_the_example_of_machines_yaml_is_valid(project: Path) -> None:
    from runner.shipped import shipped

    (project / "machines.yaml").write_text(shipped("machines.yaml.example").read_text())
    assert "laptop" in load_config(find_project(project), {}).machines


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ("\n\nagnets: {}\n", "runner.yaml:3: unknown key 'agnets' (did you mean 'agents'?)"),
        ("worker:\n  slot: 2\n", "runner.yaml:2: unknown key 'slot' (did you mean 'slots'?)"),
        ("agents:\n  a:\n    progam: x\n", "runner.yaml:3: unknown key 'progam' (did you mean 'program'?)"),
        ("routes:\n  - match: {tpye: x}\n", "runner.yaml:2: unknown key 'tpye' (did you mean 'type'?)"),
        (
            "sqlite:\n  synchronous: fulll\n",
            "runner.yaml:2: sqlite.synchronous can't be 'fulll' (did you mean 'full'?)",
        ),
        (
            "types:\n  lint:\n    expects: nothing\n",
            "runner.yaml:3: types.lint.expects can't be 'nothing' (known: answer, changes, none)",
        ),
        ("worker:\n  slots: 0\n", "runner.yaml:2: worker.slots must be greater than or equal to 1, not 0"),
        (
            "worker:\n  slots: yes\n",
            "runner.yaml:2: worker.slots must be a whole number, not 'yes'",
        ),
        ("worker:\n  slots: true\n", "runner.yaml:2: worker.slots: must be a number, not true"),
        (
            "worker:\n  lease: soon\n",
            "runner.yaml:2: worker.lease: 'soon' is not a duration (write seconds, or 90s, 30m, 1h30m, 2d)",
        ),
        ("worker: 3\n", "runner.yaml:1: worker must be a mapping, not 3"),
        ("plugins: mine\n", "runner.yaml:1: plugins must be a list, not 'mine'"),
        ("plugins:\n  - a\n  - 7\n", "runner.yaml:3: plugins.1 must be text, not 7"),
        (
            "redact:\n  - '('\n",
            "runner.yaml:2: redact.0: '(' is not a regular expression: …",
        ),
        (
            "workspace: {max_file: big}\n",
            "runner.yaml:1: workspace.max_file: 'big' is not a size (write bytes, or 500 KiB, 50 MiB, 2 GiB)",
        ),
        (
            "limits:\n  types:\n    a b: 1\n",
            "runner.yaml:3: limits.types.a b: 'a b' is not a name: use letters, digits, '_', '-' and '.'",
        ),
        ("machines: {}\n", "runner.yaml:1: machines belong in machines.yaml (move this key to machines.yaml)"),
        ("- a\n", "runner.yaml:1: must be a mapping of keys to values"),
        ("worker:\n  slots: 1\n  slots: 2\n", "runner.yaml:3:3: key 'slots' is there twice"),
        ("worker: {slots: 1\n", "runner.yaml:2:1: not valid YAML: did not find expected ',' or '}'"),
        ("a: &a [*a]\n", "runner.yaml:1:4: an alias that contains itself"),
        ("worker:\n\tslots: 1\n", "runner.yaml:2:1: not valid YAML: found character that cannot start any token"),
        (
            "a: !!python/object:os.system x\n",
            "runner.yaml:1:4: unknown tag 'tag:yaml.org,2002:python/object:os.system' (write plain values)",
        ),
    ],
)
def test_a_mistake_in_a_file_is_one_sentence_with_place_and_suggestion(project: Path, text: str, sentence: str) -> None:
    told = mistake(project, text)
    assert told == sentence or (sentence.endswith("…") and told.startswith(sentence[:-1]))


def test_the_first_mistake_is_told_and_the_others_are_counted(project: Path) -> None:
    assert mistake(project, "worker:\n  slots: 0\n  lease: -1\n").endswith("not 0 (and 1 more)")


def test_a_file_that_is_not_text_is_one_sentence(project: Path) -> None:
    (project / "runner.yaml").write_bytes(b"a: \xff\xfe")
    with pytest.raises(ConfigError, match=r"runner\.yaml: not UTF-8 \(byte 3\)"):
        load_config(find_project(project), {})


def test_a_bomb_of_aliases_is_refused(project: Path) -> None:
    lines = ["a0: &a0 [x, x, x, x, x, x, x, x, x, x]"]
    lines += [f"a{i}: &a{i} [{', '.join([f'*a{i - 1}'] * 10)}]" for i in range(1, 9)]
    assert "aliases of aliases" in mistake(project, "\n".join(lines))


def test_a_very_deep_file_is_refused(project: Path) -> None:
    assert "runner.yaml: nested too deeply" in mistake(project, "a: " + "[" * 5000 + "]" * 5000)


def test_the_second_read_comes_from_the_cache_and_imports_no_parser(project: Path) -> None:
    (project / "runner.yaml").write_text("worker: {slots: 5}\nagents: {a: {program: x, argv: [y]}}\n")
    code = (
        "import sys; from runner.config import load_config; from runner.project import find_project;"
        "c = load_config(find_project('.')); print(c.worker.slots, c.agents['a'].argv, c.origin('worker.slots'),"
        "sorted({'yaml', 'pydantic'} & set(sys.modules)))"
    )

    def read() -> str:
        return subprocess.run(
            [sys.executable, "-c", code], cwd=project, capture_output=True, text=True, check=True
        ).stdout

    assert read() == "5 ('y',) runner.yaml:1 ['pydantic', 'yaml']\n"
    assert read() == "5 ('y',) runner.yaml:1 []\n"
    (project / "runner.yaml").write_text("worker: {slots: 6}\nagents: {a: {program: x, argv: [y]}}\n")
    assert read() == "6 ('y',) runner.yaml:1 ['pydantic', 'yaml']\n"


@pytest.mark.parametrize("damage", [b"", b"{", b"[]", b'{"key": 1}', b"\xff\x00", None])
def test_a_damaged_cache_is_ignored(project: Path, damage: bytes | None) -> None:
    configure(project, "worker: {slots: 5}\n")
    entries = list((Path(os.environ["XDG_STATE_HOME"]) / "runner" / "config-cache").iterdir())
    assert len(entries) == 1
    assert entries[0].stat().st_mode & 0o777 == 0o600
    if damage is None:
        entries[0].write_text(
            entries[0].read_text().replace('"slots": 5', '"slots": 7').replace("slots: 5", "slots: 7")
        )
    else:
        entries[0].write_bytes(damage)
    assert configure(project, "worker: {slots: 5}\n").worker.slots == 5


def test_the_cache_does_not_grow_without_end(project: Path) -> None:
    for slots in range(1, 80):
        configure(project, f"worker: {{slots: {slots}}}\n")
    assert len(list((Path(os.environ["XDG_STATE_HOME"]) / "runner" / "config-cache").iterdir())) <= 64


def test_a_state_folder_that_can_not_be_written_costs_only_time(project: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    found = find_project(project)
    blocked = project / "blocked"
    blocked.write_text("")
    monkeypatch.setenv("XDG_STATE_HOME", str(blocked))
    (project / "runner.yaml").write_text("worker: {slots: 5}\n")
    assert load_config(found, {}).worker.slots == 5


def test_a_configuration_is_read_only(project: Path) -> None:
    config = configure(project, "")
    with pytest.raises(AttributeError, match="read-only"):
        config.worker.slots = 9  # type: ignore[misc]
    assert isinstance(config.worker, Section)


def test_the_schema_for_editors_has_every_section_but_machines() -> None:
    schema = json_schema()
    assert set(schema["properties"]) == set(Settings.model_fields) - {"machines"}
    assert schema["additionalProperties"] is False


def test_config_prints_value_and_origin(runner: Runner, project: Path) -> None:
    (project / "runner.yaml").write_text("worker:\n  slots: 4\n")
    lines = runner.ok("config").stdout.splitlines()
    assert lines[0].split() == ["KEY", "VALUE", "FROM"]
    assert "worker.slots 4 runner.yaml:2" in [" ".join(line.split()) for line in lines]

    items = {
        item["key"]: item for item in runner.ok("config", "--format", "json", env={"RUNNER_STORE": "sqlite:///x"}).items
    }
    assert items["worker.slots"] == {"key": "worker.slots", "value": 4, "origin": "runner.yaml:2"}
    assert items["store"] == {"key": "store", "value": f"sqlite:///{project}/x", "origin": "environment RUNNER_STORE"}
    assert items["worker.lease"]["origin"] == "default"


def test_config_of_a_section_lists_what_is_under_it(runner: Runner, project: Path) -> None:
    keys = [item["key"] for item in runner.ok("config", "sqlite", "--format", "json").items]
    assert keys == ["sqlite.synchronous", "sqlite.timeout"]
    wrong = runner("config", "worker.slot")
    assert (wrong.code, wrong.stderr) == (2, "error: unknown setting 'worker.slot' (did you mean 'worker.slots'?)\n")


def test_config_hides_passwords(runner: Runner, project: Path) -> None:
    (project / "runner.yaml").write_text(
        "store: postgresql://me:hunter2@db/x\nagents: {a: {program: a, env: {API_KEY: hunter2, LANG: C}}}\n"
    )
    ended = runner.ok("config")
    assert "hunter2" not in ended.stdout + ended.stderr
    assert "postgresql://me:***@db/x" in ended.stdout


def test_config_works_outside_a_project(runner: Runner) -> None:
    users_file("worker: {slots: 2}\n")
    assert runner.ok("config", "worker.slots", "--format", "json").json["value"] == 2


def test_every_command_tells_of_a_mistake_with_exit_code_2(runner: Runner, project: Path) -> None:
    (project / "runner.yaml").write_text("\nagnets: {}\n")
    for args in (["config"], ["plugins"], ["queue"]):
        ended = runner(*args)
        assert (ended.code, ended.stderr) == (
            2,
            "error: runner.yaml:2: unknown key 'agnets' (did you mean 'agents'?)\n",
        )
    error = runner("queue", "--format", "json").error
    assert error == {
        "code": "config",
        "message": "runner.yaml:2: unknown key 'agnets'",
        "hint": "did you mean 'agents'?",
    }


def test_slots_have_the_same_bounds_as_the_flag(project: Path) -> None:
    assert "less than or equal to 256" in mistake(project, "worker: {slots: 99999}\n")
