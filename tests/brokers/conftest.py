"""What the tests of the brokers share by name."""

from __future__ import annotations

import pytest

from djq_testing.fakes.sqs import SqsServer
from tests.sqs_tampered import Tampered


@pytest.fixture
def sqs_server(djq_clock):
    """SQS in memory, which gives the oldest message first."""
    return SqsServer(djq_clock, shuffle=None)


@pytest.fixture
def tampered(sqs_server):
    """The same, of which some answers are not its own."""
    return Tampered(sqs_server)
