"""The plugins of one App: which there are, where they came from, in which order they are loaded, and who is off."""

from __future__ import annotations

import importlib
import os
import sys
import threading
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import pluggy

from runner.entrypoints import scan
from runner.errors import PluginError, UsageError, suggestion
from runner.handlers import HandlerFile, handler_files, import_failure, import_file, misnamed_files, talking
from runner.hookcheck import check_hooks, implementations, split
from runner.hookspecs import Around, TheSix
from runner.lazyplugin import LazyPlugin
from runner.owners import Owner
from runner.project import shown
from runner.shipped import shipped

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence
    from pathlib import Path

    from runner.config import Config
    from runner.entrypoints import EntryPoint
    from runner.handlers import Handler
    from runner.project import Project

BUILT_IN: dict[str, tuple[str, ...]] = {
    "agent_aider": ("register_agents",),
    "agent_claude": ("register_agents",),
    "agent_codex": ("register_agents",),
    "agent_copilot": ("register_agents",),
    "agent_droid": ("register_agents",),
    "agent_gemini": ("register_agents",),
    "agent_goose": ("register_agents",),
    "agent_groq": ("register_agents",),
    "agent_opencode": ("register_agents",),
    "agent_qwen": ("register_agents",),
    "agent_script": ("register_agents",),
    "artifacts_local": ("open_artifact_store", "upload_artifact"),
    "checks_agent": ("register_checks", "verify"),
    "checks_command": ("register_checks", "verify"),
    "checks_exit_code": ("register_checks", "verify"),
    "checks_file_exists": ("register_checks", "verify"),
    "checks_git_changed": ("register_checks", "verify"),
    "checks_json_schema": ("register_checks", "verify"),
    "checks_no_diff": ("register_checks", "verify"),
    "checks_output_contains": ("register_checks", "verify"),
    "checks_pr_url": ("register_checks", "verify"),
    "claiming": ("claim",),
    "dialect_relay": ("load_workflow",),
    "engine_openspec": ("enrich_prompt", "register_checks", "validate_workflow", "verify"),
    "notify": ("configure", "on_event"),
    "repair": ("repair",),
    "routing": ("configure", "route"),
    "sqlite_store": ("open_store",),
    "postgres_store": ("open_store",),
    "steps_expand": ("register_types", "run_step"),
    "steps_gate": ("register_types", "run_step"),
    "steps_preflight": ("register_types", "run_step"),
    "steps_script": ("register_types", "run_step"),
    "steps_shell": ("register_types", "run_step"),
    "steps_worktree": ("register_types", "run_step"),
    "workflow_type": ("register_types",),
}
"""The built-in plugins: modules of `runner_plugins`, each with the hooks it implements (plain functions).

A line here is all that a new one takes. The module is imported when one of its hooks is first called;
of several that implement a hook, the first here is asked first, after everybody else's.
"""


@dataclass(frozen=True, slots=True)
class Record:
    """One line of `runner plugins`.

    `origin` is `built-in`, `entry point`, `configuration`, `-p`, `project plugin`, `shipped handler` or
    `project handler`; `source` its file or distribution. `state` is `on`, `off` or `broken`, `reason` why.
    """

    name: str
    origin: str
    source: str
    version: str = ""
    state: str = "on"
    reason: str = ""
    hooks: tuple[str, ...] = ()


class _Manager(pluggy.PluginManager):
    """pluggy's, which looks into every attribute of a plugin: most of what is spent on a small one is Python's own."""

    def parse_hookimpl_opts(self, plugin: object, name: str) -> Any:
        """None for a name that can't be a hook's."""
        return None if name.startswith("__") else super().parse_hookimpl_opts(plugin, name)


class Plugins:
    """A plugin manager with its specs, and everything that was loaded into it.

    `switches` are the values of `-p`: `no:NAME` or `NAME`. `lenient` notes what is broken instead of
    raising, so that `runner plugins` can show it. `warn` tells people about a plugin that was skipped.
    """

    def __init__(self, switches: Sequence[str], warn: Callable[[str], None], *, lenient: bool = False) -> None:
        self.manager = _Manager("runner")
        self.manager.add_hookspecs(TheSix)
        self.manager.add_hookspecs(Around)
        self.off = {name.removeprefix("no:") for name in switches if name.startswith("no:")}
        self.asked = [name for name in switches if not name.startswith("no:")]
        self.records: dict[str, Record] = {}
        self.problems: list[PluginError] = []
        self.handlers: dict[str, HandlerFile] = {}
        self._loaded: dict[str, Handler] = {}
        self._known: dict[int, object] = {}
        self.warn = warn
        self._lenient = lenient
        self._lock = threading.RLock()

    def load(self, project: Project | None, config: Config, *, code: bool) -> None:
        """Load all: built in, installed, asked for with -p, configured, and with `code` the project's own."""
        installed = scan() if _autoload() or self.asked or self.off else []
        files = plugin_files(project)
        for name, hooks in BUILT_IN.items():
            self._add_built_in(name, hooks, config)
        for entry in installed if _autoload() else ():
            self._attempt(_installed(entry), entry.load)
        for name in self.asked:
            self._load_asked(name, installed, files)
        self._load_configured(project, config, code)
        for name, path in files.items():
            if code and name not in self.asked:
                self._attempt(Record(name, "project plugin", shown(path)), _file(path))
        self._find_handlers(project, code)
        self._check_switches(installed, project, config)
        self._configure(config)

    def _add_built_in(self, name: str, hooks: tuple[str, ...], config: Config) -> None:
        record = Record(name, "built-in", f"runner_plugins.{name}", hooks=hooks)
        if name in self.off:
            record = replace(record, state="off", reason=f"-p no:{name}", hooks=())
        else:
            self.manager.register(LazyPlugin(record.source, hooks, config), name=name)
        self.records[name] = record

    def _load_asked(self, name: str, installed: Iterable[EntryPoint], files: dict[str, Path]) -> None:
        if name in self.records and self.records[name].state == "on":
            return
        self.records.pop(name, None)  # tried before and skipped; asked for, it is fatal
        entry = next((entry for entry in installed if entry.name == name), None)
        if entry is not None:
            self._attempt(_installed(entry), entry.load, by_name=True)
        elif name in files:
            self._attempt(Record(name, "project plugin", shown(files[name])), _file(files[name]), by_name=True)
        else:
            self._attempt(Record(name, "-p", name), _module(name), by_name=True)

    def _load_configured(self, project: Project | None, config: Config, code: bool) -> None:
        for i, name in enumerate(config.plugins):
            where = config.origin(f"plugins.{i}")
            # What the project's file names is the project's code; the person's own file and variables are theirs.
            of_project = project is not None and where.startswith(shown(project.root / "runner.yaml") + ":")
            if project is not None and of_project:
                if not code:
                    continue
                if str(project.root) not in sys.path:
                    sys.path.append(str(project.root))  # last: a project's file must not hide a library
            origin = "project plugin" if of_project else "configuration"
            self._attempt(Record(name, origin, where), _module(name), by_name=True)

    def _attempt(self, record: Record, importer: Callable[[], object], *, by_name: bool = False) -> None:
        """Import and register one; what can't be imported is fatal when asked for by name, else told and skipped."""
        if record.name in self.off:
            self.records[record.name] = replace(record, state="off", reason=f"-p no:{record.name}")
            return
        other = self.records.get(record.name)
        if other is not None:
            message = f"two plugins are called '{record.name}': {self.tell(record.name)} and {_tell(record)}"
            hint = f"rename one, or switch both off with -p no:{record.name}"
            self._broken(replace(record, name=f"{record.name} ({record.source})"), PluginError(message, hint))
            return
        try:
            with talking():
                plugin = importer()
        except (Exception, SystemExit) as error:
            text = error.message if isinstance(error, PluginError) else import_failure(error)
            problem = PluginError(f"plugin {_tell(record)} can't be imported: {text}")
            if by_name:
                self._broken(record, problem, text)
                return
            self.records[record.name] = replace(record, state="broken", reason=text)
            self.warn(f"{problem.message} (skipped; -p no:{record.name} switches it off)")
            return
        if id(plugin) in self._known:
            return  # The same module by another door.
        try:
            self.register(plugin, record.name)
        except PluginError as error:
            self._broken(record, error)
            return
        hooks = tuple(sorted({impl.hook for impl in implementations(plugin)}))
        self.records[record.name] = replace(record, hooks=hooks)

    def _broken(self, record: Record, error: PluginError, reason: str = "") -> None:
        if not self._lenient:
            raise error
        self.records[record.name] = replace(record, state="broken", reason=reason or str(error))
        self.problems.append(error)

    def register(self, plugin: object, name: str) -> None:
        """Register an object that is already there; PluginError for what is wrong with its hooks."""
        check_hooks(plugin, name)
        self._register(plugin, name)

    def _register(self, plugin: object, name: str) -> None:
        try:
            for suffix, part in split(plugin):
                self.manager.register(part, name=name + suffix)
        except (pluggy.PluginValidationError, ValueError) as error:
            raise PluginError(f"plugin '{name}': {' '.join(str(error).split())}") from None
        self._known[id(plugin)] = plugin

    def _configure(self, config: Config) -> None:
        try:
            self.manager.hook.configure(config=config)
        except PluginError as error:
            self._broken(Record("configure", "hook", ""), error)
        except Exception as error:
            self._broken(Record("configure", "hook", ""), PluginError(f"configure failed: {import_failure(error)}"))

    def _find_handlers(self, project: Project | None, code: bool) -> None:
        found = {type: [file] for type, file in handler_files(shipped("handlers"), "shipped handler").items()}
        if project is not None and code:
            for name in misnamed_files(project.root / "handlers"):
                where = shown(project.root / "handlers" / name)
                self.warn(f"{where} is no handler: a type is called by letters, digits, '-' and '_' (rename the file)")
            for type, file in handler_files(project.root / "handlers", "project handler").items():
                if type in found and os.path.samefile(found[type][0].path, file.path):
                    continue  # The project is the checkout of runner itself.
                found.setdefault(type, []).append(file)
        for files in found.values():
            *overridden, file = files
            record = Record(file.name, file.origin, shown(file.path))
            if self.off & {file.name, file.type}:
                self.records[file.name] = replace(record, state="off", reason=f"-p no:{file.type}")
                continue
            self.handlers[file.type] = file
            for other in overridden:
                record = replace(record, reason=f"overrides {file.type} of {shown(other.path)}")
            self.records[file.name] = record

    def load_handler(self, type: str) -> Handler:
        """The handler of a type, imported and registered on first use."""
        with self._lock:
            if type not in self._loaded:
                file = self.handlers[type]
                handler = file.load()
                self._register(handler, file.name)
                self._loaded[type] = handler
                hooks = tuple(sorted({impl.hook for impl in implementations(handler)}))
                self.records[file.name] = replace(self.records[file.name], hooks=hooks)
            return self._loaded[type]

    def load_all(self) -> None:
        """Import every handler and built-in plugin, to show what each is; a broken one is a line in the records."""
        for name in BUILT_IN:
            try:
                check_hooks(importlib.import_module(f"runner_plugins.{name}"), name)
            except Exception as error:
                text = error.message if isinstance(error, PluginError) else import_failure(error)
                self.records[name] = replace(self.records[name], state="broken", reason=text)
        for type, file in self.handlers.items():
            try:
                self.load_handler(type)
            except PluginError as error:
                self.records[file.name] = replace(self.records[file.name], state="broken", reason=str(error))

    def handler_checks(self) -> dict[str, Owner]:
        """The checks of the handlers that are loaded."""
        with self._lock:
            return {
                name: Owner(f"handlers.{type}", handler, spec)
                for type, handler in self._loaded.items()
                for name, spec in handler.checks().items()
            }

    def origin(self, name: str) -> str:
        """The origin of a plugin: `built-in`, `project plugin` …"""
        return self.records[name].origin if name in self.records else "registered"

    def tell(self, name: str) -> str:
        """A plugin as messages name it: `'mine' (project plugin plugins/mine.py)`."""
        return _tell(self.records[name]) if name in self.records else f"'{name}'"

    def note(self, name: str, text: str) -> None:
        """Add a remark to a plugin's line in `runner plugins`."""
        record = self.records.get(name)
        if record is not None and text not in record.reason:
            self.records[name] = replace(record, reason="; ".join(filter(None, (record.reason, text))))

    def _check_switches(self, installed: Iterable[EntryPoint], project: Project | None, config: Config) -> None:
        if not self.off:
            return
        folders = [shipped("handlers")] + ([project.root / "handlers"] if project is not None else [])
        types = {type for folder in folders for type in handler_files(folder, "")}
        known = {*BUILT_IN, *config.plugins, *plugin_files(project), *(entry.name for entry in installed), *types}
        for name in self.off:
            if name.removeprefix("handlers.") not in known:
                raise UsageError(f"-p no:{name}: there is no plugin '{name}'", suggestion(name, known))


def plugin_files(project: Project | None) -> dict[str, Path]:
    """The files of the project's `plugins/` by name, none imported."""
    try:
        names = sorted(os.listdir(project.root / "plugins")) if project is not None else []
    except (FileNotFoundError, NotADirectoryError):
        names = []
    if project is None:
        return {}
    files = [name for name in names if name.endswith(".py") and not name.startswith(("_", "."))]
    return {name[:-3]: project.root / "plugins" / name for name in files}


def _autoload() -> bool:
    return os.environ.get("RUNNER_DISABLE_PLUGIN_AUTOLOAD", "") in ("", "0")


def _module(name: str) -> Callable[[], object]:
    return lambda: importlib.import_module(name)


def _file(path: Path) -> Callable[[], object]:
    return lambda: import_file(path, "runner_plugin")


def _installed(entry: EntryPoint) -> Record:
    return Record(entry.name, "entry point", entry.dist, entry.version)


def _tell(record: Record) -> str:
    return f"'{record.name}' ({record.origin} {f'{record.source} {record.version}'.strip()})"
