"""Servers that are dead, cannot be reached or say nothing, and sets that are not there: one line within ten seconds."""

import socket
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

import lra_data
from lra_data import LraDataError, SetError
from lra_data.corpora.fetch import Archive, fetch_archive
from lra_data.downloads.deadline import Deadline
from lra_data.store.location import remote
from tests.support.remote_servers import BUCKET, HOST, S3_KEYS, FileServer

pytestmark = pytest.mark.long

LIMIT_S = 10.0
# Reserved for documentation (RFC 5737): packets to it come to nothing, or there is no route.
UNROUTABLE = "192.0.2.1"


@pytest.fixture(autouse=True)
def direct(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """No proxy between the test and its server, no account, a cache of its own. Libraries are loaded beforehand."""
    import aiohttp  # noqa: F401
    import s3fs  # noqa: F401

    for name in ("http_proxy", "https_proxy", "HTTP_PROXY", "HTTPS_PROXY"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("LRA_DATA_CACHE", str(tmp_path / "cache"))
    monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")


def refused() -> int:
    """A port at which nothing listens."""
    with socket.socket() as free:
        free.bind((HOST, 0))
        port: int = free.getsockname()[1]
    return port


@pytest.fixture
def full() -> Iterator[int]:
    """A port whose queue of connections is full, so that a further one stalls while it connects."""
    waiting = []
    with socket.socket() as busy:
        busy.bind((HOST, 0))
        busy.listen(0)
        for _ in range(3):
            waiting.append(socket.socket())
            waiting[-1].setblocking(False)
            waiting[-1].connect_ex(busy.getsockname())
        yield busy.getsockname()[1]
        for one in waiting:
            one.close()


@pytest.fixture
def silent() -> Iterator[int]:
    """A port that takes connections and never says anything."""
    with socket.socket() as mute:
        mute.bind((HOST, 0))
        mute.listen(50)
        yield mute.getsockname()[1]


def one_line_in_time(call: Callable[[], Any], *kinds: type[LraDataError]) -> str:
    began = time.monotonic()
    with pytest.raises(kinds or SetError) as caught:
        call()
    assert time.monotonic() - began < LIMIT_S
    text = str(caught.value)
    assert "\n" not in text
    return text


def opened(root: str, **options: Any) -> Callable[[], Any]:
    return lambda: lra_data.load("listops/mini", split="train", root=root, storage_options=options or None)


def s3(port: int, host: str = HOST) -> dict[str, Any]:
    return {"endpoint_url": f"http://{host}:{port}", **S3_KEYS}


@pytest.fixture
def brisk(monkeypatch: pytest.MonkeyPatch) -> None:
    """The limit in small; `test_the_limits_as_they_are` waits for the real ones."""
    assert remote.OPENING_S <= 8  # and a second or two for the libraries
    monkeypatch.setattr(remote, "OPENING_S", 1.0)


@pytest.mark.usefixtures("brisk")
def test_a_server_that_refuses() -> None:
    port = refused()
    text = one_line_in_time(opened(f"http://{HOST}:{port}/sets"))
    assert text.startswith(f"http://{HOST}:{port}/sets/listops/mini/manifest.json: expected to read it, got: ")
    assert text.endswith("run the same command again when the server is back")


@pytest.mark.usefixtures("brisk")
def test_an_s3_server_that_refuses() -> None:
    text = one_line_in_time(opened(f"s3://{BUCKET}", **s3(refused())))
    assert text.startswith(f"s3://{BUCKET}/listops/mini/manifest.json: expected to read it, got: ")


@pytest.mark.usefixtures("brisk")
def test_a_host_without_a_route() -> None:
    text = one_line_in_time(opened(f"http://{UNROUTABLE}/sets"))
    assert text.startswith(f"http://{UNROUTABLE}/sets/listops/mini/manifest.json: expected to read it, got: ")


@pytest.mark.usefixtures("brisk")
def test_a_server_that_stalls_while_connecting(full: int) -> None:
    text = one_line_in_time(opened(f"http://{HOST}:{full}/sets"))
    assert "got: TimeoutError: no answer within 1 s, after 1 try: run the same command again" in text


@pytest.mark.usefixtures("brisk")
def test_servers_that_say_nothing(silent: int) -> None:
    for call in (opened(f"http://{HOST}:{silent}/sets"), opened(f"s3://{BUCKET}", **s3(silent))):
        assert "no answer within 1 s" in one_line_in_time(call)


@pytest.mark.slow
def test_the_limits_as_they_are(full: int, silent: int) -> None:
    for port in (refused(), full, silent):
        one_line_in_time(opened(f"http://{HOST}:{port}/sets"))
        one_line_in_time(opened(f"s3://{BUCKET}", **s3(port)))


@pytest.mark.usefixtures("brisk")
def test_a_host_that_is_not_known() -> None:
    text = one_line_in_time(opened("https://no-such-host.invalid/sets"))
    assert text.startswith("https://no-such-host.invalid/sets/listops/mini/manifest.json: expected to read it, got: ")


def test_sets_that_are_not_there(small_set: Path, tmp_path: Path) -> None:
    """Of S3 in store/location/test_s3.py::test_what_s3_refuses."""
    wanted = "expected a built set, found no manifest.json: name the address of the folder ROOT/TASK/PRESET"
    with FileServer(small_set) as http:
        root = f"http://{HOST}:{http.port}"
        assert one_line_in_time(opened(f"{root}/none")) == f"{root}/none/listops/mini: {wanted}"
    assert one_line_in_time(opened(f"file://{tmp_path}/none")).endswith(wanted)
    assert one_line_in_time(opened("memory://none")).endswith(wanted)


@pytest.mark.slow
def test_the_download_of_a_corpus(full: int) -> None:
    for port in (refused(), full):
        archive = Archive(name="corpus", urls=(f"http://{HOST}:{port}/corpus",), bytes=None, digest=None)
        text = one_line_in_time(lambda archive=archive: fetch_archive([archive], lambda *_: None), LraDataError)  # type: ignore[misc]
        assert text.startswith(f"expected to download corpus, got: http://{HOST}:{port}/corpus: ")


def test_a_deadline_is_one_for_all_calls() -> None:
    in_time = Deadline(0.5)
    assert in_time(lambda text: text, "answer") == "answer"
    began = time.monotonic()
    for _ in range(2):
        with pytest.raises(TimeoutError, match=r"no answer within 0\.5 s"):
            in_time(time.sleep, 3)
    assert time.monotonic() - began < 2
    with pytest.raises(TimeoutError, match="its own"):
        Deadline(5)(fail)
    assert Deadline(None)(lambda: 3) == 3


def fail() -> None:
    raise TimeoutError("its own")
