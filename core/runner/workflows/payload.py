"""The payload of a task that is a workflow: which one, with what, and what people have decided about it since."""

from __future__ import annotations

import os
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from runner.errors import UsageError, suggestion
from runner.project import config_home
from runner.workflows.finding import find
from runner.workflows.load import load, parse, text_of

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from runner.app import App
    from runner.workflows.load import Loaded, Source

FOLDERS = (".runner/workflows", "workflows")
"""Where in a project workflows are looked up by name; then in the user's own folder."""


@dataclass(frozen=True, slots=True)
class Library:
    """Where workflow files come from: `texts` as they were when the run was submitted, else the disk."""

    app: App
    folders: tuple[Path, ...]
    texts: Mapping[str, str] = field(default_factory=dict)

    def source(self, path: Path) -> Source:
        """Read one file, in whatever dialect a plugin knows; ConfigError names file, line and column."""
        shown = os.path.relpath(path)
        text = self.texts.get(os.path.realpath(path))
        if text is None:
            text = text_of(path, shown)
        found: Source | None = self.app.hook.load_workflow(path=path, text=text)
        return found if found is not None else parse(text, path, shown)

    def load(self, name: str) -> Loaded:
        """The workflow of that name or file; ConfigError for whatever can be known to be wrong with it."""
        return load(self.find(name), self.folders, self.source, self.texts)

    def find(self, name: str) -> Path:
        """The file of a workflow."""
        return find(name, self.folders, self.texts)


def library(app: App, cwd: Path, texts: Mapping[str, str] | None = None) -> Library:
    """The workflows that can be named in a folder of a project."""
    here = [cwd / folder for folder in FOLDERS]
    project = [app.project.root / folder for folder in FOLDERS]
    own = [config_home() / "workflows"]
    return Library(app, tuple(dict.fromkeys([*here, *project, *own])), texts or {})


def texts_of(loaded: Loaded) -> dict[str, str]:
    """The texts of all files that a workflow is made of, by their real paths."""
    return {os.path.realpath(path): text for path, text in loaded.files.items()}


def values_of(loaded: Loaded, given: Mapping[str, Any]) -> dict[str, str]:
    """The parameters' values: what is given, else the defaults; UsageError for one that is missing or unknown."""
    known = {param.name: param for param in loaded.params}
    name = loaded.source.workflow.name
    for key in given:
        if key not in known:
            hint = suggestion(key, known) if known else "it has no parameters"
            raise UsageError(f"workflow '{name}' has no parameter '{key}'", hint)
    missing = [key for key, param in known.items() if param.needed and key not in given]
    if missing:
        raise UsageError(f"workflow '{name}' needs the parameter '{missing[0]}'", f"give --param {missing[0]}=VALUE")
    return {key: str(given[key]) if key in given else param.default or "" for key, param in known.items()}


def payload_of(name: str, loaded: Loaded, values: Mapping[str, str]) -> dict[str, Any]:
    """The payload of a run: with the texts of its files as they are now, so that it is the same wherever it goes on."""
    path = os.path.realpath(loaded.source.path)
    known_as = loaded.source.workflow.name
    return {"workflow": name, "params": dict(values), "_name": known_as, "_path": path, "_files": texts_of(loaded)}
