"""The program `runner`: answers `--version` at once, hands everything else to the command line."""

from __future__ import annotations

import sys


def main() -> int:
    """Run the program with `sys.argv` → its exit code."""
    if sys.argv[1:] == ["--version"]:
        # Before click and any plugin: scripts ask this on every start.
        from runner import __version__

        try:
            print(f"runner {__version__}", flush=True)
        except OSError:
            return 1
        return 0
    try:
        from runner.cli.main import run

        return run(sys.argv[1:])
    except KeyboardInterrupt:
        return 130


if __name__ == "__main__":
    sys.exit(main())
