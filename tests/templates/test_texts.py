"""Placeholders in texts: paths looked up by key, expressions in a sandbox, everything else left alone."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from runner.templates import Scope, TemplateError, Undefined, parse, render, roots
from runner.templates.expression import check, evaluate

STEPS = {"read-types": {"output": "types\n", "json": {"a": [1, {"b": True}]}}, "a": {"output": "{{x}}"}}
SCOPE = Scope({"name": "Ada", "n": 3, "yes": True, "none": None, "steps": STEPS, "items": ["x", "y"]})


@pytest.mark.parametrize(
    ("text", "filled"),
    [
        ("hello {{name}}", "hello Ada"),
        ("{{ name }}{{n}}", "Ada3"),
        ("{{steps.read-types.output}}", "types\n"),
        ("{{steps.read-types.json.a.1.b}}", "true"),
        ("{{steps.a.output}}", "{{x}}"),
        ("{{items}}", '["x", "y"]'),
        ("{{items.1}}", "y"),
        ("{{steps['read-types'].output}}", "types\n"),
        ("{{ n + 1 }}", "4"),
        ("{{ 'a}}b' }}", "a}}b"),
        ("{{ {'k': n}.k }}", "3"),
        ("{{ 'big' if n > 2 else 'small' }}", "big"),
        ("{{ name|upper }}", "ADA"),
        ("{{none}}", ""),
        (r"\{{name}}", "{{name}}"),
        ("{% if %} {# no comment #} ${#arr[@]} { {name} }", "{% if %} {# no comment #} ${#arr[@]} { {name} }"),
        ("}} {", "}} {"),
    ],
)
def test_what_a_text_becomes(text: str, filled: str) -> None:
    assert render(text, SCOPE) == filled


@pytest.mark.parametrize(
    ("text", "message", "hint"),
    [
        ("{{nam}}", "'nam' is not defined here", "did you mean 'name'?"),
        ("{{steps.read-type.output}}", "'steps' has no 'read-type'", "did you mean 'read-types'?"),
        ("{{steps.a.outptu}}", "'steps.a' has no 'outptu'", "did you mean 'output'?"),
        ("{{items.7}}", "'items' is a list of 2: it has no '7'", "count from 0"),
        ("{{name.upper}}", "'name' is not a mapping or list: it has no 'upper'", ""),
        ("{{ nam + 1 }}", "'nam' is not defined here", "did you mean 'name'?"),
        ("{{ steps['b'].output }}", "in 'steps['b'].output': there is no 'b' (known: a, read-types)", ""),
        ("{{", "'{{' is not closed with '}}'", r"write \{{ for a literal"),
        ("{{}}", "'{{}}' names nothing", r"write \{{ for a literal"),
        ("{{ a b }}", "'a b' is not an expression: chunk after expression", None),
        ("{{ a && b }}", None, "write `and`, `or`, `not`"),
        ("{{ 1 / 0 }}", "'1 / 0' can't be evaluated: ZeroDivisionError: division by zero", ""),
    ],
)
def test_what_is_wrong_is_said_with_the_nearest_name(text: str, message: str | None, hint: str | None) -> None:
    with pytest.raises(TemplateError) as caught:
        render(text, SCOPE)
    assert message is None or caught.value.message == message
    assert hint is None or caught.value.hint == hint


@pytest.mark.parametrize(
    "source",
    ["name.__class__", "''.__class__.__mro__", "steps.__init__", "n.real", "items.append(1)", "name.format(1)", "self"],
)
def test_an_expression_reaches_no_python(source: str) -> None:
    with pytest.raises(TemplateError):
        evaluate(source, SCOPE)


def test_calls_are_of_known_functions_only() -> None:
    assert evaluate("failure() or n == 3", SCOPE, {"failure": lambda: False}) is True
    check("failure()", ("failure",))
    with pytest.raises(TemplateError, match="no function"):
        check("system('ls')", ("failure",))


def test_in_other_dialects_what_is_no_path_stays() -> None:
    text = "docker ps --format '{{.Names}}' ${{ github.sha }} {{name}} {{ a | b }} {{open"
    assert render(text, SCOPE, literal_expressions=True) == text.replace("{{name}}", "Ada")


def test_the_names_a_text_uses_are_known_without_values() -> None:
    text = "{{name}} {{steps.a-b.output}} {{ steps['c-d'].json.x + y }} {{ f(z) }}"
    found = [("name",), ("steps", "a-b", "output"), ("steps", "c-d", "json", "x"), ("y",), ("z",)]
    assert sorted(roots(text)) == sorted(found)


def test_a_value_made_on_demand_is_made_once() -> None:
    made: list[int] = []
    scope = Scope({"big": lambda: made.append(1) or "text"})
    assert made == []
    assert render("{{big}} {{big}}", scope) == "text text"
    assert made == [1]


def test_inner_names_hide_outer_ones() -> None:
    inner = SCOPE.inner({"name": "Bob"})
    assert render("{{name}} {{n}}", inner) == "Bob 3"
    assert "n" in inner
    assert set(inner.known()) == set(SCOPE.known())
    with pytest.raises(Undefined):
        inner.look_up(("nothing",))


@given(st.text(alphabet="{}\\ \n'\"ab.#%$", max_size=40))
def test_any_text_is_parsed_or_refused_and_plain_text_is_kept(text: str) -> None:
    try:
        parts = parse(text)
    except TemplateError:
        return
    if "{{" not in text:
        assert "".join(str(part) for part in parts) == text


@given(st.text(max_size=60))
def test_a_value_is_never_looked_at_again(value: str) -> None:
    assert render("<{{x}}>", Scope({"x": value})) == f"<{value}>"
