"""franz-go, a client in pure Go that is strict about the protocol; the scenarios are in ``go/``."""

import pytest

pytestmark = pytest.mark.timeout(600)  # the first one also fetches and builds


@pytest.mark.parametrize(
    "scenario",
    [
        "TestEveryCompressionRoundTrips",
        "TestRecordsKeepKeysHeadersNullsAndTimestamps",
        "TestAutoCreatedTopic",
        "TestAcksNoneAndLeader",
        "TestGroupSharesCommitsAndResumes",
        "TestStaticMemberKeepsItsPlace",
        "TestAdminTopics",
        "TestAdminOffsetsAndDeletedRecords",
        "TestWhatAUserInterfaceAsks",
    ],
)
def test_round_trip(go_clients, scenario: str) -> None:
    go_clients(scenario)
