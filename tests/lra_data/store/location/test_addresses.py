"""Addresses: what one is, which options, passwords and libraries it takes, and a server that stalls."""

import base64
import sys
import time

import pytest

from lra_data.errors import SetError, UsageError
from lra_data.paths import is_address
from lra_data.store.atomic_files import sha256_of
from lra_data.store.location import address_reader
from lra_data.store.location.remote import RemoteFolder
from lra_data.store.shard_entry import Shard
from tests.support.remote_servers import FileServer


def test_what_an_address_is() -> None:
    for address in ("https://host/set", "HTTP://host", "s3://bucket/set", "gs://b", "file:///set", "zip::s3://b/f.zip"):
        assert is_address(address)
    for path in ("data/listops/mini", "/data/set", "C:\\data", "c://data", "https:/host", "a:b", "", "data/s3://b"):
        assert not is_address(path)


def test_storage_options_reach_the_server(server: FileServer, monkeypatch: pytest.MonkeyPatch) -> None:
    import aiohttp

    chosen = aiohttp.ClientTimeout(total=1)
    options = {"headers": {"X-Token": "1"}, "client_kwargs": {"timeout": chosen}}
    passed = address_reader.with_patience(server.url, options)
    assert passed["headers"] == {"Accept-Encoding": "identity", "X-Token": "1"}
    assert passed["client_kwargs"] == {"timeout": chosen, "trust_env": True}
    assert address_reader.with_patience(server.url, {})["client_kwargs"]["timeout"].sock_read == 30
    assert address_reader.with_patience("s3://bucket", {"key": "1"}) == {"key": "1"}


@pytest.mark.usefixtures("impatient")
def test_a_server_that_stalls(server: FileServer, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(address_reader, "STALLED_S", 0.2)
    server.delay_s = 5.0
    start = time.monotonic()
    with pytest.raises(SetError, match="after 3 tries"):
        RemoteFolder(server.url).manifest()
    assert time.monotonic() - start < 3
    server.delay_s = 0


def test_passwords_and_signatures_are_sent_but_not_shown(server: FileServer, shard: Shard) -> None:
    address = server.url.replace("//", "//user:secret@") + "?signature=secret"
    assert sha256_of(RemoteFolder(address).shard_path(shard)) == shard.sha256
    assert server.last is not None
    assert server.last.query_string == "signature=secret"
    assert server.last.headers["Authorization"] == f"Basic {base64.b64encode(b'user:secret').decode()}"
    assert "secret" not in repr(RemoteFolder(address))
    server.statuses = [403]
    with pytest.raises(SetError) as caught:
        RemoteFolder(address).manifest()
    assert str(caught.value).startswith(f"{server.url}/manifest.json: expected to read it")
    assert "secret" not in str(caught.value)


def test_an_unknown_scheme() -> None:
    with pytest.raises(UsageError) as caught:
        RemoteFolder("nowhere://set").manifest()
    assert str(caught.value) == (
        "nowhere://set: expected an address that fsspec knows, such as https://, s3:// or gs://, got: Protocol not "
        "known: nowhere"
    )


@pytest.mark.parametrize(("module", "address"), [("s3fs", "s3://sets/mini"), ("fsspec.core", "s3://sets/mini")])
def test_a_library_that_is_not_installed(monkeypatch: pytest.MonkeyPatch, module: str, address: str) -> None:
    from fsspec.registry import _registry

    monkeypatch.delitem(_registry, "s3", raising=False)
    monkeypatch.setitem(sys.modules, module, None)
    with pytest.raises(UsageError) as caught:
        RemoteFolder(address).manifest()
    message = str(caught.value)
    assert message.startswith(f"{address}: expected the libraries that read it, got: ")
    assert message.endswith("pip install 'lra-data[remote]', or '.[remote]' in a checkout")
    assert "\n" not in message
