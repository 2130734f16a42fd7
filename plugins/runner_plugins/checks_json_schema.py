"""The check `json_schema`: the output, or a file, is JSON that a schema describes."""

from __future__ import annotations

import json
import os
import re
from pathlib import PurePosixPath
from typing import TYPE_CHECKING, Any, Final

from runner import hookimpl
from runner.model import CheckSpec, Verdict

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from runner.model import Check, Context, StepResult

_KEYS: Final = ("schema", "file")
_LARGEST: Final = 64 << 20
"""Bytes of a document or schema that is read."""
_FENCE: Final = re.compile(r"```(?:json|JSON)?[ \t]*\n(.*?)\n[ \t]*```", re.DOTALL)


@hookimpl
def register_checks() -> dict[str, CheckSpec]:
    """`json_schema: answer.schema.json`, `json_schema: {"schema": {…} or "PATH", "file": "out.json"}`."""
    return {"json_schema": CheckSpec("the output (or a file) is JSON that the schema describes", parse, files=files)}


def parse(value: Any) -> dict[str, Any]:
    """`schema`: a path below the step's directory, or the schema itself; `file`: looked at in place of the output."""
    if isinstance(value, str):
        text = value.strip()
        if text.startswith("{"):
            try:
                value = json.loads(text)
            except ValueError as error:
                raise ValueError(f"not JSON: {error}") from None
        else:
            value = {"schema": text}
    if not isinstance(value, dict):
        raise ValueError(f"{value!r} is neither a path nor a schema")
    if "schema" not in value:
        value = {"schema": value}
    for key in value:
        if key not in _KEYS:
            raise ValueError(f"'{key}' is not known here; known: {', '.join(_KEYS)}")
    for key in _KEYS:
        if isinstance(value.get(key), str):
            _check_path(value[key])
    schema = value["schema"]
    if isinstance(schema, dict):
        _check_schema(schema)
    elif not isinstance(schema, str) or not schema:
        raise ValueError("'schema' must be a path or a JSON Schema")
    if "file" in value and (not isinstance(value["file"], str) or not value["file"]):
        raise ValueError("'file' must be a path")
    return dict(value)


def files(value: Any) -> Sequence[str]:
    """The schema's file is part of the gate."""
    schema = parse(value)["schema"]
    return [schema] if isinstance(schema, str) else []


def _check_path(path: str) -> None:
    if "\0" in path:
        raise ValueError("the path has a NUL character")
    if path.startswith(("/", "~")) or ".." in PurePosixPath(path).parts:
        raise ValueError(f"'{path}' leaves the workspace; write a path below the step's directory")


def _check_schema(schema: Any) -> None:
    """Raise ValueError for what is no JSON Schema."""
    from jsonschema import SchemaError  # here: it takes 60 ms
    from jsonschema.validators import validator_for

    try:
        validator_for(schema).check_schema(schema)
    except SchemaError as error:
        raise ValueError(f"not a JSON Schema: {error.message} at {error.json_path}") from None


@hookimpl
def verify(check: Check, result: StepResult, context: Context) -> Verdict:
    """Validate; the evidence names each place of the document that is wrong."""
    given = parse(check.value)
    evidence: dict[str, Any] = {"schema": given["schema"] if isinstance(given["schema"], str) else "(inline)"}
    try:
        schema = given["schema"]
        if isinstance(schema, str):
            schema = _load(_file(context.workspace, schema), f"the schema '{schema}'")
            _check_schema(schema)
        if given.get("file"):
            document, what = _load(_file(context.workspace, given["file"]), f"'{given['file']}'"), f"'{given['file']}'"
        else:
            document, what = _output(result), "the output"
    except ValueError as error:
        return Verdict(False, str(error), evidence)
    wrong = _complaints(document, schema)
    evidence["errors"] = wrong[:20]
    if wrong:
        more = f" and {len(wrong) - 1} more" if len(wrong) > 1 else ""
        return Verdict(False, f"{what} is not what the schema describes: {wrong[0]}{more}", evidence)
    return Verdict(True, f"{what} is what the schema describes", evidence)


def _complaints(document: Any, schema: Any) -> list[str]:
    from jsonschema.exceptions import best_match
    from jsonschema.validators import validator_for
    from referencing.exceptions import Unresolvable

    validator = validator_for(schema)(schema)
    try:
        errors = sorted(validator.iter_errors(document), key=lambda error: list(map(str, error.absolute_path)))
    except Unresolvable as error:
        return [f"the schema refers to what is not in it: {error}"]
    return [f"{found.json_path}: {found.message[:300]}" for found in (best_match([error]) for error in errors)]


def _file(root: Path, name: str) -> bytes:
    real = os.path.realpath(root / name)
    if not real.startswith(os.path.realpath(root).rstrip("/") + "/"):
        raise ValueError(f"'{name}' leads out of the workspace by a symbolic link")
    try:
        if os.path.getsize(real) > _LARGEST:
            raise ValueError(f"'{name}' has more than {_LARGEST >> 20} MiB")
        with open(real, "rb") as file:
            return file.read()
    except OSError as error:
        raise ValueError(f"'{name}' can't be read: {error.strerror}") from None


def _load(data: bytes, what: str) -> Any:
    try:
        return json.loads(data)
    except (ValueError, RecursionError) as error:
        raise ValueError(f"{what} is not JSON: {error}") from None


def _output(result: StepResult) -> Any:
    """The JSON in the output: the whole, else its last fenced block, else its last line that is JSON."""
    path = result.evidence.get("output_path")
    if isinstance(path, str):
        raise ValueError(f"the output is too long to be looked at ({path}); have it written to a file")
    text = result.output.strip()
    for candidate in (text, *reversed(_FENCE.findall(text)), *reversed(text.splitlines())):
        if candidate.strip()[:1] in tuple('{["-0123456789tfn'):
            try:
                return json.loads(candidate)
            except (ValueError, RecursionError):
                continue
    raise ValueError("the output holds no JSON")
