"""Adding to YAML files: what was there stays sign by sign, whatever its layout; else nothing is changed."""

from __future__ import annotations

import difflib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from runner.config.yamlfile import parse_yaml
from runner.errors import ConfigError
from runner.skills.yamledit import add_item, add_key

VALUE = {"d": "a: b", "i": {"m": "x"}, "t": ["one", "a,b"]}
BLOCK = '  new:\n    d: "a: b"\n    i:\n      m: x\n    t: [one, "a,b"]\n'


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("", f"skills:\n{BLOCK}"),
        ("# only words", f"# only words\nskills:\n{BLOCK}"),
        ("skills:\n", f"skills:\n{BLOCK}"),
        ("skills:   # why\nz: 1\n", f"skills:   # why\n{BLOCK}z: 1\n"),
        ("skills: {}  # none\n", f"skills:  # none\n{BLOCK}"),
        ("skills: ~\n", f"skills:\n{BLOCK}"),
        ("other: 1\n", f"other: 1\nskills:\n{BLOCK}"),
        (
            "skills:\n  a: {x: 1} # y\n    # deep\n\n# end\nz: 1\n",
            f"skills:\n  a: {{x: 1}} # y\n    # deep\n{BLOCK}\n# end\nz: 1\n",
        ),
        (
            "skills:\n  a:\n    x: |\n      one\n      # two\n\n\n  # trail\n",
            f"skills:\n  a:\n    x: |\n      one\n      # two\n{BLOCK}\n\n  # trail\n",
        ),
        ("skills:\n  a:\n    x: 'one\n      two'", f"skills:\n  a:\n    x: 'one\n      two'\n{BLOCK}"),
        ("skills: {a: {x: 1}}\n", 'skills: {a: {x: 1}, new: {d: "a: b", i: {m: x}, t: [one, "a,b"]}}\n'),
        ("---\nskills:\n  a:\n  - x\n...\n", f"---\nskills:\n  a:\n  - x\n{BLOCK}...\n"),
        ("skills:\r\n  a: 1\r\n", f"skills:\r\n  a: 1\r\n{BLOCK}".replace("\r", "").replace("\n", "\r\n")),
    ],
)
def test_a_key_is_added_at_the_end_of_its_mapping(text: str, expected: str) -> None:
    assert add_key(text, "f", ("skills",), "new", VALUE) == expected


def test_the_indentation_of_the_neighbours_is_kept() -> None:
    text = "skills:\n     a:\n        x: 1\n"
    assert add_key(text, "f", ("skills",), "b", {"x": "why"}) == text + "     b:\n       x: why\n"


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("m:\n  c: [a, b]  # why\n  x: 1\n", "m:\n  c: [a, b, new]  # why\n  x: 1\n"),
        (
            "m:\n  c:\n    - a\n    # why b\n    - b # b\n  x: 1\n",
            "m:\n  c:\n    - a\n    # why b\n    - b # b\n    - new\n  x: 1\n",
        ),
        ("m:\n  c:\n  - a\n", "m:\n  c:\n  - a\n  - new\n"),
        ("m:\n  c: # none\n  x: 1\n", "m:\n  c: [new] # none\n  x: 1\n"),
        ("m:\n  c: []\n", "m:\n  c: [new]\n"),
        ("m:\n  c: null\n", "m:\n  c: [new]\n"),
        ("m: {c: [\n  a,\n  b,\n]}\n", "m: {c: [\n  a,\n  b, new,\n]}\n"),
        ("m: {x: 1}\n", "m: {x: 1, c: [new]}\n"),
        ("m:\n  x: 1\n", "m:\n  x: 1\n  c: [new]\n"),
        ("m: {}\n", "m:\n  c: [new]\n"),
        ("m:\n", "m:\n  c: [new]\n"),
        ("", "m:\n  c: [new]\n"),
    ],
)
def test_an_item_is_added_at_the_end_of_its_list(text: str, expected: str) -> None:
    assert add_item(text, "f", ("m", "c"), "new") == expected


@pytest.mark.parametrize(
    "text",
    [
        "m: &a {c: [x]}\nn: *a\n",
        "d: &d {c: [x]}\nm: *d\nn: *d\n",
        "m: [1]\n",
        "m: text\n",
        "m: {c: text}\n",
        "[m]\n",
        "m:\n\tc: [x]\n",
    ],
)
def test_what_can_not_be_added_alone_is_an_error_with_the_files_name(text: str) -> None:
    with pytest.raises(ConfigError, match=r"^f:"):
        add_item(text, "f", ("m", "c"), "new")


@given(st.text(st.characters(exclude_categories=["Cs", "Cc"], include_characters="\t"), max_size=30), st.booleans())
def test_any_line_of_text_comes_back_as_it_was(word: str, flow: bool) -> None:
    text = "m:\n  c: [a]\n" if flow else "m:\n  c:\n  - a\n"
    changed = add_item(text, "f", ("m", "c"), word)
    assert parse_yaml(changed, "f").data == {"m": {"c": ["a", word]}}
    changed = add_key("m: {x: 1}\n" if flow else "m:\n  x: 1\n", "f", ("m",), "new", {"k": word})
    assert parse_yaml(changed, "f").data["m"]["new"] == {"k": word}


_names = st.text("abc", min_size=1, max_size=2)
_lines = st.lists(
    st.sampled_from(
        [
            "  {}: 1",
            "  {}:",
            "    k: v  # c",
            "    l: [1, 2]",
            "    t: |",
            "      text",
            "# top",
            "  # deep",
            "",
            "other: 1",
        ]
    ),
    max_size=8,
)


@given(_lines, _names)
def test_lines_are_only_ever_added(lines: list[str], name: str) -> None:
    text = "skills:\n" + "".join(line.format(f"n{n}") + "\n" for n, line in enumerate(lines))
    try:
        before = parse_yaml(text, "f").data
        changed = add_key(text, "f", ("skills",), name, {"x": "y"})
    except ConfigError:
        return
    added = [line for line in difflib.ndiff(text.splitlines(), changed.splitlines()) if line[0] != " "]
    assert all(line[0] == "+" for line in added)
    assert parse_yaml(changed, "f").data == {**before, "skills": {**(before["skills"] or {}), name: {"x": "y"}}}
