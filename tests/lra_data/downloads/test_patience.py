"""When a server is given up."""

import time

import pytest

from lra_data.downloads import patience
from lra_data.downloads.patience import Patience, patiently
from lra_data.downloads.transfer_errors import FetchError


class Server:
    """Fails with an error that may pass. until: when it answers. delivers: whether bytes come before it fails."""

    def __init__(self, until: float, *, delivers: bool) -> None:
        self._until, self._delivers = time.monotonic() + until, delivers
        self.last_byte: float | None = None
        self.tries = 0

    def ask(self) -> str:
        self.tries += 1
        if self._delivers:
            self.last_byte = time.monotonic()
        if time.monotonic() < self._until:
            raise ConnectionResetError("cut")
        return "whole"


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(patience, "FIRST_WAIT_S", 0.02)
    monkeypatch.setattr(patience, "LONGEST_WAIT_S", 0.02)


def test_seconds_are_counted_from_the_last_byte() -> None:
    waiting = Patience(seconds=0.3, least_tries=1)
    server = Server(until=1.0, delivers=True)
    assert patiently(server.ask, waiting, last_byte=lambda: server.last_byte) == "whole"
    server = Server(until=30.0, delivers=False)
    began = time.monotonic()
    with pytest.raises(FetchError) as caught:
        patiently(server.ask, waiting, last_byte=lambda: server.last_byte)
    assert 0.3 <= time.monotonic() - began < 10
    assert isinstance(caught.value.reason, ConnectionResetError)
    assert caught.value.tries == server.tries > 1


def test_least_tries_outlast_the_seconds_and_the_opening_ends_before() -> None:
    server = Server(until=30.0, delivers=True)
    with pytest.raises(FetchError):
        patiently(server.ask, Patience(seconds=0, least_tries=4), last_byte=lambda: server.last_byte)
    assert server.tries == 4
    server = Server(until=30.0, delivers=False)
    with pytest.raises(FetchError):
        patiently(server.ask, Patience(seconds=60, least_tries=4, opening_s=0.0))
    assert server.tries == 1


def test_an_error_that_does_not_pass_is_final() -> None:
    tried = []

    def ask() -> None:
        tried.append(1)
        raise PermissionError("no")

    with pytest.raises(FetchError):
        patiently(ask, Patience(seconds=60, least_tries=4))
    assert len(tried) == 1
