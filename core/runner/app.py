"""What one process works with: project, configuration, plugins, and the stores they open."""

from __future__ import annotations

import os
import re
import sys
import threading
from pathlib import Path
from typing import TYPE_CHECKING, Any

from runner.config import load_config
from runner.errors import UsageError
from runner.project import Project, find_project, kept_project, look_for_project

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from types import TracebackType

    from runner.config import Config
    from runner.model import Agent
    from runner.plugins import Plugins
    from runner.registry import Checks, Registry, Types
    from runner.store import Store


class App:
    """The parts, each made when it is first asked for. Close it, or use it in a `with`.

    `code` allows the project's own code (handlers/, plugins/, plugins:) to be imported.
    """

    def __init__(
        self,
        project: Project | None,
        config: Config,
        *,
        start: Path,
        code: bool = False,
        switches: Sequence[str] = (),
        project_id: str | None = None,
        org: str | None = None,
        lenient: bool = False,
        warn: Callable[[str], None] | None = None,
    ) -> None:
        self.config = config
        self.code = code
        self.org = org
        self._project = project
        self._start = start
        self._project_id = project_id
        self._switches = tuple(switches)
        self._lenient = lenient
        self._warn = warn or _warn
        self._lock = threading.RLock()
        self._plugins: Plugins | None = None
        self._registry: Registry | None = None
        self._store: Store | None = None
        self._artifact_store: Any = None

    @classmethod
    def open(
        cls,
        start: Path | str = ".",
        *,
        code: bool = False,
        named: bool = False,
        store: str | None = None,
        switches: Sequence[str] = (),
        project_id: str | None = None,
        org: str | None = None,
        lenient: bool = False,
        warn: Callable[[str], None] | None = None,
    ) -> App:
        """The App of the project of `start`, if it is in one.

        `named`: the folder was named by the person, so RUNNER_PROJECT_DIR and RUNNER_PROJECT_ID do not count.
        """
        project = look_for_project(start, named=named)
        if project is None and project_id:
            project = kept_project(project_id)
        config = load_config(project)
        if store is not None:
            config = config.with_value("store", store, "flag --store")
        return cls(
            project,
            config,
            start=Path(start),
            code=code,
            switches=switches,
            # A folder that was named is a project of its own, not the one of the task we may be in.
            project_id=project_id or (None if named else os.environ.get("RUNNER_PROJECT_ID")) or None,
            org=org or os.environ.get("RUNNER_ORGANIZATION_ID") or None,
            lenient=lenient,
            warn=warn,
        )

    @property
    def has_project(self) -> bool:
        return self._project is not None

    @property
    def project(self) -> Project:
        """The project; UsageError naming `runner init` when there is none."""
        if self._project is None:
            self._project = find_project(self._start)
        return self._project

    @property
    def project_id(self) -> str:
        """The id that tasks and artifacts are filed under: `--project`, RUNNER_PROJECT_ID, or the project's own."""
        return self._project_id or self.project.id

    @property
    def plugins(self) -> Plugins:
        with self._lock:
            if self._plugins is None:
                from runner.plugins import Plugins  # pluggy: not before a plugin is needed

                plugins = Plugins(self._switches, self._warn, lenient=self._lenient)
                plugins.load(self._project, self.config, code=self.code)
                self._plugins = plugins
            return self._plugins

    @property
    def hook(self) -> Any:
        """pluggy's hook relay: `app.hook.route(task=…, fleet=…)`."""
        return self.plugins.manager.hook

    @property
    def registry(self) -> Registry:
        with self._lock:
            if self._registry is None:
                from runner.registry import Registry

                registry = Registry(self.plugins, self.config)
                if self.code:
                    registry.check_names(self.config)
                self._registry = registry
            return self._registry

    @property
    def types(self) -> Types:
        """Task types by name; looking one up imports its handler."""
        return self.registry.types

    @property
    def checks(self) -> Checks:
        return self.registry.checks

    @property
    def agents(self) -> dict[str, Agent]:
        return self.registry.agents

    def owner(self, hook: str, name: str) -> Callable[..., Any]:
        """A caller of `run_step` for the owner of the type `name`, or of `verify` for that of the check → its answer.

        Wrappers of every plugin take part.
        """
        from runner.owners import call  # pluggy: not before a plugin is needed

        owners = {"run_step": self.types.owner, "verify": self.checks.owner}
        return call(self.plugins, hook, owners[hook](name))

    @property
    def store_url(self) -> str:
        """The effective URL of the store: absolute, so that a child anywhere reaches the same one."""
        url = self.config.store
        if url is None:
            return self.project.default_store
        return _absolute(url, self._base("store"), "sqlite:///")

    @property
    def artifacts_url(self) -> str:
        """The effective URL of the artifact store."""
        url = self.config.artifacts
        if url is None:
            return self.project.default_artifacts
        return _absolute(url, self._base("artifacts"), "file://")

    def _base(self, key: str) -> Path:
        # A path in a file is relative to the file's project, one on the command line to the current folder.
        from_file = not self.config.origin(key).startswith(("flag", "environment"))
        return self._project.root if from_file and self._project is not None else Path.cwd()

    @property
    def store(self) -> Store:
        """The store, opened once."""
        with self._lock:
            if self._store is None:
                url = self.store_url
                if self._project is not None and url == self._project.default_store:
                    self._project.prepare()
                options = dict(getattr(self.config, url.partition("://")[0], ()))
                store: Store | None = self.hook.open_store(url=url, options=options)
                if store is None:
                    raise UsageError(f"no plugin opens the store {hide_password(url)}", "see: runner plugins")
                self._store = store
            return self._store

    @property
    def artifact_store(self) -> Any:
        """The artifact store, opened once."""
        with self._lock:
            if self._artifact_store is None:
                url = self.artifacts_url
                store = self.hook.open_artifact_store(url=url)
                if store is None:
                    raise UsageError(f"no plugin opens the artifact store {hide_password(url)}", "see: runner plugins")
                self._artifact_store = store
            return self._artifact_store

    def child_env(self) -> dict[str, str]:
        """What every child gets, so that a `runner` inside a worktree means this store and project."""
        env = {
            "RUNNER_STORE": self.store_url,
            "RUNNER_PROJECT_DIR": str(self.project.root),
            "RUNNER_PROJECT_ID": self.project_id,
        }
        if self.org:
            env["RUNNER_ORGANIZATION_ID"] = self.org
        return env

    def close(self) -> None:
        """Close what was opened."""
        with self._lock:
            store, self._store = self._store, None
            self._artifact_store = None
        if store is not None:
            store.close()

    def __enter__(self) -> App:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()


def hide_password(url: str) -> str:
    """The URL as it may be shown: `postgresql://me:***@host/db`, `…?password=***`."""
    url = re.sub(r"([?&]password=)[^&#]*", r"\1***", url)
    scheme, separator, rest = url.partition("://")
    login, at, host = rest.rpartition("@")
    if not at or ":" not in login:
        return url
    return f"{scheme}{separator}{login.partition(':')[0]}:***@{host}"


def _absolute(url: str, base: Path, scheme: str) -> str:
    if not url.startswith(scheme):
        return url
    path = os.path.expanduser(url.removeprefix(scheme))
    return scheme + os.path.normpath(os.path.join(base, path))


def _warn(text: str) -> None:
    print(f"warning: {text}", file=sys.stderr)
