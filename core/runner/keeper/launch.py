"""Starting a child: found on its own PATH, in a session of its own, with nothing of the keeper's but its pipes."""

from __future__ import annotations

import errno
import os
import signal

# Ignored signals stay ignored over exec, and Python or the keeper ignores these.
# So may a shell that started us in the background, of others.
_DEFAULT = sorted(set(signal.valid_signals()) - {signal.SIGKILL, signal.SIGSTOP})


class CannotStart(Exception):
    """The child can't be started; the text is a whole sentence."""


def start(argv: list[str], cwd: str, env: dict[str, str], stdin: int | None, stdout: int, stderr: int) -> int:
    """Start `argv` in `cwd` with exactly `env` and the three streams (`stdin` None: /dev/null); its pid.

    `posix_spawn` neither copies the keeper's memory nor runs Python in the child; it can't change
    directory, so the single-threaded keeper does, and goes back.
    """
    actions = [(os.POSIX_SPAWN_DUP2, stdout, 1), (os.POSIX_SPAWN_DUP2, stderr, 2)]
    if stdin is not None:
        actions.append((os.POSIX_SPAWN_DUP2, stdin, 0))
    if not argv:
        raise CannotStart("there is no program to run: the argument list is empty")
    try:
        os.chdir(cwd)
    except (OSError, ValueError) as error:
        raise CannotStart(f"can't work in {cwd}: {_reason(error)}") from None
    try:
        program = _find(argv[0], env)
        return os.posix_spawn(program, argv, env, file_actions=actions, setsid=True, setsigmask=(), setsigdef=_DEFAULT)
    except (OSError, ValueError) as error:
        raise CannotStart(_explain(argv, env, error)) from None
    finally:
        os.chdir("/")  # the keeper must not keep a worktree in use


def _find(program: str, env: dict[str, str]) -> str:
    if "/" in program:
        return program
    for folder in env.get("PATH", os.defpath).split(os.pathsep):
        path = os.path.join(folder or ".", program)
        if os.access(path, os.X_OK) and not os.path.isdir(path):
            return path
    raise CannotStart(f"program '{program}' was not found on PATH ({env.get('PATH', os.defpath)})")


def _explain(argv: list[str], env: dict[str, str], error: OSError | ValueError) -> str:
    name = argv[0]
    if isinstance(error, ValueError):
        return f"can't start {name!r}: an argument or variable can't be passed ({error})"
    if error.errno == errno.E2BIG:
        size = sum(len(os.fsencode(word)) + 1 for word in [*argv, *(f"{key}={env[key]}" for key in env)])
        return f"can't start {name}: its arguments and environment ({size:,} bytes) are longer than this system allows"
    if error.errno == errno.ENOENT and os.path.exists(name):
        return f"can't start {name}: the interpreter its first line names does not exist"
    if error.errno == errno.ENOENT:
        return f"program '{name}' does not exist"
    if error.errno == errno.EACCES and os.path.isdir(name):
        return f"can't start {name}: it is a directory"
    if error.errno == errno.EACCES:
        return f"can't start {name}: it is not executable"
    if error.errno == errno.ENOEXEC:
        return f"can't start {name}: it has no #! line and is not a program for this machine"
    return f"can't start {name}: {_reason(error)}"


def _reason(error: OSError | ValueError) -> str:
    return (error.strerror if isinstance(error, OSError) else str(error)) or str(error)
