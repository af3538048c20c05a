"""Downloads over real HTTP from a server of the tests: resume, mirrors, digests, and errors of one line."""

import hashlib
import os
import re
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from lra_data import LraDataError
from lra_data.corpora import fetch
from lra_data.corpora.fetch import Archive, cached_archive, fetch_archive
from lra_data.downloads import patience
from tests.conftest import ROOT
from tests.support.commands import run
from tests.support.remote_servers import Proxy

pytestmark = pytest.mark.long

CONTENT = bytes(range(256)) * 4000
DIGEST = f"sha256:{hashlib.sha256(CONTENT).hexdigest()}"


class Server(ThreadingHTTPServer):
    """Serves CONTENT as /file.

    cuts: after how many bytes each of the next answers breaks off.
    statuses: of the next answers, in place of the file.
    """

    daemon_threads = True
    cuts: list[int]
    statuses: list[int]
    with_ranges: bool
    asked: list[str]

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_address[1]}"


class Handler(BaseHTTPRequestHandler):
    server: Server

    def do_GET(self) -> None:
        self.server.asked.append(self.headers.get("Range") or "all")
        if self.path != "/file":
            self.send_error(404)
            return
        if self.server.statuses:
            self.send_error(self.server.statuses.pop(0))
            return
        start = 0
        match = re.fullmatch(r"bytes=(\d+)-", self.headers.get("Range") or "")
        if match and self.server.with_ranges:
            start = int(match[1])
            if start >= len(CONTENT):
                self.send_error(416)
                return
            self.send_response(206)
        else:
            self.send_response(200)
        body = CONTENT[start:]
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        cut = self.server.cuts.pop(0) if self.server.cuts else len(body)
        self.wfile.write(body[:cut])

    def log_message(self, format: str, *arguments: object) -> None:
        pass


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[Server]:
    monkeypatch.setenv("LRA_DATA_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr(patience, "FIRST_WAIT_S", 0.01)
    monkeypatch.setattr(fetch, "_PATIENCE_S", 0.0)
    monkeypatch.setenv("no_proxy", "127.0.0.1")
    with Server(("127.0.0.1", 0), Handler) as http:
        http.cuts, http.statuses, http.with_ranges, http.asked = [], [], True, []
        thread = threading.Thread(target=http.serve_forever)
        thread.start()
        yield http
        http.shutdown()
        thread.join()


def archive(*urls: str, digest: str | None = DIGEST, size: int | None = len(CONTENT)) -> Archive:
    return Archive(name="file.tar.gz", urls=urls, bytes=size, digest=digest)


def silent(name: str, there: int, total: int) -> None:
    pass


def test_a_file_is_fetched_once_with_progress(server: Server) -> None:
    told: list[tuple[str, int, int]] = []
    wanted = archive(f"{server.url}/file")
    assert cached_archive([wanted]) is None
    path = fetch_archive([wanted], lambda *step: told.append(step))
    assert path.read_bytes() == CONTENT
    assert told[-1] == ("file.tar.gz", len(CONTENT), len(CONTENT))
    assert [there for _, there, _ in told] == sorted(there for _, there, _ in told)
    assert cached_archive([wanted]) == path
    assert fetch_archive([wanted], silent) == path
    assert server.asked == ["all"]
    assert sorted(found.name for found in path.parent.iterdir()) == [".lock", "file.tar.gz"]


def test_a_broken_connection_is_continued(server: Server) -> None:
    server.cuts = [300_000, 200_000, 0]
    path = fetch_archive([archive(f"{server.url}/file", size=None)], silent)
    assert path.read_bytes() == CONTENT
    assert server.asked == ["all", "bytes=300000-", "bytes=500000-", "bytes=500000-"]


def test_a_server_without_ranges_starts_again(server: Server) -> None:
    server.cuts, server.with_ranges = [300_000], False
    assert fetch_archive([archive(f"{server.url}/file")], silent).read_bytes() == CONTENT


def test_the_next_call_goes_on_where_the_last_one_gave_up(server: Server, tmp_path: Path) -> None:
    server.cuts = [100_000, 100_000, 100_000, 100_000, 100_000]
    with pytest.raises(LraDataError, match="the connection broke after 500,000 of 1,024,000 bytes"):
        fetch_archive([archive(f"{server.url}/file")], silent)
    assert [path.name for path in sorted((tmp_path / "cache").iterdir())] == [".lock", "file.tar.gz.part"]
    assert fetch_archive([archive(f"{server.url}/file")], silent).read_bytes() == CONTENT
    assert server.asked[-1] == "bytes=500000-"


@pytest.mark.parametrize("there", [len(CONTENT), len(CONTENT) + 5])
def test_a_part_that_is_as_long_as_the_file_or_longer(server: Server, tmp_path: Path, there: int) -> None:
    (tmp_path / "cache").mkdir()
    (tmp_path / "cache" / "file.tar.gz.part").write_bytes((CONTENT + b"12345")[:there])
    assert fetch_archive([archive(f"{server.url}/file")], silent).read_bytes() == CONTENT
    (tmp_path / "cache" / "file.tar.gz").unlink()
    (tmp_path / "cache" / "file.tar.gz.part").write_bytes((CONTENT + b"12345")[:there])
    unsized = archive(f"{server.url}/file", size=None)
    assert fetch_archive([unsized], silent).read_bytes() == CONTENT


@pytest.mark.slow
def test_a_server_that_is_away_for_five_seconds(server: Server, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(fetch, "_PATIENCE_S", 20.0)
    monkeypatch.setattr(patience, "LONGEST_WAIT_S", 1.0)
    with Proxy(server.server_address[1]) as proxy:
        proxy.cuts = (300_000, 300_000)

        def leave_once(name: str, there: int, total: int) -> None:
            if proxy.cuts and there > 200_000:
                proxy.cuts = None
                proxy.leave_for(5)

        began = time.monotonic()
        path = fetch_archive([archive(f"http://127.0.0.1:{proxy.port}/file")], leave_once)
    assert time.monotonic() - began > 5
    assert path.read_bytes() == CONTENT
    assert server.asked[0] == "all"
    assert len(server.asked) == 2
    assert re.fullmatch(r"bytes=2\d{5}-", server.asked[1])


def test_an_overloaded_server_is_asked_again_and_a_refusal_is_final(server: Server) -> None:
    server.statuses = [503, 429]
    assert fetch_archive([archive(f"{server.url}/file")], silent).read_bytes() == CONTENT
    server.statuses, server.asked = [403, 403], []
    other = Archive(name="other", urls=(f"{server.url}/file",), bytes=None, digest=DIGEST)
    with pytest.raises(LraDataError, match="the server answered 403 Forbidden"):
        fetch_archive([other], silent)
    assert server.asked == ["all"]


def test_a_part_of_another_file_costs_no_address(server: Server, tmp_path: Path) -> None:
    (tmp_path / "cache").mkdir()
    (tmp_path / "cache" / "file.tar.gz.part").write_bytes(b"x" * 1000)
    assert fetch_archive([archive(f"{server.url}/file")], silent).read_bytes() == CONTENT
    assert server.asked == ["bytes=1000-", "all"]


def test_a_longer_part_leaves_nothing_behind_a_whole_answer(server: Server, tmp_path: Path) -> None:
    """Neither size nor digest would tell."""
    server.with_ranges = False
    (tmp_path / "cache").mkdir()
    (tmp_path / "cache" / "file.tar.gz.part").write_bytes(CONTENT + b"12345")
    path = fetch_archive([archive(f"{server.url}/file", digest=None, size=None)], silent)
    assert path.read_bytes() == CONTENT


@pytest.mark.parametrize("size", [len(CONTENT) - 1, len(CONTENT) + 1])
def test_a_file_of_another_size_is_refused_also_without_a_digest(server: Server, size: int) -> None:
    with pytest.raises(LraDataError, match=rf"expected a file with {size:,} bytes, got {len(CONTENT):,} bytes\. Fetch"):
        fetch_archive([archive(f"{server.url}/file", digest=None, size=size)], silent)


def test_ctrl_c_keeps_what_has_come(server: Server, tmp_path: Path) -> None:
    def interrupt(name: str, there: int, total: int) -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        fetch_archive([archive(f"{server.url}/file")], interrupt)
    there = (tmp_path / "cache" / "file.tar.gz.part").stat().st_size
    assert there > 0
    assert fetch_archive([archive(f"{server.url}/file")], silent).read_bytes() == CONTENT
    assert server.asked == ["all", f"bytes={there}-"]


def test_a_disk_that_is_full(server: Server, tmp_path: Path) -> None:
    """A limit on the size of files stands for the full disk."""
    code = (
        "import resource, sys; from lra_data.corpora.fetch import Archive, fetch_archive\n"
        "resource.setrlimit(resource.RLIMIT_FSIZE, (20_000, 20_000))\n"
        "sys.dont_write_bytecode = True\n"
        "try: fetch_archive([Archive(name='a', urls=(sys.argv[1],), bytes=None, digest=None)], lambda *_: None)\n"
        "except Exception as error: sys.exit(f'{type(error).__name__}: {error}')"
    )
    command = [sys.executable, "-c", code, f"{server.url}/file"]
    result = subprocess.run(command, capture_output=True, text=True, cwd=ROOT, check=False)
    assert result.stderr == (
        f"LraDataError: cannot write {tmp_path / 'cache'}: File too large; set LRA_DATA_CACHE to another folder\n"
    )
    assert server.asked == ["all"]
    assert [path.name for path in (tmp_path / "cache").iterdir()] == [".lock"]


def test_mirrors_and_other_archives_are_tried(server: Server) -> None:
    first = archive("http://127.0.0.1:9/file", f"{server.url}/gone")
    second = Archive(name="other.tar.gz", urls=(f"{server.url}/file",), bytes=None, digest=DIGEST)
    path = fetch_archive([first, second], silent)
    assert path.name == "other.tar.gz"
    assert cached_archive([first, second]) == path


def test_a_wrong_digest_leaves_nothing(server: Server, tmp_path: Path) -> None:
    wrong = archive(f"{server.url}/file", digest="md5:00000000000000000000000000000000")
    with pytest.raises(LraDataError) as caught:
        fetch_archive([wrong], silent)
    assert str(caught.value) == (
        f"expected to download file.tar.gz, got: {server.url}/file: expected a file with "
        f"md5 00000000000000000000000000000000, got md5 {hashlib.md5(CONTENT).hexdigest()}. Fetch it by other "
        f"means, put it into {tmp_path / 'cache'}, or name it with --corpus"
    )
    assert [path.name for path in (tmp_path / "cache").iterdir()] == [".lock"]


def test_what_the_user_is_told_without_a_network(server: Server, tmp_path: Path) -> None:
    with pytest.raises(LraDataError) as caught:
        fetch_archive([archive(f"{server.url}/gone")], silent)
    assert str(caught.value) == (
        f"expected to download file.tar.gz, got: {server.url}/gone: the server answered 404 Not Found. Fetch it by "
        f"other means, put it into {tmp_path / 'cache'}, or name it with --corpus"
    )


def test_a_cache_that_cannot_be_written(server: Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "file").write_text("in the way")
    monkeypatch.setenv("LRA_DATA_CACHE", str(tmp_path / "file" / "cache"))
    with pytest.raises(LraDataError, match=r"cannot write .*: Not a directory; set LRA_DATA_CACHE to another folder"):
        fetch_archive([archive(f"{server.url}/file")], silent)


def test_a_build_without_network_or_corpus_is_one_line(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A proxy that is not there stands for a machine without a network."""
    for name in ("http_proxy", "https_proxy"):
        monkeypatch.setenv(name, "http://127.0.0.1:9")
    monkeypatch.setenv("LRA_DATA_CACHE", str(tmp_path / "cache"))
    monkeypatch.delenv("no_proxy", raising=False)
    result = run("show", "image/lra")
    assert result.returncode == 1
    assert result.stderr == (
        "lra-data: error: image/lra: expected CIFAR-10, got none: name cifar-10-binary.tar.gz or the unpacked "
        "folder with --corpus; the archive is at https://www.cs.toronto.edu/~kriz/cifar-10-binary.tar.gz\n"
    )
    assert not os.path.exists(tmp_path / "data")
