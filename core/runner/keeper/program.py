"""The keeper's program: `python -S -E -I …/program.py LABEL` with its socket as descriptor 3. Never imported."""

import os
import sys

SOCKET = 3


def main() -> int:
    here = os.path.dirname(os.path.abspath(__file__))
    # Empty packages with the right search path stand in for `runner` and `runner.keeper`, whose own
    # __init__ would import what only the client needs: this process starts in half the time.
    for name, folder in (("runner", os.path.dirname(here)), ("runner.keeper", here)):
        package = type(sys)(name)
        package.__path__ = [folder]
        sys.modules[name] = package
    from runner.keeper.wire import encode

    try:
        from runner.keeper.serve import serve

        serve(SOCKET)
    except Exception as error:
        # Whatever ran has been ended on the way here. The client learns why.
        os.write(SOCKET, encode({"crash": f"{type(error).__name__}: {error}"}))
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
