"""Writes the files that people edit too: whole or not at all, one process at a time, never over something new."""

from __future__ import annotations

import contextlib
import fcntl
import os
from pathlib import Path
from typing import TYPE_CHECKING

from runner.errors import UsageError
from runner.project import shown

if TYPE_CHECKING:
    from collections.abc import Iterator


@contextlib.contextmanager
def only_one(folder: Path) -> Iterator[None]:
    """Inside, no other process is: one reads, changes and writes a file of `folder` with nobody between."""
    # The folder itself is locked: no lock file is left in somebody's repository.
    try:
        handle = os.open(folder, os.O_RDONLY)
    except OSError as error:
        raise UsageError(f"can't open {shown(folder)}: {error.strerror}") from None
    try:
        fcntl.flock(handle, fcntl.LOCK_EX)
        yield
    finally:
        os.close(handle)


def replace_text(path: Path, text: str) -> None:
    """Write a file as a whole; one that is there keeps its permissions, and a link stays a link."""
    real = Path(os.path.realpath(path))
    draft = real.with_name(f".{real.name}.{os.getpid()}.part")
    try:
        with open(draft, "wb") as file:
            if real.exists():
                os.chmod(draft, real.stat().st_mode & 0o7777)
            file.write(text.encode())
            file.flush()
            os.fsync(file.fileno())
        os.replace(draft, real)
    except OSError as error:
        raise UsageError(f"can't write {shown(path)}: {error.strerror}", "make it writable") from None
    finally:
        draft.unlink(missing_ok=True)


class NewFiles:
    """Files that come into being together: on leaving with an error, those that were made are gone again."""

    def __init__(self) -> None:
        self._made: list[Path] = []

    def __enter__(self) -> NewFiles:
        return self

    def write(self, path: Path, text: str) -> None:
        """Make a new file, and its folder; UsageError when something of that name is there."""
        draft = path.with_name(f".{path.name}.{os.getpid()}.part")
        try:
            if not path.parent.exists():
                path.parent.mkdir()
                self._made.append(path.parent)
            draft.write_text(text, encoding="utf-8")
            os.link(draft, path)
            self._made.append(path)
        except FileExistsError:
            raise UsageError(f"{shown(path)} is there already", "choose another name") from None
        except OSError as error:
            raise UsageError(f"can't write {shown(path)}: {error.strerror}", "make its folder writable") from None
        finally:
            with contextlib.suppress(OSError):
                draft.unlink()

    def __exit__(self, kind: type[BaseException] | None, *rest: object) -> None:
        for path in reversed(self._made if kind is not None else ()):
            with contextlib.suppress(OSError):
                path.rmdir() if path.is_dir() else path.unlink()
