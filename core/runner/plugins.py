"""The plugins of one App: which there are, where they came from, in which order they are loaded, and who is off."""

from __future__ import annotations

import importlib
import os
import sys
import threading
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pluggy

from runner.errors import PluginError, UsageError, suggestion
from runner.handlers import HandlerFile, handler_files, import_failure, import_file
from runner.hookcheck import check_hooks, implementations
from runner.hookspecs import Around, TheSix
from runner.project import shown
from runner.registry import Owner, owned
from runner.shipped import shipped

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from runner.config import Config
    from runner.entrypoints import EntryPoint
    from runner.handlers import Handler
    from runner.project import Project

BUILT_IN: tuple[str, ...] = ()
"""The built-in plugins: names of modules of `runner_plugins`. Adding a line here is all it takes."""

_SHIPPED = ("built-in", "shipped handler")
_OF_PROJECT = ("project plugin", "project handler")


@dataclass(frozen=True, slots=True)
class Record:
    """One line of `runner plugins`. `state` is `on`, `off` or `broken`, `reason` why; `source` a file or distribution."""

    name: str
    origin: str
    source: str
    version: str = ""
    state: str = "on"
    reason: str = ""
    hooks: tuple[str, ...] = ()


class Plugins:
    """A plugin manager with its specs, and everything that was loaded into it.

    `switches` are the values of `-p`: `no:NAME` or `NAME`. `lenient` notes what is broken instead of
    raising, so that `runner plugins` can show it. `warn` tells people about a plugin that was skipped.
    """

    def __init__(self, switches: Sequence[str], warn: Callable[[str], None], *, lenient: bool = False) -> None:
        self.manager = pluggy.PluginManager("runner")
        self.manager.add_hookspecs(TheSix)
        self.manager.add_hookspecs(Around)
        self.off = {name.removeprefix("no:") for name in switches if name.startswith("no:")}
        self.asked = [name for name in switches if not name.startswith("no:")]
        self.records: dict[str, Record] = {}
        self.problems: list[PluginError] = []
        self.handlers: dict[str, HandlerFile] = {}
        self._loaded: dict[str, Handler] = {}
        self._warn = warn
        self._lenient = lenient
        self._lock = threading.RLock()

    # Loading, in the order it happens.

    def load(self, project: Project | None, config: Config, *, code: bool) -> None:
        """Load all: built in, installed, asked for with -p, the person's, and with `code` the project's own."""
        from runner.entrypoints import scan  # here: the scan is not needed to name the built-ins

        autoload = os.environ.get("RUNNER_DISABLE_PLUGIN_AUTOLOAD", "") in ("", "0")
        installed = scan() if autoload or self.asked or self.off else []
        files = plugin_files(project.root / "plugins") if project is not None and code else {}
        for name in BUILT_IN:
            self._attempt(Record(name, "built-in", f"runner_plugins.{name}"), _module(f"runner_plugins.{name}"))
        for entry in installed if autoload else ():
            self._attempt(_installed(entry), entry.load)
        for name in self.asked:
            self._load_asked(name, installed, files)
        self._load_listed(project, config, code)
        for name, path in files.items():
            if name not in self.asked:
                record = Record(name, "project plugin", shown(path))
                self._attempt(record, lambda path=path: import_file(path, "runner_plugin"), by_name=False)  # type: ignore[misc]
        self._find_handlers(project, code)
        self._check_switches(installed, files, project)

    def _load_asked(self, name: str, installed: Sequence[EntryPoint], files: dict[str, Path]) -> None:
        entry = next((entry for entry in installed if entry.name == name), None)
        if name in self.records and self.records[name].state == "on":
            return
        if entry is not None:
            self._attempt(_installed(entry), entry.load, by_name=True)
        elif name in files:
            path = files[name]
            self._attempt(
                Record(name, "project plugin", shown(path)), lambda: import_file(path, "runner_plugin"), by_name=True
            )
        else:
            self._attempt(Record(name, "-p", name), _module(name), by_name=True)

    def _load_listed(self, project: Project | None, config: Config, code: bool) -> None:
        # `plugins:` of the project is its code; of the person's own file or variable it is theirs.
        for i, name in enumerate(config.plugins):
            where = config.origin(f"plugins.{i}")
            of_project = project is not None and where.startswith(shown(project.root / "runner.yaml") + ":")
            if of_project and not code:
                continue
            if of_project and project is not None and str(project.root) not in sys.path:
                sys.path.append(str(project.root))  # last: a project's file must not hide a library
            origin = "project plugin" if of_project else "configuration"
            self._attempt(Record(name, origin, where), _module(name), by_name=True)

    def _attempt(self, record: Record, importer: Callable[[], object], *, by_name: bool = False) -> None:
        """Import and register one plugin; what fails is fatal when it was asked for by name, else told and skipped."""
        if record.name in self.off:
            self.records[record.name] = replace(record, state="off", reason=f"-p no:{record.name}")
            return
        if record.name in self.records:
            other = self.records[record.name]
            return self._broken(
                replace(record, name=f"{record.name} ({record.source})"),
                PluginError(
                    f"{record.source}: plugin '{record.name}' is there twice: {other.origin} {other.source} has the same name",
                    f"rename one, or switch it off with -p no:{record.name}",
                ),
            )
        try:
            plugin = importer()
        except (Exception, SystemExit) as error:
            text = error.message if isinstance(error, PluginError) else import_failure(error)
            message = f"plugin '{record.name}' ({record.origin} {record.source}) can't be imported: {text}"
            if by_name:
                return self._broken(record, PluginError(message))
            self.records[record.name] = replace(record, state="broken", reason=text)
            self._warn(f"{message} (skipped; switch it off with -p no:{record.name})")
            return
        if plugin in self.manager.get_plugins():
            return  # The same module by another door.
        try:
            check_hooks(plugin, record.name)
            self.register(plugin, record.name)
        except PluginError as error:
            return self._broken(record, error)
        self.records[record.name] = replace(
            record, hooks=tuple(sorted({impl.hook for impl in implementations(plugin)}))
        )

    def _broken(self, record: Record, error: PluginError) -> None:
        if not self._lenient:
            raise error
        self.records[record.name] = replace(record, state="broken", reason=str(error))
        self.problems.append(error)

    def register(self, plugin: object, name: str) -> None:
        """Register an object that is already there, as tests and embedders do."""
        try:
            self.manager.register(plugin, name=name)
        except (pluggy.PluginValidationError, ValueError) as error:
            raise PluginError(f"plugin '{name}': {' '.join(str(error).split())}") from None

    # Handlers.

    def _find_handlers(self, project: Project | None, code: bool) -> None:
        found = {name: [file] for name, file in handler_files(shipped("handlers"), "shipped handler").items()}
        if project is not None and code:
            for name, file in handler_files(project.root / "handlers", "project handler").items():
                if found.get(name) and os.path.samefile(found[name][0].path, file.path):
                    continue  # The project is the checkout of runner itself.
                found.setdefault(name, []).append(file)
        for files in found.values():
            for file, over in zip(files, [*files[1:], None], strict=True):
                record = Record(file.name, file.origin, shown(file.path))
                if file.name in self.off or file.type in self.off:
                    self.records[file.name] = replace(record, state="off", reason=f"-p no:{file.type}")
                elif over is not None:
                    record = replace(record, state="off", reason=f"overridden by {shown(over.path)}")
                    self.records[f"{file.name} ({file.origin})"] = replace(record, name=f"{file.name}")
                else:
                    self.handlers[file.type] = file
                    self.records[file.name] = record

    def load_handler(self, type: str) -> Handler:
        """The handler of a type, imported and registered on first use."""
        with self._lock:
            if type not in self._loaded:
                handler = self.handlers[type].load()
                self.register(handler, self.handlers[type].name)
                self._loaded[type] = handler
            return self._loaded[type]

    def handler_checks(self) -> dict[str, Owner]:
        """The checks of the handlers that are loaded."""
        with self._lock:
            return {
                name: Owner(f"handlers.{type}", handler, spec)
                for type, handler in self._loaded.items()
                for name, spec in handler.checks().items()
            }

    # Names and their owners.

    def collect(self, hook: str, kind: type) -> dict[str, Owner]:
        """All answers of a `register_…` hook by name; two owners of one name are an error, a project's overrides a shipped one."""
        owners: dict[str, Owner] = {}
        for impl in getattr(self.manager.hook, hook).get_hookimpls():
            if impl.wrapper or impl.hookwrapper or impl.plugin in self._loaded.values():
                continue
            try:
                answer = impl.function()
            except PluginError:
                raise
            except Exception as error:
                raise PluginError(f"plugin '{impl.plugin_name}': {hook} failed: {import_failure(error)}") from error
            for name, spec in owned(answer, kind, impl.plugin_name, hook).items():
                new = Owner(impl.plugin_name, impl.plugin, spec)
                owners[name] = self._winner(hook, name, owners[name], new) if name in owners else new
        if hook == "register_types":
            owners = {name: owner for name, owner in owners.items() if not self._yields(name, owner)}
        return owners

    def _winner(self, hook: str, name: str, first: Owner, second: Owner) -> Owner:
        origins = self._origin(first.plugin), self._origin(second.plugin)
        for winner, loser, (mine, other) in ((first, second, origins), (second, first, origins[::-1])):
            if mine in _OF_PROJECT and other in _SHIPPED:
                self._note(winner.plugin, f"overrides {name} of {loser.plugin}")
                return winner
        what = hook.removeprefix("register_").rstrip("s")
        raise UsageError(
            f"two plugins bring the {what} '{name}': {self._tell(first.plugin)} and {self._tell(second.plugin)}",
            f"switch one off: -p no:{second.plugin}",
        )

    def _yields(self, name: str, owner: Owner) -> bool:
        """Whether a plugin's type gives way to a handler of the same name; an error when neither may."""
        file = self.handlers.get(name)
        if file is None:
            return False
        handler = Owner(file.name, file, None)
        winner = self._winner("register_types", name, owner, handler)
        if winner is owner:
            del self.handlers[name]
        return winner is handler

    def _origin(self, plugin: str) -> str:
        return self.records[plugin].origin if plugin in self.records else "registered"

    def _tell(self, plugin: str) -> str:
        record = self.records.get(plugin)
        return f"{record.name} ({record.origin} {record.source})" if record else plugin

    def _note(self, plugin: str, text: str) -> None:
        record = self.records[plugin]
        if text not in record.reason:
            self.records[plugin] = replace(record, reason=f"{record.reason}; {text}".lstrip("; "))

    def owner_call(self, hook: str, owner: Owner) -> Callable[..., Any]:
        """A caller that reaches the owner alone, and the wrappers of others → the owner's one answer."""

        def call(**arguments: Any) -> Any:
            # Made anew: a handler that was imported meanwhile must not be reached.
            caller = getattr(self.manager.hook, hook)
            others = [
                impl.plugin
                for impl in caller.get_hookimpls()
                if impl.plugin is not owner.object and not (impl.wrapper or impl.hookwrapper)
            ]
            answer = self.manager.subset_hook_caller(hook, remove_plugins=others)(**arguments)
            if isinstance(answer, list) and not (caller.spec and caller.spec.opts.get("firstresult")):
                return answer[0] if answer else None
            return answer

        return call

    def _check_switches(self, installed: Sequence[EntryPoint], files: dict[str, Path], project: Project | None) -> None:
        known = {*BUILT_IN, *self.records, *files, *(entry.name for entry in installed), *shipped_types()}
        if project is not None:
            known |= {*plugin_files(project.root / "plugins"), *handler_files(project.root / "handlers", "")}
        known |= {file.type for file in self.handlers.values()}
        for name in self.off:
            if name not in known and not name.startswith("handlers."):
                raise UsageError(f"-p no:{name}: there is no plugin '{name}'", suggestion(name, known))


def shipped_types() -> list[str]:
    """The types of the handlers that ship with the package."""
    return list(handler_files(shipped("handlers"), "shipped handler"))


def plugin_files(folder: Path) -> dict[str, Path]:
    """The plugin files of a folder by name, none imported."""
    try:
        names = sorted(os.listdir(folder))
    except (FileNotFoundError, NotADirectoryError):
        return {}
    return {name[:-3]: folder / name for name in names if name.endswith(".py") and not name.startswith(("_", "."))}


def _module(name: str) -> Callable[[], object]:
    return lambda: importlib.import_module(name)


def _installed(entry: EntryPoint) -> Record:
    return Record(entry.name, "entry point", entry.dist, entry.version)
