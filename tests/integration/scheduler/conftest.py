"""A broker for a whole module, since starting one takes longer than most tests; its streams are new in every test."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.nats import NatsServer, nats_server  # noqa: F401


@pytest.fixture
def url(nats_server: NatsServer) -> str:  # noqa: F811
    return nats_server.url


@pytest.fixture(scope="module")
def still_url(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """For tests that run nothing in the background and so leave nothing on the broker."""
    directory: Path = tmp_path_factory.mktemp("nats")
    with NatsServer(directory) as server:
        yield server.url
