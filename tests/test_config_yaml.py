"""YAML 1.2: what a plain word means, and that a value keeps its place."""

from __future__ import annotations

import math

import pytest

from runner.config.yamlfile import parse_yaml
from runner.errors import ConfigError


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("on", "on"),
        ("off", "off"),
        ("yes", "yes"),
        ("no", "no"),
        ("y", "y"),
        ("true", True),
        ("False", False),
        ("tRUE", "tRUE"),
        ("010", 10),
        ("0o10", 8),
        ("0x1F", 31),
        ("0b1", "0b1"),
        ("12:30", "12:30"),
        ("12:30:45", "12:30:45"),
        ("1_000", "1_000"),
        ("-7", -7),
        ("+7", 7),
        ("1.5", 1.5),
        ("1e3", 1000.0),
        ("1.", 1.0),
        (".5", 0.5),
        ("-.inf", -math.inf),
        ("2031-05-01", "2031-05-01"),
        ("~", None),
        ("null", None),
        ("", None),
        ("'true'", "true"),
        ('"10"', "10"),
        ("=", "="),
        ("1.2.3", "1.2.3"),
        ("- 1", [1]),
        ("!!str 10", "10"),
    ],
)
def test_a_plain_word_means_what_yaml_1_2_says(text: str, value: object) -> None:
    data = parse_yaml(f"a: {text}\n" if not text.startswith("- ") else f"a:\n  {text}\n", "x").data["a"]
    assert data == value
    assert type(data) is type(value)


def test_every_value_has_its_place() -> None:
    document = parse_yaml("a:\n  - x\n  - b: 1\n", "f.yaml")
    assert document.place(("a",)) == "f.yaml:1"
    assert document.place(("a", 1, "b")) == "f.yaml:3"
    assert document.place(("a", 1, "missing", "deeper")) == "f.yaml:3"


def test_merge_keys_give_way_to_what_is_written() -> None:
    document = parse_yaml("base: &b {x: 1, y: 2}\nmine:\n  <<: *b\n  y: 3\nboth: {<<: [*b, {x: 9, z: 8}]}\n", "f")
    assert document.data["mine"] == {"x": 1, "y": 3}
    assert document.data["both"] == {"x": 1, "y": 2, "z": 8}


def test_two_documents_in_one_file_are_an_error() -> None:
    with pytest.raises(ConfigError, match=r"f:2:1: not valid YAML: but found another document"):
        parse_yaml("a: 1\n---\nb: 2\n", "f")


def test_an_empty_file_is_nothing() -> None:
    assert parse_yaml("", "f").data is None
    assert parse_yaml("# only this\n", "f").data is None


@pytest.mark.parametrize("text", ["? [a]\n: 1\n", "{[a]: 1}\n"])
def test_a_key_is_a_word(text: str) -> None:
    with pytest.raises(ConfigError, match="a key must be a word"):
        parse_yaml(text, "f")
