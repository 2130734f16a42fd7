"""What every store must do, as tests: subclass `StoreConformance` and say how your store is opened.

    class TestMyStore(StoreConformance):
        @pytest.fixture
        def open_store(self, tmp_path):
            return functools.partial(my_backend.open_store, f"mydb://{tmp_path}/store")

`open_store()` returns a new Store on the same data each time, and must be picklable: some tests call it in
processes of their own. The data is empty at the start of each test and its schema is up to date.
"""

from runner.testing.conformance.actors import StoreTests
from runner.testing.conformance.claim import ClaimTests
from runner.testing.conformance.crowd import CrowdTests
from runner.testing.conformance.decisions import DecisionTests
from runner.testing.conformance.dependencies import DependencyTests
from runner.testing.conformance.fences import FenceTests
from runner.testing.conformance.gates import GateTests
from runner.testing.conformance.leases import LeaseTests
from runner.testing.conformance.limits import LimitTests
from runner.testing.conformance.outcomes import OutcomeTests
from runner.testing.conformance.reads import ReadTests
from runner.testing.conformance.records import RecordTests
from runner.testing.conformance.streams import StreamTests
from runner.testing.conformance.submit import SubmitTests
from runner.testing.conformance.walk import WalkTests


class StoreConformance(
    SubmitTests,
    ClaimTests,
    LimitTests,
    GateTests,
    DependencyTests,
    LeaseTests,
    OutcomeTests,
    FenceTests,
    DecisionTests,
    StreamTests,
    RecordTests,
    ReadTests,
    CrowdTests,
    WalkTests,
):
    """All of the above. A subclass provides the fixture `open_store`."""


__all__ = ["StoreConformance", "StoreTests"]
