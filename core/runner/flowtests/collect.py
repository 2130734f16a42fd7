"""Finds the cases: the files, what is written in them and where, and what of it means nothing in the workflow."""

from __future__ import annotations

import os
import re
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from pydantic import ValidationError

from runner.config.complaints import complaint
from runner.config.yamlfile import parse_yaml
from runner.errors import ConfigError, UsageError, suggestion
from runner.flowtests.model import Case, FlowTest
from runner.flowtests.player import bare, fits
from runner.workflows.finding import SUFFIXES
from runner.workflows.load import place_of
from runner.workflows.payload import library, values_of
from runner.workflows.problems import problems

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping, Sequence

    from runner.app import App
    from runner.workflows.load import Loaded, Place
    from runner.workflows.nodes import Node

FOLDERS: Final = ("workflows", ".runner/workflows", "tests")
"""Where tests are looked for when no path is given."""
_JOINED: Final = ("params", "files", "agents", "answers", "env")
_IS_ONE: Final = re.compile(r"^workflow\s*:", re.MULTILINE)


@dataclass(frozen=True, slots=True)
class Steps:
    """The steps of a workflow, by their paths without rounds, and what its agents are called."""

    nodes: Mapping[str, Node]
    called: Mapping[str, tuple[str, ...]]
    alias: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Collected:
    """One case that can be run. `id` is `FILE::NAME`, `case` has what the file says for all cases in it."""

    id: str
    file: Path
    case: Case
    number: int
    places: Mapping[Place, str]
    loaded: Loaded
    values: Mapping[str, str]
    steps: Steps

    def place(self, *path: str | int) -> str:
        """`file:line:column` of a value of the case: its own, else the file's for all, else the nearest around it."""
        for whole in (("cases", self.number, *path), path):
            if whole and whole in self.places:
                return self.places[whole]
        return place_of(self.places, ("cases", self.number, *path))


def find_files(paths: Sequence[str], root: Path) -> list[tuple[Path, str]]:
    """The files of tests, each with the name of the one case that is wanted ("" is all of them)."""
    if not paths:
        found = [one for name in FOLDERS for one in _below(root / name, sure=name != "tests")]
        return [(one, "") for one in dict.fromkeys(found)]
    files: list[tuple[Path, str]] = []
    for text in paths:
        name, _, case = text.partition("::")
        path = Path(name)
        if path.is_dir():
            files += [(one, case) for one in _below(path, sure=True)]
        elif path.is_file():
            files.append((path, case))
        else:
            raise UsageError(f"there is no file or folder '{name}'", "name a test_*.yaml, or a folder with some")
    return list(dict.fromkeys(files))


def _below(folder: Path, *, sure: bool) -> Iterator[Path]:
    """Tests in a folder and those in it; where other things are as well, only what says `workflow:`."""
    for path in sorted(folder.rglob("test_*")):
        if path.suffix not in SUFFIXES or not path.is_file():
            continue
        if sure or _IS_ONE.search(path.read_text(encoding="utf-8", errors="replace")):
            yield path


def read_file(path: Path) -> tuple[FlowTest, dict[Place, str]]:
    """One file of tests, and where each value of it stands; ConfigError names file, line and column."""
    shown = os.path.relpath(path)
    try:
        text = path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigError(f"{shown}: {getattr(error, 'strerror', None) or 'not UTF-8'}") from None
    document = parse_yaml(text, shown)
    if not isinstance(document.data, dict):
        raise ConfigError(f"{shown}:1: workflow tests are a mapping with `workflow` and `cases`")
    places: dict[Place, str] = {key: f"{shown}:{line}:{column}" for key, (line, column) in document.places.items()}
    try:
        return FlowTest.model_validate(document.data), places
    except ValidationError as error:
        details = error.errors(include_url=False)[0]
        message, hint = complaint(details, FlowTest, lambda where: place_of(places, _written(where, places)))
        raise ConfigError(re.sub(r"\.plays\b(\.0\b)?", "", message), hint.replace("copy_", "copy")) from None


def _written(where: Place, places: Mapping[Place, str]) -> Place:
    """Where in the file a value of the model stands: an agent's plays are what stands there, or the list of them."""
    if "agents" not in where or "plays" not in where:
        return where
    at = where.index("plays", where.index("agents"))
    before, after = where[:at], where[at + 1 :]
    return before + after if (*before, *after[:1]) in places else before + after[1:]


def collect(app: App, files: Iterable[tuple[Path, str]], cwd: Path) -> tuple[list[Collected], list[ConfigError]]:
    """The cases in order, and what is wrong with files or their workflows."""
    cases: list[Collected] = []
    wrong: list[ConfigError] = []
    for path, wanted in files:
        try:
            cases += _cases(app, path, wanted, cwd)
        except ConfigError as error:
            wrong.append(error)
    return cases, wrong


def _cases(app: App, path: Path, wanted: str, cwd: Path) -> list[Collected]:
    test, places = read_file(path)
    loaded = _workflow(app, path, test, places, cwd)
    steps = steps_of(loaded)
    known = [case.name for case in test.cases]
    if wanted and wanted not in known:
        raise ConfigError(f"{os.path.relpath(path)}: no case is called '{wanted}'", suggestion(wanted, known))
    found = []
    for number, case in enumerate(test.cases):
        if wanted in ("", case.name):
            name = f"{os.path.relpath(path)}::{case.name}"
            made = Collected(name, path, _whole(test, case), number, places, loaded, {}, steps)
            found.append(_checked(app, made))
    return found


def _workflow(app: App, path: Path, test: FlowTest, places: Mapping[Place, str], cwd: Path) -> Loaded:
    """The workflow that a file tests; what is wrong with it is told as wrong with the file."""
    place = place_of(places, ("workflow",))
    shelf = library(app, cwd)
    near = Path(os.path.relpath(path.parent / test.workflow))
    name = test.workflow
    for suffix in ("", *SUFFIXES):
        file = near.with_name(near.name + suffix)
        if file.suffix in SUFFIXES and file.is_file():
            name = os.fspath(file)
            break
    if name == test.workflow and (name.endswith(SUFFIXES) or os.sep in name):
        raise ConfigError(f"{place}: there is no workflow file '{near}'", "name it relative to this file")
    try:
        loaded = shelf.load(name if os.sep in name or not name.endswith(SUFFIXES) else f".{os.sep}{name}")
    except ConfigError as error:
        raise ConfigError(f"{place}: {error.message}", error.hint) from None
    errors = [one for one in problems(app, loaded) if not one.warning]
    if errors:
        where = f"{errors[0].place}: " if errors[0].place else ""
        raise ConfigError(f"{place}: {where}{errors[0].message}", errors[0].hint)
    return loaded


def _whole(test: FlowTest, case: Case) -> Case:
    """The case with what the file says for all of them."""
    joined: dict[str, Any] = {name: {**getattr(test, name), **getattr(case, name)} for name in _JOINED}
    joined["copy_"] = (*test.copy_, *case.copy_)
    joined["timeout"] = case.timeout or test.timeout
    return case.model_copy(update=joined)


def steps_of(loaded: Loaded) -> Steps:
    """What the names in a test may mean."""
    nodes = dict(_walk(loaded.root, ""))
    called = {
        path: tuple({str(node.definition[key]) for key in ("agent", "cli") if node.definition.get(key)})
        for path, node in nodes.items()
    }
    agents = loaded.source.workflow.agents
    return Steps(nodes, called, {name: use.cli or name for name, use in agents.items()})


def _walk(node: Node, path: str) -> Iterator[tuple[str, Node]]:
    for child in node.children:
        here = f"{path}/{child.id}" if path else child.id
        yield here, child
        yield from _walk(child, here)


def _checked(app: App, one: Collected) -> Collected:
    """The case; ConfigError for a step, agent, folder or parameter in it that is not there."""
    case, steps = one.case, one.steps
    agents = {*app.agents, *steps.alias, *(name for names in steps.called.values() for name in names)}
    for key in case.agents:
        step, at, agent = key.rpartition("@")
        if at and agent not in agents:
            raise ConfigError(f"{one.place('agents', key)}: no agent is called '{agent}'", suggestion(agent, agents))
        if at or key not in agents:
            _known(one, step if at else key, "agents", key, more=() if at else agents)
    for key in case.answers:
        _known(one, key, "answers", key)
    expect = case.expect
    for name in ("steps", "outcomes", "attempts", "output", "prompts"):
        for key in getattr(expect, name):
            _known(one, key, "expect", name, key)
    for name in ("ran", "not_ran"):
        for number, key in enumerate(getattr(expect, name)):
            _known(one, key, "expect", name, number)
    for number, chain in enumerate(expect.order):
        for nth, key in enumerate(chain):
            _known(one, key, "expect", "order", number, nth)
    outputs = one.loaded.root.outputs
    for name in expect.outputs:
        if name not in outputs:
            place = one.place("expect", "outputs", name)
            raise ConfigError(f"{place}: the workflow has no output '{name}'", suggestion(name, outputs))
    for number, name in enumerate(case.copy_):
        folder = one.file.parent / name
        if not folder.is_dir():
            raise ConfigError(f"{one.place('copy', number)}: there is no folder '{os.path.relpath(folder)}'")
    try:
        values = values_of(one.loaded, case.params)
    except UsageError as error:
        known = {param.name for param in one.loaded.params}
        foreign = [name for name in case.params if name not in known][:1]
        hint = error.hint if foreign else f"case '{case.name}': write it in `params`"
        raise ConfigError(f"{one.place('params', *foreign)}: {error.message}", hint) from None
    return Collected(one.id, one.file, case, one.number, one.places, one.loaded, values, steps)


def _known(one: Collected, key: str, *path: str | int, more: Iterable[str] = ()) -> None:
    """ConfigError when no step can have this path."""
    if not any(fits(bare(key), step) for step in one.steps.nodes):
        what = "step or agent" if more else "step"
        raise ConfigError(
            f"{one.place(*path)}: the workflow '{one.loaded.source.workflow.name}' has no {what} '{key}'",
            suggestion(key, {*one.steps.nodes, *more}),
        )
