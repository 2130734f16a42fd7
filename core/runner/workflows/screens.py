"""Screens of a workflow (`mode: ui`): a title, a text, choices and buttons, as gates for a person."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any, Final

from runner.errors import suggestion

if TYPE_CHECKING:
    from collections.abc import Mapping

    from runner.workflows.forms import Forms, Place

_OWN: Final = ("title", "body", "actions", "inputs", "outcome_capture")
_COMMON: Final = (
    "id name description needs dependsOn depends_on when skip_if break_if continue_on_failure timeout".split()
)
_KINDS: Final = ("single_select", "single-select")
_PLACEHOLDER: Final = re.compile(r"\{\{\s*[^{}]+\s*\}\}")


class Screens:
    """The screens of one file. `renamed`: what `{{choices.cli}}` is called here, as every choice is its own value."""

    def __init__(self, forms: Forms) -> None:
        self._forms = forms
        self.renamed: dict[tuple[str, str], str] = {}

    def none_of(self, step: Mapping[str, Any], came: Place) -> None:
        """Raise for a screen's keys on another step."""
        for key in _OWN:
            if key in step:
                raise self._forms.wrong((*came, key), f"'{key}' belongs to steps with `mode: ui`")

    def step(self, step: Mapping[str, Any], came: Place, goes: Place) -> dict[str, Any]:
        """The gate of a screen; with choices a group: a gate for each, then one for the buttons."""
        wrong = self._forms.wrong
        for key in step:
            if key not in (*_OWN, *_COMMON, "mode", "capture"):
                raise wrong((*came, key), f"'{key}' does not belong to a step with `mode: ui`", suggestion(key, _OWN))
        for key in ("title", "body"):
            if not isinstance(step.get(key, ""), str):
                raise wrong((*came, key), f"'{key}' must be text")
        title, body = step.get("title", ""), str(step.get("body", ""))
        if not title:
            raise wrong(came, "a step with `mode: ui` needs a `title`")
        actions = self._actions(step, came)
        inputs = self._inputs(step, came)
        capture, outcome = step.get("capture"), step.get("outcome_capture")
        if capture is not None and not inputs:
            raise wrong((*came, "capture"), "'capture' is for what the `inputs` choose", "write `outcome_capture`")
        whole = {key: step[key] for key in _COMMON if key in step}
        for key, value in whole.items():
            self._forms.carry(value, (*came, key), (*goes, key))
        text = f"{title}\n\n{body}".strip()
        buttons = [f"{answer}: {label}" for answer, label in actions.items() if label.lower() != answer]
        last = {"gate": "\n\n".join([text, *(["\n".join(buttons)] if buttons else [])]), "options": list(actions)}
        if outcome is not None:
            last["capture"] = outcome
        if not inputs:
            self._placed(last, step, came, goes)
            return {**whole, **last}
        gates = [self._choice(one, text, capture, (*came, "inputs", n)) for n, one in enumerate(inputs)]
        if len(actions) > 1 or outcome is not None:
            gates.append({"id": "action", **last})
        self._forms.carry(gates, (*came, "inputs"), (*goes, "steps"))
        for n, gate in enumerate(gates):
            self._placed(gate, step, came, (*goes, "steps", n))
        return {**whole, "steps": gates}

    def _placed(self, gate: Mapping[str, Any], step: Mapping[str, Any], came: Place, goes: Place) -> None:
        """What was written under another key stands where that is."""
        theirs = {"gate": "title", "options": "actions", "capture": "outcome_capture"}
        for key in gate:
            origin = theirs.get(key)
            if origin in step and (*goes, key) not in self._forms.places:
                self._forms.carry(gate[key], (*came, str(origin)), (*goes, key))

    def _actions(self, step: Mapping[str, Any], came: Place) -> dict[str, str]:
        """Outcomes and their labels."""
        place, actions = (*came, "actions"), step.get("actions")
        if not isinstance(actions, list) or not actions:
            raise self._forms.wrong(place, "a step with `mode: ui` needs `actions`: [{label, outcome}]")
        found: dict[str, str] = {}
        for number, action in enumerate(actions):
            here = (*place, number)
            if not isinstance(action, dict) or not all(isinstance(action.get(k), str) for k in ("label", "outcome")):
                raise self._forms.wrong(here, "an action is {label, outcome}, both text")
            self._known(action, ("label", "outcome"), here)
            if action["outcome"] in found:
                raise self._forms.wrong(here, f"two actions have the outcome '{action['outcome']}'")
            found[action["outcome"]] = action["label"]
        return found

    def _inputs(self, step: Mapping[str, Any], came: Place) -> list[Mapping[str, Any]]:
        place, inputs = (*came, "inputs"), step.get("inputs", [])
        if not isinstance(inputs, list):
            raise self._forms.wrong(place, "'inputs' must be a list")
        ids = []
        for number, one in enumerate(inputs):
            here = (*place, number)
            if not isinstance(one, dict) or not all(isinstance(one.get(key), str) for key in ("kind", "id", "prompt")):
                raise self._forms.wrong(here, "an input is {kind, id, prompt, options}")
            self._known(one, ("kind", "id", "prompt", "options", "default"), here)
            if one["kind"] not in _KINDS:
                raise self._forms.wrong((*here, "kind"), f"kind can't be '{one['kind']}'", f"write {_KINDS[0]}")
            options = one.get("options")
            if not isinstance(options, list) or not options or not all(isinstance(option, str) for option in options):
                raise self._forms.wrong((*here, "options"), "an input needs `options`: a list of texts")
            if one["id"] in ids:
                raise self._forms.wrong((*here, "id"), f"two inputs have the id '{one['id']}'")
            ids.append(one["id"])
        return inputs

    def _known(self, value: Mapping[str, Any], known: tuple[str, ...], place: Place) -> None:
        for key in value:
            if key not in known:
                raise self._forms.wrong((*place, key), f"unknown key '{key}'", suggestion(key, known))

    def _choice(self, one: Mapping[str, Any], text: str, capture: Any, place: Place) -> dict[str, Any]:
        """The gate of one choice."""
        question, options = f"{text}\n\n{one['prompt']}", list(one["options"])
        made: dict[str, Any] = {"id": one["id"]}
        if len(options) == 1 and _PLACEHOLDER.fullmatch(options[0]):
            self._forms.idle((*place, "options"), "what it offers is known only then: any answer is taken")
            question += f"\n\nOne of: {options[0]}"
        else:
            made["options"] = options
        made["gate"] = question
        if "default" in one:
            self._forms.idle((*place, "default"), "`default` of an input has no effect here: the person chooses")
        if isinstance(capture, str):
            made["capture"] = self.renamed[(capture, one["id"])] = f"{capture}-{one['id']}"
        elif capture is not None:
            made["capture"] = capture
        return made

    def rename(self, value: Any) -> Any:
        """A value of any shape whose texts name the choices as they are called here."""
        if isinstance(value, str):
            for (capture, id), name in self.renamed.items():
                pattern = r"\{\{\s*" + re.escape(f"{capture}.{id}") + r"\s*\}\}"
                value = re.sub(pattern, f"{{{{{name}}}}}".replace("\\", r"\\"), value)
            return value
        if isinstance(value, dict):
            return {key: self.rename(item) for key, item in value.items()}
        if isinstance(value, list):
            return [self.rename(item) for item in value]
        return value
