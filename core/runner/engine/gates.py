"""What test tools read: the files that are tests, and those whose presence or content decides what a gate says."""

from __future__ import annotations

import sys
from dataclasses import dataclass
from typing import Final


@dataclass(frozen=True, slots=True)
class Family:
    """Tools that read the same files.

    `words`: programs (or modules, or task names) that mean it. `tests`: names of its tests, `folders`:
    folders that are tests as a whole. `config`, `config_folders`: configuration, sealed and red when
    added. `sections`: configuration of which only some sections count. `above`: names that it also
    looks for in the folders above. `brings`: other families. Names are globs, at any level.
    """

    words: frozenset[str]
    tests: tuple[str, ...] = ()
    folders: tuple[str, ...] = ()
    config: tuple[str, ...] = ()
    config_folders: tuple[str, ...] = ()
    sections: tuple[str, ...] = ()
    above: tuple[str, ...] = ()
    brings: tuple[str, ...] = ()


def names(text: str) -> frozenset[str]:
    """The words of a text, as a set."""
    return frozenset(text.split())


def _family(words: str, **lists: str) -> Family:
    return Family(names(words), **{name: tuple(text.split()) for name, text in lists.items()})


FAMILIES: Final = {
    "python": _family("python python2 python3 pypy pypy3", config="sitecustomize.* usercustomize.* *.pth"),
    "pytest": _family(
        "pytest py.test tox nox unittest trial nose2 coverage ward green behave robot pre-commit",
        tests="test_*.py *_test.py tests.py *.feature",
        folders="test tests testing testdata",
        config="conftest.* pytest.ini .pytest.ini pytest.toml .pytest.toml tox.ini tox.toml noxfile.py .coveragerc"
        " .pre-commit-config.yaml",
        sections="pyproject.toml setup.cfg",
        above="conftest.py pytest.ini .pytest.ini pytest.toml .pytest.toml tox.ini setup.cfg pyproject.toml",
        brings="python",
    ),
    "node": _family(
        "npm yarn pnpm bun npx",
        config=".npmrc .yarnrc .yarnrc.yml bunfig.toml",
        sections="package.json",
        above="package.json .npmrc .yarnrc.yml",
    ),
    "jest": _family(
        "jest vitest mocha ava jasmine karma tap c8 nyc cypress playwright wdio testcafe react-scripts",
        tests="*.test.* *.spec.* *.cy.* *.snap",
        folders="__tests__ __snapshots__ __mocks__ test tests e2e spec cypress",
        config="jest.config.* jest.setup.* jest.preset.* vitest.config.* vitest.workspace.* vitest.setup.*"
        " vite.config.* babel.config.* .babelrc .babelrc.* .mocharc* ava.config.* karma.conf.* jasmine.json .taprc"
        " .nycrc* .c8rc* playwright.config.* cypress.config.* wdio.conf.*",
        above="package.json babel.config.js babel.config.json jest.config.js vitest.config.ts .npmrc",
        brings="node",
    ),
    "deno": _family("deno", tests="*_test.ts *_test.js *.test.ts *.test.js", config="deno.json deno.jsonc"),
    "go": _family(
        "go gotestsum", tests="*_test.go", folders="testdata", config="go.work", sections="go.mod", above="go.work"
    ),
    "cargo": _family(
        "cargo cargo-nextest",
        tests="*.snap",
        folders="tests benches",
        config="build.rs rust-toolchain rust-toolchain.toml nextest.toml",
        config_folders=".cargo",
        sections="Cargo.toml",
        above=".cargo/config.toml .cargo/config Cargo.toml",
    ),
    "gradle": _family(
        "gradle gradlew",
        folders="src/test src/androidTest src/*Test",
        config="build.gradle build.gradle.kts settings.gradle settings.gradle.kts gradle.properties gradlew"
        " init.gradle",
        config_folders="gradle buildSrc",
        above="settings.gradle settings.gradle.kts",
    ),
    "maven": _family("mvn mvnw", folders="src/test src/it", config="pom.xml mvnw", config_folders=".mvn"),
    "ruby": _family(
        "rspec rake minitest cucumber",
        tests="*_spec.rb *_test.rb",
        folders="spec test features",
        config=".rspec Rakefile .rspec-local .simplecov",
    ),
    "php": _family(
        "phpunit pest composer paratest",
        tests="*Test.php",
        folders="tests",
        config="phpunit.xml phpunit.xml.dist phpunit.dist.xml",
        sections="composer.json",
    ),
    "dotnet": _family(
        "dotnet", tests="*Test.cs *Tests.cs", config="*.runsettings Directory.Build.props Directory.Build.targets"
    ),
    "elixir": _family("mix", tests="*_test.exs", folders="test", config="mix.exs .formatter.exs"),
    "swift": _family("swift xcodebuild", tests="*.xctestplan", folders="*Tests", config="Package.swift"),
    "cmake": _family("ctest cmake", folders="test tests", config="CMakeLists.txt *.cmake CTestConfig.cmake"),
    "bats": _family("bats", tests="*.bats", folders="test tests"),
    "make": _family("make gmake bmake", config="Makefile makefile GNUmakefile BSDmakefile *.mk"),
    "just": _family("just", config="justfile Justfile .justfile"),
    "task": _family("task", config="Taskfile.yml Taskfile.yaml Taskfile.dist.yml"),
    "ruff": _family("ruff", config="ruff.toml .ruff.toml", sections="pyproject.toml", above="ruff.toml .ruff.toml"),
    "mypy": _family("mypy", config="mypy.ini .mypy.ini", sections="pyproject.toml setup.cfg", brings="python"),
    "flake8": _family(
        "flake8 pylint", config=".flake8 .pylintrc pylintrc tox.ini", sections="pyproject.toml setup.cfg"
    ),
    "eslint": _family(
        "eslint prettier biome",
        config="eslint.config.* .eslintrc* .eslintignore .prettierrc* .prettierignore biome.json biome.jsonc",
        brings="node",
    ),
    "tsc": _family("tsc vue-tsc", config="tsconfig*.json jsconfig.json", brings="node"),
}
"""Families by name. A tool of which nothing is known here is sealed by its script and by `protect`."""

WORDS: Final = {word: name for name, family in FAMILIES.items() for word in family.words}

ANYWHERE: Final = names("pytest _pytest pluggy")
"""Modules that no other file may be named as, at any level."""

SHADOWS: Final = ANYWHERE | names(
    "iniconfig packaging pygments exceptiongroup tomli py xdist execnet coverage pytest_cov pytest_timeout"
    " pytest_asyncio pytest_mock anyio hypothesis tox nox nose2 mock six attr attrs setuptools pkg_resources pip"
    " distutils"
)
"""Modules of test tools: a file of that name in a folder on Python's path is run instead of them."""

STANDARD: Final = sys.stdlib_module_names - names("test this antigravity __main__ __future__ turtle")
"""Modules of Python: a file of that name in a folder on its path is run instead. `test` is left to tests."""

TRICKS: Final = {
    ".py": r"\bos\s*\.\s*_exit\b|\bpytest\s*\.\s*exit\b|^\s*pytest_plugins\b|\bimport\s+_exit\b",
    ".go": r"^func\s+TestMain\s*\(",
    ".js": r"\bprocess\s*\.\s*(?:exit|reallyExit|kill)\b",
}
"""In an added test these end or take over the whole run: such a file alters the gate."""

VOLATILE: Final = ("*.pyc", "*.pyo", "*.log", "*.tmp", "*.swp", "*.db", "*.sqlite", "*.sqlite3", "*.orig", ".DS_Store")
"""Files beside tests that test runs write."""

SKIPPED: Final = names(
    ".git node_modules __pycache__ .tox .nox .pytest_cache .mypy_cache .ruff_cache .hypothesis .eggs .gradle .terraform"
    " .next .nuxt .turbo .svn .hg .jj"
)
"""Folders of tools' own files: not looked into."""
