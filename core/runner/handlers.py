"""Handler files: found by name, imported on first use, each the owner of the one type that its file name says."""

from __future__ import annotations

import contextlib
import importlib.machinery
import importlib.util
import inspect
import os
import re
import sys
import threading
import zlib
from typing import TYPE_CHECKING, Any

from runner.errors import PluginError, suggestion
from runner.hookcheck import check_hooks, implementations
from runner.hookspecs import hookimpl
from runner.model import Check, CheckSpec, TypeSpec
from runner.project import shown

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence
    from pathlib import Path
    from types import ModuleType

    from runner.model import Context, Repair, Step, StepResult, Verdict

_ALLOWED = ("run_step", "verify", "repair", "enrich_prompt", "register_types", "register_checks")
_FILE = re.compile(r"[A-Za-z0-9][A-Za-z0-9_-]*\.py")
_EXPECTS = ("changes", "answer", "none")
_WORKPLACES = ("worktree", "cwd")


class HandlerFile:
    """A file of `handlers/`, not yet imported. `origin` is `shipped` or `project`."""

    def __init__(self, path: Path, origin: str) -> None:
        self.type = path.stem
        self.path = path
        self.origin = origin
        self._lock = threading.Lock()
        self._loaded: Handler | PluginError | None = None

    @property
    def name(self) -> str:
        """The plugin's name: `handlers.run_script`."""
        return f"handlers.{self.type}"

    def load(self) -> Handler:
        """Import it (once); a PluginError with file and line when it can't be used."""
        with self._lock:
            if self._loaded is None:
                try:
                    self._loaded = Handler(self, import_file(self.path, "runner_handler"))
                except PluginError as error:
                    self._loaded = error
        if isinstance(self._loaded, PluginError):
            raise self._loaded
        return self._loaded


class Handler:
    """A handler as a plugin: whatever form its file has, it answers hooks, and only for its own type."""

    def __init__(self, file: HandlerFile, module: ModuleType) -> None:
        self.type = file.type
        self.module = module
        self.place = shown(file.path)
        check_hooks(module, file.name, handler=True)
        self._impls = {impl.hook: impl for impl in implementations(module)}
        for impl in self._impls.values():
            if impl.hook not in _ALLOWED or impl.wraps:
                what = f"wraps '{impl.hook}'" if impl.wraps else f"implements '{impl.hook}'"
                raise PluginError(
                    f"{impl.place}: a handler {what}, which is not about its own type",
                    "move this hook to a file in plugins/",
                )
        self._run = getattr(module, "run", None)
        if self._run is None and "run_step" not in self._impls:
            raise PluginError(
                f"{self.place}: neither run(payload, context) nor a run_step hook",
                "write: def run(payload, context): ...",
            )
        if self._run is not None and "run_step" not in self._impls:
            _check_run(self._run, self.place)
        self.spec = self._spec()
        # Only what the file implements: an answer nobody wrote would still be asked for.
        for hook, make in (("verify", self._verify), ("repair", self._repair), ("enrich_prompt", self._enrich_prompt)):
            if hook in self._impls:
                self.__dict__[hook] = hookimpl(make())

    def checks(self) -> dict[str, CheckSpec]:
        """The checks it answers: those it registers, else one of its own name when it has a `verify`."""
        if "register_checks" in self._impls:
            return dict(self._impls["register_checks"].function())
        if "verify" in self._impls:
            return {self.type: CheckSpec(f"what {self.place} asks of its own result", needs_value=False)}
        return {}

    @hookimpl
    def run_step(self, step: Step, context: Context) -> StepResult | dict[str, Any] | str | None:
        """The file's run_step, or its run(payload, context)."""
        if "run_step" in self._impls:
            answer = self._call("run_step", step=step, context=context)
        elif self._run is not None:
            model = self.spec.payload_model
            payload: Any = step.payload if model is None else model.model_validate(dict(step.payload))
            answer = self._run(payload, context)
        return answer  # type: ignore[no-any-return]

    def _verify(self) -> Any:
        def verify(check: Check, step: Step, result: StepResult, context: Context) -> Verdict | bool:
            return self._call("verify", check=check, step=step, result=result, context=context)  # type: ignore[no-any-return]

        return verify

    def _repair(self) -> Any:
        def repair(step: Step, result: StepResult, verdicts: Sequence[Verdict], context: Context) -> Repair | None:
            if step.type != self.type:
                return None
            return self._call("repair", step=step, result=result, verdicts=verdicts, context=context)  # type: ignore[no-any-return]

        return repair

    def _enrich_prompt(self) -> Any:
        def enrich_prompt(step: Step, prompt: str, context: Context) -> str | None:
            if step.type != self.type:
                return None
            return self._call("enrich_prompt", step=step, prompt=prompt, context=context)  # type: ignore[no-any-return]

        return enrich_prompt

    def _call(self, hook: str, **arguments: Any) -> Any:
        # As pluggy does: a hook takes the arguments it names.
        function = self._impls[hook].function
        wanted = inspect.signature(function).parameters
        return function(**{name: value for name, value in arguments.items() if name in wanted})

    def _spec(self) -> TypeSpec:
        if "register_types" in self._impls:
            answer: Mapping[str, TypeSpec] = self._impls["register_types"].function()
            if list(answer) != [self.type]:
                raise PluginError(
                    f"{self._impls['register_types'].place}: a handler registers its own type '{self.type}', "
                    f"not {', '.join(answer) or 'nothing'}",
                    "move other types to a file in plugins/, or rename the file",
                )
            return answer[self.type]
        return self._spec_of_module()

    def _spec_of_module(self) -> TypeSpec:
        module = self.module
        implicit = tuple(getattr(module, "implicit_checks", ()))
        if "verify" in self._impls and "register_checks" not in self._impls:
            implicit += (Check(self.type),)
        return TypeSpec(
            payload_model=getattr(module, "Payload", None),
            requires=self._words("requires"),
            expects=self._choice("expects", _EXPECTS, "none"),
            workplace=self._choice("workplace", _WORKPLACES, "worktree"),
            implicit_checks=implicit,
            repairs=getattr(module, "repairs", 0),
            summary=(module.__doc__ or "").strip().partition("\n")[0],
        )

    def _words(self, name: str) -> tuple[str, ...]:
        value = getattr(self.module, name, ())
        if isinstance(value, str) or not all(isinstance(word, str) for word in value):
            raise PluginError(f"{self.place}: {name} must be a list of words", f'write: {name} = ["git"]')
        return tuple(value)

    def _choice(self, name: str, choices: tuple[str, ...], default: str) -> Any:
        value = getattr(self.module, name, default)
        if value not in choices:
            raise PluginError(f"{self.place}: {name} can't be {value!r}", suggestion(str(value), choices))
        return value


def _check_run(run: Any, place: str) -> None:
    try:
        inspect.signature(run).bind(None, None)
    except (TypeError, ValueError):
        code = getattr(run, "__code__", None)
        where = f"{place}:{code.co_firstlineno}" if code else place
        raise PluginError(f"{where}: run must take two arguments", "write: def run(payload, context): ...") from None


def handler_files(folder: Path, origin: str) -> dict[str, HandlerFile]:
    """The handlers of a folder by type, none imported. Names that start with `_` or `.` are not types."""
    try:
        names = sorted(os.listdir(folder))
    except (FileNotFoundError, NotADirectoryError):
        return {}
    found = {}
    for name in names:
        if _FILE.fullmatch(name):
            file = HandlerFile(folder / name, origin)
            found[file.type] = file
    return found


def misnamed_files(folder: Path) -> list[str]:
    """The Python files of a folder that can't be handlers because of their names."""
    try:
        names = sorted(os.listdir(folder))
    except (FileNotFoundError, NotADirectoryError):
        return []
    return [
        name for name in names if name.endswith(".py") and not name.startswith(("_", ".")) and not _FILE.fullmatch(name)
    ]


class _SourceLoader(importlib.machinery.SourceFileLoader):
    """Leaves no `__pycache__` behind: the folder is somebody's repository."""

    def set_data(self, path: str, data: Any, *, _mode: int = 0o666) -> None:
        pass


@contextlib.contextmanager
def talking() -> Iterator[None]:
    """While somebody's code is imported, what it prints goes to stderr: stdout is data.

    Only in the main thread, where a command and a worker import what they use: sys.stdout is one for all threads.
    """
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    with contextlib.redirect_stdout(sys.stderr):
        yield


def import_file(path: Path, prefix: str) -> ModuleType:
    """Import a file under a name of its own, so that `handlers/json.py` hides nothing and tracebacks show its path."""
    real = os.path.realpath(path)
    name = f"{prefix}_{path.stem.replace('-', '_')}_{zlib.crc32(real.encode()):08x}"
    known = sys.modules.get(name)
    if known is not None:
        return known
    spec = importlib.util.spec_from_file_location(name, real, loader=_SourceLoader(name, real))
    if spec is None or spec.loader is None:
        raise PluginError(f"{shown(path)}: not a Python file")
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module  # before it runs: pydantic and dataclasses look their module up
    try:
        with talking():
            spec.loader.exec_module(module)
    except BaseException as error:
        del sys.modules[name]
        if isinstance(error, Exception | SystemExit):
            raise PluginError(import_failure(error, path)) from error
        raise
    return module


def import_failure(error: BaseException, path: Path | None = None) -> str:
    """One sentence, with the line of the plugin's own code, for what went wrong while it was imported."""
    kind = type(error).__name__
    if isinstance(error, SyntaxError) and error.filename:
        return f"{shown(error.filename)}:{error.lineno}: {kind}: {error.msg}"
    place = shown(path) if path else ""
    step = error.__traceback__
    while step is not None:
        file = step.tb_frame.f_code.co_filename
        if file == os.path.realpath(path) if path else not _machinery(file):
            place = f"{shown(file)}:{step.tb_lineno}"
        step = step.tb_next
    text = " ".join(str(error).split())
    return f"{place}: {kind}: {text}" if place else f"{kind}: {text}"


def _machinery(file: str) -> bool:
    ours = os.path.dirname(os.path.abspath(__file__)) + os.sep
    return file.startswith(("<", ours)) or os.sep + "importlib" + os.sep in file
