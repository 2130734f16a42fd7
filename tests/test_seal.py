"""Seals: what a gate depends on can't be edited unseen, and what it does not depend on may be."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from runner.engine.seal import Seal, broken, compare, digest, step_seal, take_seal, verdict
from runner.errors import RunnerError
from runner.model import Check, Policy

PYTEST = "python -m pytest -q"
Edit = Callable[[Path], object]


def write(root: Path, name: str, text: str = "") -> None:
    path = root / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)


@pytest.fixture
def repo(tmp_path: Path) -> Path:
    """A small Python project with a failing test, as an agent would find it."""
    root = tmp_path / "repo"
    write(root, "calc.py", "def add(a, b):\n    return a - b\n")
    write(root, "tests/test_calc.py", "from calc import add\n\ndef test_add():\n    assert add(1, 2) == 3\n")
    write(root, "tests/data/expected.json", "{}")
    write(
        root,
        "pyproject.toml",
        '[project]\nname = "calc"\ndependencies = []\n\n[tool.pytest.ini_options]\naddopts = ""\n',
    )
    subprocess.run(["git", "init", "-q", str(root)], check=True)
    return root


def seal(root: Path, command: str = PYTEST, **policy: tuple[str, ...]) -> Seal:
    return take_seal(root, [Check("command", command)], Policy(**policy))


def put(name: str, text: str = "x = 1\n") -> Edit:
    return lambda root: write(root, name, text)


def append(name: str, text: str) -> Edit:
    return lambda root: (root / name).write_text((root / name).read_text() + text)


def link_test(root: Path) -> None:
    write(root, "other.py", (root / "tests/test_calc.py").read_text())
    (root / "tests/test_calc.py").unlink()
    (root / "tests/test_calc.py").symlink_to("../other.py")


def link_folder(root: Path) -> None:
    shutil.move(root / "tests", root / "real")
    (root / "tests").symlink_to("real")


def swap_folder(root: Path) -> None:
    shutil.rmtree(root / "tests")
    (root / "tests").write_text("")


def git(*words: str) -> Edit:
    return lambda root: subprocess.run(["git", "-C", str(root), *words], check=True, capture_output=True)


GATE_EDITS: dict[str, tuple[Edit, str]] = {
    "a test is changed": (append("tests/test_calc.py", "\n"), "tests/test_calc.py changed"),
    "a test is deleted": (lambda r: (r / "tests/test_calc.py").unlink(), "tests/test_calc.py was deleted"),
    "test data is changed": (put("tests/data/expected.json", "[]"), "tests/data/expected.json changed"),
    "a conftest is added": (put("conftest.py"), "conftest.py was added"),
    "a conftest is added deeper": (put("tests/conftest.py"), "tests/conftest.py was added"),
    "a compiled conftest is added": (put("tests/conftest.pyc"), "tests/conftest.pyc was added"),
    "a pytest.ini is added": (put("pytest.ini", "[pytest]\n"), "pytest.ini was added"),
    "a pytest.toml is added": (put("tests/.pytest.toml", ""), "tests/.pytest.toml was added"),
    "a tox.ini is added": (put("tox.ini", "[pytest]\n"), "tox.ini was added"),
    "a setup.cfg with a test section is added": (
        put("setup.cfg", "[tool:pytest]\naddopts = --collect-only\n"),
        "setup.cfg was added with [tool:pytest]",
    ),
    "a sitecustomize is added": (put("sitecustomize.py"), "sitecustomize.py was added"),
    "a usercustomize is added deeper": (put("src/usercustomize.py"), "src/usercustomize.py was added"),
    "a path configuration is added": (put("lib/x.pth", "import os\n"), "lib/x.pth was added"),
    "a module hides pytest": (put("pytest.py"), "pytest.py was added and hides the module 'pytest'"),
    "a package hides pytest's inside": (put("_pytest/__init__.py"), "_pytest/__init__.py was added and hides"),
    "a module hides pluggy": (put("a/b/pluggy.py"), "a/b/pluggy.py was added and hides"),
    "a module hides a standard one": (put("json.py"), "json.py was added and hides the module 'json'"),
    "a package hides a standard one": (put("unittest/__init__.py"), "hides the module 'unittest'"),
    "a compiled module hides a standard one": (put("re.pyc"), "re.pyc was added and hides"),
    "an extension module hides one": (put("math.cpython-311-x86_64-linux-gnu.so"), "hides the module 'math'"),
    "a module beside the tests hides one": (put("tests/typing.py"), "tests/typing.py was added"),
    "a plugin's entry point is added": (
        put("evil.dist-info/entry_points.txt", "[pytest11]\nevil = evil\n"),
        "evil.dist-info/entry_points.txt was added",
    ),
    "the test section is changed": (
        put("pyproject.toml", '[tool.pytest.ini_options]\naddopts = "-k nothing"\n'),
        "pyproject.toml changed ([tool.pytest])",
    ),
    "the test section is removed": (put("pyproject.toml", "[project]\n"), "pyproject.toml changed ([tool.pytest])"),
    "pyproject is broken": (put("pyproject.toml", "[[["), "pyproject.toml changed"),
    "pyproject is deleted": (lambda r: (r / "pyproject.toml").unlink(), "pyproject.toml was deleted"),
    "a plugin is registered in pyproject": (
        append("pyproject.toml", '\n[project.entry-points.pytest11]\nx = "x"\n'),
        "[project.entry-points.pytest11] was added",
    ),
    "a test becomes a link": (link_test, "tests/test_calc.py was replaced by a symbolic link"),
    "the tests' folder becomes a link": (link_folder, "tests/test_calc.py was replaced"),
    "the tests' folder becomes a file": (swap_folder, "tests/test_calc.py was"),
    "an added test ends the run": (
        put("tests/test_zzz.py", "import os\nos._exit(0)\n"),
        "tests/test_zzz.py was added and ends or takes over the test run",
    ),
    "an added package file ends the run": (
        put("tests/__init__.py", "from os import _exit\n"),
        "tests/__init__.py was added",
    ),
    "a hook is planted": (put(".git/hooks/pre-commit", "#!/bin/sh\n"), ".git/hooks/pre-commit was added"),
    "a hooks path is set": (git("config", "core.hooksPath", "evil"), "core.hookspath was added"),
    "a file system monitor is set": (git("config", "core.fsmonitor", "evil"), "core.fsmonitor was added"),
    "a filter is set": (git("config", "filter.x.clean", "evil"), "filter.x.clean was added"),
    "a configuration above is added": (lambda r: write(r.parent, "pytest.ini", "[pytest]\n"), "pytest.ini was added"),
}


@pytest.mark.parametrize("edit", GATE_EDITS)
def test_the_gate_was_edited_when(repo: Path, edit: str) -> None:
    act, sentence = GATE_EDITS[edit]
    taken = seal(repo)
    assert broken(taken, repo) == []
    act(repo)
    found = broken(taken, repo)
    assert found
    assert all(text.startswith("the gate was edited: ") for text in found)
    assert any(sentence in text for text in found), found


@pytest.mark.parametrize(
    ("name", "text"),
    [
        (
            "conftest.py",
            "def pytest_sessionfinish(session):\n    session.exitstatus = 0\n",
        ),
        ("pytest.py", "raise SystemExit(0)\n"),
        ("tests/test_aaa.py", "import os\nos._exit(0)\n"),
        ("x.egg-info/entry_points.txt", "[pytest11]\nx = tests.cheat\n"),
    ],
)
def test_what_turns_a_red_gate_green_without_a_fix_is_seen(repo: Path, name: str, text: str) -> None:
    write(repo, "tests/cheat.py", "import os\nos._exit(0)\n")
    run = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "-p", "no:randomly"]
    taken = seal(repo)
    assert subprocess.run(run, cwd=repo, capture_output=True, check=False).returncode == 1
    write(repo, name, text)
    assert subprocess.run(run, cwd=repo, capture_output=True, check=False).returncode == 0
    assert any(name in sentence for sentence in broken(taken, repo))


HARMLESS: dict[str, Edit] = {
    "the code is fixed": put("calc.py", "def add(a, b):\n    return a + b\n"),
    "a test is added": put("tests/test_more.py", "def test(): pass\n"),
    "a test folder is added": put("pkg/tests/test_x.py", "def test(): pass\n"),
    "a dependency is added": put(
        "pyproject.toml",
        '[project]\nname = "calc"\ndependencies = ["requests"]\n\n[tool.pytest.ini_options]\naddopts = ""\n',
    ),
    "a tool's section is added": append("pyproject.toml", "\n[tool.black]\nline-length = 100\n"),
    "a build system is added": append("pyproject.toml", '\n[build-system]\nrequires = ["hatchling"]\n'),
    "a setup.cfg without tests is added": put("setup.cfg", "[metadata]\nname = x\n"),
    "a submodule has a standard name": put("pkg/types.py"),
    "a submodule of a package has one": lambda r: (write(r, "pkg/__init__.py"), write(r, "pkg/json/__init__.py")),
    "a folder without init has a standard name": put("email/template.html"),
    "test runs leave their traces": lambda r: (
        write(r, "tests/__pycache__/x.pyc"),
        write(r, ".pytest_cache/v"),
        write(r, "tests/run.log"),
        write(r, ".coverage"),
    ),
    "a virtual environment is made": lambda r: subprocess.run(
        [sys.executable, "-m", "venv", "--without-pip", str(r / ".venv")], check=True
    ),
    "weights of a model are written": lambda r: (r / "model.pth").write_bytes(b"PK\x03\x04"),
    "who commits is set": git("config", "user.name", "An Agent"),
    "a remote is added": git("remote", "add", "up", "https://example.invalid/x.git"),
    "a commit is made": git("-c", "user.name=x", "-c", "user.email=x@y", "commit", "-q", "--allow-empty", "-m", "x"),
    "a branch is made": git("checkout", "-q", "-b", "topic"),
    "husky is installed": git("config", "core.hooksPath", ".husky/_"),
    "a package.json is added to a Python gate": put("package.json", "{}"),
    "a Makefile is added to a Python gate": put("Makefile", "all:\n"),
    "the clock of a test is touched": lambda r: os.utime(r / "tests/test_calc.py"),
}


@pytest.mark.parametrize("edit", HARMLESS)
def test_the_gate_holds_when(repo: Path, edit: str) -> None:
    taken = seal(repo)
    HARMLESS[edit](repo)
    assert broken(taken, repo) == []


def test_added_tests_are_listed(repo: Path) -> None:
    taken = seal(repo)
    write(repo, "tests/test_more.py", "def test(): pass\n")
    write(repo, "tests/helpers.py", "x = 1\n")
    assert compare(taken, repo).added_tests == ("tests/helpers.py", "tests/test_more.py")
    assert verdict(taken, repo).evidence["added_tests"] == ["tests/helpers.py", "tests/test_more.py"]


def test_the_verdict_names_what_was_edited_in_one_sentence(repo: Path) -> None:
    taken = seal(repo)
    assert verdict(taken, repo).ok
    write(repo, "conftest.py")
    (repo / "tests/test_calc.py").write_text("def test(): pass\n")
    red = verdict(taken, repo)
    assert not red.ok
    assert red.summary == "the gate was edited: tests/test_calc.py changed; conftest.py was added"
    assert red.evidence["sealed"] is True


def test_many_edits_are_counted_not_listed_in_the_sentence(repo: Path) -> None:
    taken = seal(repo)
    for number in range(30):
        write(repo, f"d{number}/conftest.py")
    red = verdict(taken, repo)
    assert red.summary.endswith("and 25 more")
    assert len(red.evidence["broken"]) == 30


def test_may_edit_exempts_and_nothing_else(repo: Path) -> None:
    taken = seal(repo, may_edit=("tests/test_calc.py", "setup.cfg", ".git/hooks/**"))
    (repo / "tests/test_calc.py").write_text("def test(): pass\n")
    write(repo, "setup.cfg", "[tool:pytest]\n")
    write(repo, ".git/hooks/pre-commit")
    assert broken(taken, repo) == []
    write(repo, "tests/data/expected.json", "[]")
    assert broken(taken, repo) == ["the gate was edited: tests/data/expected.json changed"]


def test_protected_files_are_sealed_without_any_command(repo: Path) -> None:
    write(repo, "golden/a.json", "{}")
    taken = take_seal(repo, [Check("file_exists", "x")], Policy(protect=("golden/**", "*.lock")))
    write(repo, "calc.py", "")
    write(repo, "tests/test_calc.py", "")
    assert broken(taken, repo) == []
    write(repo, "golden/a.json", "[]")
    write(repo, "golden/b.json", "")
    write(repo, "deep/x.lock", "")
    assert broken(taken, repo) == [
        "the gate was edited: golden/a.json changed",
        "the gate was edited: deep/x.lock was added",
        "the gate was edited: golden/b.json was added",
    ]


def test_checks_without_anything_to_edit_are_not_sealed(repo: Path) -> None:
    taken = take_seal(repo, [Check("exit_code", 0), Check("file_exists", "out.txt")], Policy())
    write(repo, "conftest.py")
    write(repo, ".git/hooks/pre-commit")
    shutil.rmtree(repo / "tests")
    assert broken(taken, repo) == []


SCRIPTS = [
    ("sh check.sh", "check.sh"),
    ("./check.sh", "check.sh"),
    ("bash -e ./ci/run --fast", "ci/run"),
    ("python check.py --strict", "check.py"),
    ("python -u -W error check.py", "check.py"),
    ("env X=1 timeout -k 5 60 python3 check.py", "check.py"),
    ("cd ci && sh run", "ci/run"),
    ("make -C sub check", "sub/Makefile"),
    ("make check", "Makefile"),
    ("node ci/check.mjs", "ci/check.mjs"),
    ("true && ./check.sh | tee log", "check.sh"),
    ("sh -c './check.sh'", "check.sh"),
    ('test "$(./check.sh)" = ok', "check.sh"),
    (". ./check.sh", "check.sh"),
    ("if ./check.sh; then true; fi", "check.sh"),
    ("python -m checks.run", "checks/run.py"),
    ("sh outer.sh", "check.sh"),
]


@pytest.mark.parametrize(("command", "script"), SCRIPTS, ids=[c for c, _ in SCRIPTS])
def test_the_script_of_a_command_is_sealed(tmp_path: Path, command: str, script: str) -> None:
    for name in (
        "check.sh",
        "ci/run",
        "check.py",
        "Makefile",
        "sub/Makefile",
        "ci/check.mjs",
        "checks/run.py",
        "app.py",
    ):
        write(tmp_path, name, "exit 1\n")
    write(tmp_path, "outer.sh", "#!/bin/sh\n# runs the rest\nexec ./check.sh\n")
    taken = seal(tmp_path, command)
    write(tmp_path, "app.py", "changed\n")
    assert broken(taken, tmp_path) == []
    write(tmp_path, script, "exit 0\n")
    assert broken(taken, tmp_path) == [f"the gate was edited: {script} changed"]


def test_a_file_that_a_command_only_looks_at_may_be_written(tmp_path: Path) -> None:
    write(tmp_path, "src/app.js", "old\n")
    taken = seal(tmp_path, "grep -q fixed src/app.js && test -s out.txt && ! diff -q src/app.js other")
    write(tmp_path, "src/app.js", "fixed\n")
    write(tmp_path, "out.txt", "x")
    assert broken(taken, tmp_path) == []


def test_a_script_that_is_a_link_is_sealed_with_what_it_leads_to(tmp_path: Path) -> None:
    write(tmp_path, "tools/real.sh", "exit 1\n")
    (tmp_path / "check.sh").symlink_to("tools/real.sh")
    (tmp_path / "bin").symlink_to("tools")
    taken = seal(tmp_path, "sh check.sh && bin/real.sh")
    write(tmp_path, "tools/real.sh", "exit 0\n")
    assert "the gate was edited: check.sh changed" in broken(taken, tmp_path)
    write(tmp_path, "tools/real.sh", "exit 1\n")
    assert broken(taken, tmp_path) == []
    write(tmp_path, "fake/real.sh", "exit 1\n")
    (tmp_path / "bin").unlink()
    (tmp_path / "bin").symlink_to("fake")
    assert broken(taken, tmp_path) == ["the gate was edited: bin changed"]


TOOLS: dict[str, tuple[str, dict[str, str], dict[str, str], dict[str, str]]] = {
    # name: (command, files, edits that are red, edits that are fine)
    "npm": (
        "npm test",
        {
            "package.json": '{"scripts": {"test": "jest", "lint": "x"}, "dependencies": {"a": "1"}}',
            "src/a.test.ts": "1",
            "src/__snapshots__/a.snap": "1",
        },
        {
            "package.json": '{"scripts": {"test": "true", "lint": "x"}}',
            "src/a.test.ts": "2",
            "src/__snapshots__/a.snap": "2",
            "jest.config.js": "1",
            ".npmrc": "script-shell=true",
            "b.test.js": "process.exit(0)",
        },
        {
            "package.json": '{"scripts": {"test": "jest", "lint": "x", "build": "y"}, "dependencies": {"b": "1"}}',
            "src/b.test.ts": "1",
            "src/index.ts": "1",
            "package-lock.json": "{}",
            "conftest.py": "",
        },
    ),
    "npm without a package": (
        "npm test",
        {"a.js": "1"},
        {"package.json": '{"scripts": {"test": "true"}}'},
        {"a.js": "2"},
    ),
    "npm hooks": (
        "npm run check",
        {"package.json": '{"scripts": {"check": "node c.js"}}', "c.js": "1"},
        {"package.json": '{"scripts": {"check": "node c.js", "precheck": "true"}}', "c.js": "2"},
        {"package.json": '{"scripts": {"check": "node c.js", "prettify": "x"}}'},
    ),
    "vitest": ("npx vitest run", {"a.spec.ts": "1"}, {"a.spec.ts": "2", "vite.config.ts": "1"}, {"b.spec.ts": "1"}),
    "go": (
        "go test ./...",
        {"go.mod": "module x\n", "a_test.go": "package a\n", "testdata/x": "1"},
        {
            "a_test.go": "package b\n",
            "testdata/x": "2",
            "go.mod": "module x\nreplace a => ./b\n",
            "m_test.go": "package a\nfunc TestMain(m *testing.M) {}\n",
            "go.work": "",
        },
        {"b_test.go": "package a\n", "a.go": "package a\n", "go.mod": "module x\nrequire y v1\n"},
    ),
    "cargo": (
        "cargo test",
        {"Cargo.toml": '[package]\nname="x"\n', "tests/a.rs": "1"},
        {"tests/a.rs": "2", ".cargo/config.toml": "", "Cargo.toml": '[package]\nname="x"\n[[test]]\nharness=false\n'},
        {"src/lib.rs": "1", "tests/b.rs": "1", "Cargo.toml": '[package]\nname="x"\n[dependencies]\ny="1"\n'},
    ),
    "make": (
        "make test",
        {"Makefile": "test:\n\t@python -m pytest -q\n", "tests/test_a.py": "1"},
        {"Makefile": "test:\n", "GNUmakefile": "test:\n", "tests/test_a.py": "2", "conftest.py": ""},
        {"a.py": "1", "tests/test_b.py": "1"},
    ),
    "make added": ("make test", {"a.c": ""}, {"Makefile": "test:\n", "sub/Makefile": ""}, {"a.c": "1"}),
    "gradle": (
        "./gradlew test",
        {"gradlew": "#!/bin/sh\n", "build.gradle": "1", "app/src/test/A.java": "1"},
        {"gradlew": "", "build.gradle": "2", "app/src/test/A.java": "2", "gradle/wrapper/x.jar": "1"},
        {"app/src/main/A.java": "1", "app/src/test/B.java": "1"},
    ),
    "rspec": (
        "bundle exec rspec",
        {"spec/a_spec.rb": "1"},
        {"spec/a_spec.rb": "2", ".rspec": "--dry-run"},
        {"spec/b_spec.rb": "1", "lib/a.rb": "1"},
    ),
    "phpunit": (
        "vendor/bin/phpunit",
        {"tests/ATest.php": "1", "phpunit.xml": "1"},
        {"tests/ATest.php": "2", "phpunit.xml": "2"},
        {"src/A.php": "1", "tests/BTest.php": "1"},
    ),
    "uv": (
        "uv run --with x pytest -q",
        {"tests/test_a.py": "1"},
        {"tests/test_a.py": "2", "conftest.py": ""},
        {"a.py": "1"},
    ),
    "unittest": ("python -m unittest", {"test_a.py": "1"}, {"test_a.py": "2", "unittest.py": ""}, {"a.py": "1"}),
    "django": (
        "python manage.py test",
        {"manage.py": "1", "app/tests.py": "1"},
        {"app/tests.py": "2", "manage.py": "2"},
        {},
    ),
    "mypy": (
        "mypy .",
        {"pyproject.toml": "[tool.mypy]\nstrict = true\n"},
        {"pyproject.toml": "[tool.mypy]\n", "mypy.ini": "[mypy]\n"},
        {"a.py": "1"},
    ),
    "tox": (
        "tox -e py",
        {"tox.ini": "[testenv]\n", "tests/test_a.py": "1"},
        {"tox.ini": "[testenv]\nx=1\n"},
        {"a.py": "1"},
    ),
}


@pytest.mark.parametrize("tool", TOOLS)
def test_each_tools_own_tests_and_configuration_are_sealed(tmp_path: Path, tool: str) -> None:
    command, files, red, fine = TOOLS[tool]
    for number, (name, text) in enumerate([*red.items(), *fine.items()]):
        root = tmp_path / str(number)
        for path, content in files.items():
            write(root, path, content)
        taken = seal(root, command)
        assert broken(taken, root) == []
        write(root, name, text)
        found = broken(taken, root)
        if number < len(red):
            assert any(name in sentence for sentence in found), (name, found)
        else:
            assert found == [], name


def test_a_command_in_a_mapping_is_read_too(repo: Path) -> None:
    taken = take_seal(repo, [Check("command", {"run": PYTEST, "timeout": 60})], Policy())
    write(repo, "conftest.py")
    assert broken(taken, repo) == ["the gate was edited: conftest.py was added"]


def test_a_command_in_a_subfolder_seals_the_whole_workspace(repo: Path) -> None:
    write(repo, "sub/check.sh", "exit 1\n")
    taken = take_seal(repo, [Check("command", "./check.sh && pytest")], Policy(), cwd=repo / "sub")
    write(repo, "sub/check.sh", "exit 0\n")
    write(repo, "sub/json.py")
    write(repo, "conftest.py")
    assert broken(taken, repo) == [
        "the gate was edited: sub/check.sh changed",
        "the gate was edited: conftest.py was added",
        "the gate was edited: sub/json.py was added and hides the module 'json'",
    ]


def test_a_seal_survives_being_written_down(repo: Path) -> None:
    taken = seal(repo, protect=("*.md",))
    again = Seal.from_json(json.loads(json.dumps(taken.to_json())))
    assert again == taken
    write(repo, "conftest.py")
    write(repo, "tests/test_calc.py", "")
    assert broken(again, repo) == broken(taken, repo) != []


def test_a_retry_has_the_seal_of_the_first_attempt(repo: Path, tmp_path: Path) -> None:
    path, checks = tmp_path / "run" / "seal.json", [Check("command", PYTEST)]
    first = step_seal(path, repo, checks, Policy())
    write(repo, "tests/test_calc.py", "def test(): pass\n")
    again = step_seal(path, repo, checks, Policy(), known=digest(first))
    assert again == first
    assert broken(again, repo) == ["the gate was edited: tests/test_calc.py changed"]


def test_a_kept_seal_that_was_replaced_or_broken_is_not_believed(repo: Path, tmp_path: Path) -> None:
    path, checks = tmp_path / "seal.json", [Check("command", PYTEST)]
    known = digest(step_seal(path, repo, checks, Policy()))
    write(repo, "tests/test_calc.py", "def test(): pass\n")
    path.unlink()
    with pytest.raises(RunnerError, match="is not the one that was taken"):
        step_seal(path, repo, checks, Policy(), known=known)
    path.write_text("{}")
    with pytest.raises(RunnerError, match="can't be read"):
        step_seal(path, repo, checks, Policy())


def test_hooks_of_a_linked_worktree_are_those_of_its_repository(repo: Path, tmp_path: Path) -> None:
    git("-c", "user.name=x", "-c", "user.email=x@y", "commit", "-q", "--allow-empty", "-m", "x")(repo)
    tree = tmp_path / "tree"
    git("worktree", "add", "-q", "--detach", str(tree))(repo)
    write(tree, "tests/test_a.py", "1")
    taken = seal(tree)
    write(repo, ".git/hooks/post-checkout", "#!/bin/sh\n")
    assert broken(taken, tree) == ["the gate was edited: .git/hooks/post-checkout was added"]
    (repo / ".git/hooks/post-checkout").unlink()
    assert broken(taken, tree) == []
    (tree / ".git").write_text(f"gitdir: {tmp_path}/elsewhere\n")
    assert any(".git changed" in sentence for sentence in broken(taken, tree))


def test_names_with_control_characters_stay_on_one_line(repo: Path) -> None:
    taken = seal(repo)
    write(repo, "a\nb/conftest.py")
    assert broken(taken, repo) == ["the gate was edited: 'a\\nb/conftest.py' was added"]


def test_a_pipe_in_a_tests_place_is_seen_and_not_waited_for(repo: Path) -> None:
    taken = seal(repo)
    (repo / "tests/test_calc.py").unlink()
    os.mkfifo(repo / "tests/test_calc.py")
    assert broken(taken, repo) == ["the gate was edited: tests/test_calc.py changed"]


@pytest.mark.parametrize(
    "command", ["'unclosed", "a && ( b", "$(", "", "cd", "make -C", "python -m", "\0", "python " * 3000]
)
def test_no_command_breaks_the_seal(tmp_path: Path, command: str) -> None:
    write(tmp_path, "a.py", "1")
    assert broken(seal(tmp_path, command), tmp_path) == []


def test_twenty_thousand_files_are_sealed_and_compared_quickly(tmp_path: Path) -> None:
    for folder in range(200):
        place = tmp_path / ("tests" if folder % 4 == 0 else "src") / f"m{folder}"
        place.mkdir(parents=True)
        for number in range(100):
            (place / f"f{number}.py").write_text("x = 1\n")
    began = time.process_time()
    taken = seal(tmp_path)
    assert broken(taken, tmp_path) == []
    seconds = time.process_time() - began
    assert len(taken.files) == 5000
    assert seconds < 1.5
