"""The public test kit: conformance mixins for backends, a history checker, process faults, a PostgreSQL to test with.

Nothing here is imported by the program itself. `pytest` is needed only by the modules that hold tests.
"""

import sys

if "pytest" in sys.modules:  # so that a plain `assert` in a mixin explains itself, as in a test file
    sys.modules["pytest"].register_assert_rewrite("runner.testing.conformance")
