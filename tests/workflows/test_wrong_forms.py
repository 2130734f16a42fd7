"""Files in the other runners' forms with something wrong in them: loaded or refused with a place, never a traceback."""

from __future__ import annotations

import copy
import random
import re
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st

from runner.errors import ConfigError
from runner.workflows.check import check
from runner.workflows.load import load
from runner.workflows.plan import plan
from tests.workflows.test_real_forms import FILES, NAMES, reader


def places(value: Any, above: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    """The paths of all values in a file."""
    items = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for key, item in items:
        yield (*above, key)
        yield from places(item, (*above, key))


VALUES = (
    None,
    True,
    0,
    -1,
    1.5,
    "",
    "x",
    "{{",
    "{{nobody}}",
    "a: b",
    [],
    [[]],
    {},
    [{}],
    {"x": {}},
    [1, "a"],
    "é" * 70,
)


def mutated(data: Any, numbers: random.Random) -> Any:
    """The file with a key misspelled or removed, or a value of another type, at one to three places."""
    data = copy.deepcopy(data)
    for _ in range(numbers.randint(1, 3)):
        found = list(places(data))
        if not found:
            return data
        path = numbers.choice(found)
        holder = data
        for key in path[:-1]:
            holder = holder[key]
        last, how = path[-1], numbers.choice(("spell", "remove", "type", "type", "move"))
        if how == "remove":
            del holder[last]
        elif how == "spell" and isinstance(holder, dict):
            holder[str(last)[:-1] + numbers.choice("xyz")] = holder.pop(last)
        elif how == "move":
            other: Any = data
            for key in numbers.choice(found)[:-1]:
                other = other[key] if isinstance(other, dict) and key in other else other
            if isinstance(other, dict):
                other[str(last)] = copy.deepcopy(holder[last])
        else:
            holder[last] = copy.deepcopy(numbers.choice(VALUES))
    return data


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    made = tmp_path_factory.mktemp("mutated") / "dialects"
    shutil.copytree(FILES, made)
    return made


@settings(max_examples=300, deadline=None)
@given(st.sampled_from(NAMES), st.integers(0, 2**32))
def test_a_file_with_something_wrong_loads_or_is_refused_with_its_place(folder: Path, name: str, seed: int) -> None:
    data = mutated(yaml.safe_load((FILES / name).read_text()), random.Random(seed))
    path = folder / f"m-{name}"
    path.write_text(yaml.safe_dump(data, sort_keys=False, allow_unicode=True))
    refused, one = "", None
    try:
        one = load(path, [folder.parent], reader)
    except ConfigError as error:
        refused = error.message
    if one is None:
        assert re.match(r"\S+\.yaml:\d+(:\d+)?: \S", refused), refused
        return
    plan(one.root)
    for problem in check(one.root, one.params, literal_expressions=one.source.foreign):
        assert re.search(r"\.yaml:\d+:\d+$", problem.place), problem
    assert all(re.match(r"\S+\.yaml:\d+:\d+: ", note) for note in one.notes), one.notes
