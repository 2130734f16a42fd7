"""What a project is: the nearest folder with `.runner/`, its id, and its state folder outside the checkout."""

from __future__ import annotations

import json
import os
import re
from dataclasses import dataclass
from pathlib import Path

from runner.errors import ConfigError, UsageError
from runner.ids import new_id

POINTER = Path(".runner") / "project.json"
_OWNER = "project.json"
"""In a state folder: the root of its project, so that a lost pointer can be made anew."""
_ID = re.compile(r"[a-z0-9][a-z0-9._-]{0,63}")


@dataclass(frozen=True, slots=True)
class Project:
    """A scope of work. `root` holds `.runner/`; `state` holds what git must never clean away.

    `root` is absolute with symlinks resolved. `state` is `$XDG_STATE_HOME/runner/<id>/`: `store.db`, `runs/`,
    `worktrees/`, `artifacts/`. It may not exist yet; `prepare()` makes it, readable by the owner alone.
    """

    root: Path
    id: str
    state: Path

    @property
    def default_store(self) -> str:
        """The URL of the store that is used when nothing else is configured."""
        return f"sqlite:///{self.state / 'store.db'}"

    @property
    def default_artifacts(self) -> str:
        """The URL of the artifact store that is used when nothing else is configured."""
        return f"file://{self.state / 'artifacts'}"

    def prepare(self) -> Path:
        """Make the state folder when it is missing, and write down in it whose it is → its path."""
        make_folder(self.state)
        if _root_of(self.state) != str(self.root):
            draft = self.state / f"{_OWNER}.{os.getpid()}"
            draft.write_text(json.dumps({"root": str(self.root)}) + "\n", encoding="utf-8")
            draft.replace(self.state / _OWNER)
        return self.state


def home() -> Path:
    """The person's home folder."""
    try:
        return Path.home()
    except RuntimeError:
        raise UsageError("the home folder is unknown: HOME is not set", "set HOME or XDG_STATE_HOME") from None


def _xdg(variable: str, fallback: str) -> Path:
    # The XDG specification: a relative value is invalid and ignored.
    value = os.environ.get(variable, "")
    return (Path(value) if os.path.isabs(value) else home() / fallback) / "runner"


def state_root() -> Path:
    """`$XDG_STATE_HOME/runner`: the states of all projects of this person on this machine."""
    return _xdg("XDG_STATE_HOME", ".local/state")


def config_home() -> Path:
    """`$XDG_CONFIG_HOME/runner`: where the person's own `config.yaml` is."""
    return _xdg("XDG_CONFIG_HOME", ".config")


def shown(path: Path | str) -> str:
    """A path as people would type it: relative inside the current folder, absolute elsewhere."""
    try:
        here = os.path.realpath(os.getcwd())
    except OSError:
        return str(path)
    return os.path.relpath(path, here) if str(path).startswith(here + os.sep) else str(path)


def make_folder(folder: Path) -> None:
    """Make a folder for the owner alone, parents included; a UsageError when that can't be."""
    try:
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    except OSError as error:
        raise UsageError(
            f"can't make the folder {folder}: {error.strerror}", "make it writable, or set XDG_STATE_HOME"
        ) from None


def find_project(start: Path | str, *, named: bool = False) -> Project:
    """The project of `start`: the nearest folder upwards with `.runner/`; a UsageError when there is none.

    `$RUNNER_PROJECT_DIR` goes first, unless `start` was `named` by the person.
    """
    project = look_for_project(start, named=named)
    if project is None:
        place = Path(os.path.realpath(start))
        hint = "make one with: runner init"
        former = next((folder for folder in (place, *place.parents) if former_id(folder) is not None), None)
        if former is not None:
            hint = f"{former} was one, and its state is kept; take it up again with: runner init {former}"
        raise UsageError(f"no project in {place} or any folder above", hint)
    return project


def former_id(root: Path) -> str | None:
    """The id of the project that `root` was, by the newest state folder that says so."""
    try:
        states = [state for state in state_root().iterdir() if _root_of(state) == str(root)]
    except OSError:
        return None
    return max(states, key=lambda state: state.stat().st_mtime).name if states else None


def kept_project(id: str) -> Project | None:
    """The project of that id by its state folder alone; None when there is none."""
    if not _ID.fullmatch(id):
        return None
    root = _root_of(state_root() / id)
    return Project(Path(root), id, state_root() / id) if root is not None else None


def _root_of(state: Path) -> str | None:
    try:
        data = json.loads((state / _OWNER).read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return None
    root = data.get("root") if isinstance(data, dict) else None
    return root if isinstance(root, str) else None


def look_for_project(start: Path | str, *, named: bool = False) -> Project | None:
    """As `find_project`, but None when there is no project; a damaged one is still an error."""
    given = "" if named else os.environ.get("RUNNER_PROJECT_DIR", "")
    if given:
        root = os.path.realpath(given)
        if not os.path.isdir(os.path.join(root, ".runner")):
            raise UsageError(
                f"RUNNER_PROJECT_DIR is {given}, which has no .runner folder",
                f"make a project there: runner init {given}",
            )
        return read_project(Path(root))
    folder = os.path.realpath(start)
    while True:
        if os.path.isdir(os.path.join(folder, ".runner")):
            return read_project(Path(folder))
        parent = os.path.dirname(folder)
        if parent == folder:
            return None
        folder = parent


def read_project(root: Path) -> Project:
    """The project whose `.runner/` is in `root`."""
    pointer = root / POINTER
    try:
        with open(pointer, encoding="utf-8") as file:
            data = json.load(file)
    except FileNotFoundError:
        raise UsageError(
            f"{root} has a .runner folder but no {POINTER}", f"make it a project with: runner init {root}"
        ) from None
    except OSError as error:
        raise UsageError(f"can't read {pointer}: {error.strerror}", "check its permissions") from None
    except ValueError as error:
        raise ConfigError(f"{pointer}: not valid JSON: {error}", "delete it and run: runner init") from None
    id = data.get("id") if isinstance(data, dict) else None
    if not isinstance(id, str) or not _ID.fullmatch(id):
        raise ConfigError(
            f"{pointer}: 'id' must be lower-case letters, digits, '.', '_' or '-'", "delete it and run: runner init"
        )
    return Project(root, id, state_root() / id)


def create_project(root: Path, id: str | None = None) -> tuple[Project, bool]:
    """Make `root` a project, of that id when one is given → it, and whether it is new. An existing one stays."""
    if id is not None and not _ID.fullmatch(id):
        raise UsageError(f"'{id}' can't be a project's id", "use lower-case letters, digits, '.', '_' and '-'")
    root = Path(os.path.realpath(root))
    pointer = root / POINTER
    try:
        pointer.parent.mkdir(parents=True, exist_ok=True)
        new = not pointer.exists() and _write_once(pointer, json.dumps({"id": id or _name(root)}) + "\n")
    except OSError as error:
        reason = f"{error.filename} is a file" if isinstance(error, FileExistsError) else error.strerror
        raise UsageError(f"can't make a project in {root}: {reason}", "choose a folder you may write to") from None
    return read_project(root), new


def _write_once(path: Path, text: str) -> bool:
    # Written whole and then linked: of two that initialise at once one wins, and both read its id.
    draft = path.with_name(f"{path.name}.{os.getpid()}")
    draft.write_text(text, encoding="utf-8")
    try:
        os.link(draft, path)
    except FileExistsError:
        return False
    finally:
        draft.unlink()
    return True


def _name(root: Path) -> str:
    # Readable first, unique second: `ls $XDG_STATE_HOME/runner` should tell people whose state it is.
    slug = re.sub(r"[^a-z0-9]+", "-", root.name.lower()).strip("-")[:32].strip("-")
    return f"{slug or 'project'}-{new_id(8)}"
