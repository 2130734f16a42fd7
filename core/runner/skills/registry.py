"""The registry of skills: those that ship with the program, and the project's skills.yaml on top."""

from __future__ import annotations

import sys
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final

from runner.errors import ConfigError, UsageError, suggestion
from runner.project import shown
from runner.shipped import shipped

if TYPE_CHECKING:
    from pathlib import Path

    from runner.model import JSON

CATEGORIES: Final = ("mobile", "backend", "web", "ai-agents")
"""The categories of the skills that ship with the program; a project may have more."""

FILE: Final = "skills.yaml"


def this_os() -> str:
    """This system as skills.yaml calls it: `linux`, `macos`, else Python's own word."""
    return "macos" if sys.platform == "darwin" else sys.platform


@dataclass(frozen=True, slots=True)
class Skill:
    """What a machine may have: `check` ends with 0 where it is there, `install` is a command by system.

    `os` empty: for every system. `handler` is relative to the folder of the file that declares the skill.
    `place` is that declaration, `origin` is `shipped` or `project`; `overrides`: it replaces a shipped one.
    """

    name: str
    description: str = ""
    category: str = "custom"
    os: tuple[str, ...] = ()
    check: str | None = None
    install: Mapping[str, str] = field(default_factory=dict)
    task_types: tuple[str, ...] = ()
    handler: str | None = None
    origin: str = "project"
    place: str = ""
    overrides: bool = False

    def runs_on(self, os: str) -> bool:
        """Whether it is for that system; one that is not known is not in the way."""
        return not self.os or not os or os in self.os

    def to_json(self) -> JSON:
        """The documented form."""
        return {
            "name": self.name,
            "description": self.description,
            "category": self.category,
            "os": list(self.os),
            "check": self.check,
            "install": dict(self.install),
            "task_types": list(self.task_types),
            "handler": self.handler,
            "origin": self.origin,
            "overrides": self.overrides,
        }


class Skills(Mapping[str, Skill]):
    """Skills by name, in the order of the files."""

    def __init__(self, skills: Mapping[str, Skill]) -> None:
        self._skills = dict(skills)

    def named(self, name: str) -> Skill:
        """The skill of that name (`_` and `-` are the same); UsageError with the nearest one when there is none."""
        found = self._skills.get(name) or next((s for n, s in self._skills.items() if _same(n, name)), None)
        if found is None:
            near = suggestion(name, self)
            hint = near if near.startswith("did you mean") else "all there are: runner skills available"
            raise UsageError(f"no skill is called '{name}'", hint)
        return found

    def categories(self) -> tuple[str, ...]:
        """The categories there are, the shipped ones first."""
        return tuple(dict.fromkeys([*CATEGORIES, *(skill.category for skill in self.values())]))

    def of_category(self, category: str | None) -> Skills:
        """Those of a category (None: all); UsageError with the nearest one for a category without skills."""
        if category is None:
            return self
        if category not in self.categories():
            raise UsageError(f"no skill is of category '{category}'", suggestion(category, self.categories()))
        return Skills({name: skill for name, skill in self.items() if skill.category == category})

    def __getitem__(self, name: str) -> Skill:
        return self._skills[name]

    def __iter__(self) -> Iterator[str]:
        return iter(self._skills)

    def __len__(self) -> int:
        return len(self._skills)


def _same(one: str, other: str) -> bool:
    return one.replace("-", "_") == other.replace("-", "_")


def load_skills(root: Path | None) -> Skills:
    """The shipped skills, and those of the project whose folder is `root` on top; a ConfigError names file and line."""
    own = root / FILE if root is not None else None
    ships = shipped(FILE)
    found = read_file(ships, "shipped")
    if own is not None and own.resolve() != ships.resolve():
        found = merged(found, read_file(own, "project"))
    return Skills(found)


def merged(below: Mapping[str, Skill], above: Mapping[str, Skill]) -> dict[str, Skill]:
    """Both; of one name the one above, which then says that it overrides."""
    import dataclasses

    new = {name: dataclasses.replace(skill, overrides=name in below) for name, skill in above.items()}
    return {**below, **new}


def read_file(path: Path, origin: str) -> dict[str, Skill]:
    """The skills of one file, none when it is not there."""
    text = read_text(path)
    if text is None:
        return {}
    from runner.skills.schema import read_skills  # here: it imports pydantic

    settings, document = read_skills(text, shown(path))
    return {
        name: Skill(
            name=name,
            description=given.description,
            category=given.category,
            os=tuple(given.os or ()),
            check=given.check,
            install={os: command for os, command in given.install if command is not None},
            task_types=tuple(given.task_types),
            handler=given.handler,
            origin=origin,
            place=document.place(("skills", name)),
        )
        for name, given in settings.items()
    }


def read_text(path: Path) -> str | None:
    """The text of a file as it is, line ends included; None when it is not there; ConfigError for what is no text."""
    try:
        return path.read_bytes().decode("utf-8-sig")
    except (FileNotFoundError, NotADirectoryError):
        return None
    except UnicodeDecodeError as error:
        raise ConfigError(f"{shown(path)}: not UTF-8 (byte {error.start})", "save the file as UTF-8") from None
    except OSError as error:
        raise ConfigError(f"can't read {path}: {error.strerror}", "check its permissions") from None
