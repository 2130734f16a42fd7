"""One call of `run_step`: what the owner answers, in whatever form, as a StepResult; an exception as `crashed`."""

from __future__ import annotations

import json
import os
import traceback
from typing import TYPE_CHECKING, Any

from runner.engine.context import NeedsHuman
from runner.engine.guard import Interrupted
from runner.errors import Cancelled, LostClaim, RunnerError, StoreError
from runner.model import Step, StepResult

if TYPE_CHECKING:
    from runner.app import App
    from runner.engine.context import TaskContext


def run(app: App, step: Step, context: TaskContext) -> StepResult:
    """Run the step. Cancelled, LostClaim and StoreError pass; everything else becomes a result."""
    try:
        answer = app.owner("run_step", step.type)(step=step, context=context)
        return result_of(_only(answer))
    except NeedsHuman as question:
        return StepResult("needs_human", evidence={"question": question.message})
    except (Cancelled, LostClaim, StoreError):
        raise
    except RunnerError as error:
        return StepResult("crashed", evidence={"error": str(error)})
    except Interrupted:
        context.check()
        return StepResult("timeout", evidence={"error": "the handler went on past its time limit, and was interrupted"})
    except (Exception, SystemExit) as error:
        # SystemExit too: a handler that calls `sys.exit` ends itself, not the worker.
        context.log(traceback.format_exc())
        return StepResult("crashed", evidence={"error": sentence(error)})


def _only(answer: Any) -> Any:
    """A hook that is called for its owner alone answers with a list of one."""
    if isinstance(answer, list):
        return answer[0] if answer else None
    return answer


def result_of(answer: Any) -> StepResult:
    """None, str and dict are short for an outcome of ok."""
    if answer is None:
        return StepResult()
    if isinstance(answer, StepResult):
        return answer
    if isinstance(answer, str):
        return StepResult(output=answer)
    if isinstance(answer, dict):
        try:
            json.dumps(answer)
        except (TypeError, ValueError) as error:
            return StepResult("crashed", evidence={"error": f"the handler returned what JSON can't hold: {error}"})
        return StepResult(evidence=answer)
    kind = type(answer).__name__
    return StepResult(
        "crashed", evidence={"error": f"the handler returned a {kind}, not None, str, dict or StepResult"}
    )


def sentence(error: BaseException) -> str:
    """`ValueError: no such flavour (handlers/bake.py:12)`: the innermost line outside this program's own folders."""
    frames = traceback.extract_tb(error.__traceback__)
    own = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
    outside = [frame for frame in frames if not frame.filename.startswith(own)] or list(frames)
    text = f"{type(error).__name__}: {error}" if str(error) else type(error).__name__
    if not outside:
        return text
    place = outside[-1]
    return f"{text} ({os.path.relpath(place.filename)}:{place.lineno})"
