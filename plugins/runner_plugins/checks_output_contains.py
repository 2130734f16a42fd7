"""The check `output_contains`: a text occurs in the step's output, the prompt's own text not counted."""

from __future__ import annotations

import json
import mmap
from typing import TYPE_CHECKING, Any

from runner import hookimpl
from runner.model import CheckSpec, Verdict

if TYPE_CHECKING:
    from runner.model import Check, Context, Step, StepResult


@hookimpl
def register_checks() -> dict[str, CheckSpec]:
    """`output_contains: all good`, `output_contains: ["one", "and the other"]`."""
    return {"output_contains": CheckSpec("the output has the text, or each of a list", parse)}


def parse(value: Any) -> str | list[str]:
    """A text, in double quotes where its spaces matter, or a list of texts."""
    if isinstance(value, str) and value[:1] in ('"', "["):
        try:
            value = json.loads(value)
        except ValueError:
            pass  # a text may start so
    texts = value if isinstance(value, list) else [value]
    if not texts or not all(isinstance(text, str) and text for text in texts):
        raise ValueError("a text, or a list of texts, is expected")
    return texts if isinstance(value, list) else str(texts[0])


@hookimpl
def verify(check: Check, step: Step, result: StepResult, context: Context) -> Verdict:
    """Look in the output (in the log, when it is too long to be held), with one copy of the prompt taken out."""
    value = parse(check.value)
    texts = value if isinstance(value, list) else [value]
    path = result.evidence.get("output_path")
    if isinstance(path, str):
        missing = [text for text in texts if not _in_file(path, text)]
        evidence: dict[str, Any] = {"path": path, "missing": missing}
    else:
        output = _without_prompt(result.output, step, context)
        missing = [text for text in texts if text not in output]
        evidence = {"missing": missing, "characters": len(output), "tail": output[-500:]}
    if missing:
        return Verdict(False, f"the output does not contain {_quoted(missing)}", evidence)
    return Verdict(True, f"the output contains {_quoted(texts)}", evidence)


def _without_prompt(output: str, step: Step, context: Context) -> str:
    """An agent that repeats its task has not said what the task asks it to say."""
    prompts = [str(step.payload.get("prompt") or "")]
    try:
        prompts.insert(0, (context.folder / "prompt.md").read_text(encoding="utf-8"))
    except OSError:
        pass  # not an agent's step
    for prompt in prompts:
        if prompt.strip() and prompt.strip() in output:
            return output.replace(prompt.strip(), "", 1)
    return output


def _in_file(path: str, text: str) -> bool:
    with open(path, "rb") as file, mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as content:
        return content.find(text.encode()) >= 0


def _quoted(texts: list[str]) -> str:
    return " and ".join(repr(text if len(text) <= 60 else f"{text[:59]}…") for text in texts[:5])
