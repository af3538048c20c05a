"""Sets on S3, as moto serves them."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from lra_data.errors import SetError
from lra_data.store.location.remote import RemoteFolder
from lra_data.store.manifest import read_manifest
from lra_data.store.shard_entry import Shard
from tests.support.remote_servers import BUCKET, HOST, S3_KEYS, Proxy, s3_server

pytestmark = pytest.mark.long


@pytest.fixture(scope="module")
def s3_port(small_set: Path) -> Iterator[int]:
    with s3_server(small_set) as port:
        yield port


def s3_folder(port: int, url: str = f"s3://{BUCKET}/listops/mini", **options: Any) -> RemoteFolder:
    return RemoteFolder(url, storage_options={"endpoint_url": f"http://{HOST}:{port}", **S3_KEYS, **options})


def test_a_set_on_s3(s3_port: int, small_set: Path, shard: Shard) -> None:
    folder = s3_folder(s3_port)
    assert folder.manifest() == read_manifest(small_set)
    assert folder.shard_path(shard).read_bytes() == (small_set / shard.file).read_bytes()


def test_s3_over_a_connection_that_breaks_and_is_away(s3_port: int, small_set: Path, shard: Shard) -> None:
    with Proxy(s3_port, seed=5) as proxy:
        proxy.cuts = (2_000, 30_000)
        proxy.leave_for(1)
        assert s3_folder(proxy.port).shard_path(shard).read_bytes() == (small_set / shard.file).read_bytes()
        assert proxy.connections > 2


@pytest.mark.usefixtures("impatient")
def test_what_s3_refuses(s3_port: int, shard: Shard, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    with pytest.raises(SetError, match=r"s3://no-such-bucket/set: expected a built set, found no manifest\.json"):
        s3_folder(s3_port, "s3://no-such-bucket/set").manifest()
    with pytest.raises(SetError, match=rf"{shard.file} of the manifest, found no such file"):
        s3_folder(s3_port, f"s3://{BUCKET}/other").shard_path(shard)
    for name in ("AWS_SHARED_CREDENTIALS_FILE", "AWS_CONFIG_FILE"):
        monkeypatch.setenv(name, str(tmp_path / "none"))
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_PROFILE"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")
    with pytest.raises(SetError, match=r"NoCredentialsError: .*, retrying will not help") as caught:
        RemoteFolder(f"s3://{BUCKET}/listops/mini", storage_options={"endpoint_url": f"http://{HOST}:9"}).manifest()
    assert "\n" not in str(caught.value)
    with pytest.raises(SetError, match=r"unexpected keyword argument.*check the address, the credentials and storage"):
        s3_folder(s3_port, no_such_option=1).manifest()
