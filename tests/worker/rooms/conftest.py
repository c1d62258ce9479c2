"""One livekit-server for the tests of this folder; those that stop it start their own."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.fakes.livekit_server import LiveKitServer, livekit_server, server_binary


@pytest.fixture(scope="module")
def livekit(tmp_path_factory: pytest.TempPathFactory) -> Iterator[LiveKitServer]:
    if server_binary() is None:
        pytest.fail("livekit-server is not installed: run `make livekit`")
    with livekit_server(tmp_path_factory.mktemp("livekit")) as server:
        yield server
