"""Builds into an object store: S3 as moto serves it, and fsspec's memory file system, which has no checksums."""

import hashlib
import json
import os
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import fsspec
import pytest

import lra_data
from lra_data import BuildError, SetError, UsageError
from lra_data.building.repair import repair
from lra_data.checking.verify import verify
from lra_data.store.outputs import object_store, uploads
from lra_data.store.outputs.choice import output_at
from lra_data.store.outputs.output import Stored, publish, publish_text
from tests.conftest import ALL_FORMATS, file_bytes
from tests.support.commands import run
from tests.support.remote_servers import BUCKET, HOST, S3_KEYS, Proxy, empty_s3_server, s3_client
from tests.support.small_builds import MINI, Interruption, OneAtATime, family_options

pytestmark = pytest.mark.long

OPTIONS: dict[str, Any] = {"formats": ALL_FORMATS, "num_shards": 2, "sizes": {"train": 30, "validation": 6, "test": 4}}
RANGES = 4


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> dict[str, bytes]:
    """The files of a build in a folder."""
    root = tmp_path_factory.mktemp("whole")
    lra_data.build(MINI, root, **OPTIONS)
    return file_bytes(root / MINI)


@pytest.fixture(scope="module")
def s3_port() -> Iterator[int]:
    with empty_s3_server() as port:
        yield port


@pytest.fixture(autouse=True)
def environment(s3_port: int, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Endpoint and credentials where every process of a cluster finds them."""
    use_port(s3_port, monkeypatch)
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", S3_KEYS["key"])
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", S3_KEYS["secret"])
    monkeypatch.setenv("LRA_DATA_CACHE", str(tmp_path / "cache"))
    monkeypatch.setenv("no_proxy", HOST)


def use_port(port: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AWS_ENDPOINT_URL", f"http://{HOST}:{port}")
    fsspec.get_filesystem_class("s3").clear_instance_cache()


@pytest.fixture(params=["s3", "memory"])
def root(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """An address of its own for each test."""
    return f"s3://{BUCKET}/{tmp_path.name}" if request.param == "s3" else f"memory://{tmp_path.name}"


def stored(root: str) -> dict[str, bytes]:
    """Every file of the set at an address, by name."""
    filesystem, path = fsspec.url_to_fs(f"{root}/{MINI}")
    filesystem.invalidate_cache()
    return {found.removeprefix(f"{path}/"): filesystem.cat_file(found) for found in filesystem.find(path)}


def test_the_same_files_in_every_place(whole: dict[str, bytes], root: str) -> None:
    manifest = lra_data.build(MINI, root, **OPTIONS)
    assert stored(root) == whole
    assert lra_data.build(MINI, root, **OPTIONS) == manifest
    assert lra_data.verify(f"{root}/{MINI}") == []
    assert lra_data.build_status(f"{root}/{MINI}").complete
    train = lra_data.load(MINI, split="train", root=root)
    assert train[:].equals(lra_data.generate(MINI, "train", 0, 30))


@pytest.mark.slow
def test_two_workers_and_parts_on_s3(whole: dict[str, bytes], tmp_path: Path) -> None:
    root = f"s3://{BUCKET}/{tmp_path.name}"
    lra_data.build(MINI, f"{root}/two", **OPTIONS, workers=2)
    assert stored(f"{root}/two") == whole
    for part in ("2/3", "0/3"):
        lra_data.build_part(MINI, root, part, **OPTIONS)
    with pytest.raises(BuildError, match=r"s3://.*expected all 4 row ranges, 1 is missing, of parts 1 of 3"):
        lra_data.finish_build(MINI, root, **OPTIONS)
    assert lra_data.build_status(f"{root}/{MINI}").missing_parts == "1"
    lra_data.build_part(MINI, root, "1/3", **OPTIONS)
    lra_data.finish_build(MINI, root, **OPTIONS)
    assert stored(root) == whole


@pytest.mark.slow
@pytest.mark.parametrize("name", ["pathfinder/32-easy", "text/lra"])
def test_other_families_in_parts_on_s3(name: str, corpora: dict[str, Path], tmp_path: Path) -> None:
    family = name.partition("/")[0]
    options = family_options(name, corpora, formats=ALL_FORMATS, num_shards=3)
    lra_data.build(name, tmp_path / "here", **options)
    (here,) = (tmp_path / "here" / family).iterdir()
    root = f"s3://{BUCKET}/{tmp_path.name}"
    for part in ("1/2", "0/2"):
        lra_data.build_part(name, root, part, **options)
    lra_data.finish_build(name, root, **options)
    filesystem, path = fsspec.url_to_fs(f"{root}/{family}/{here.name}")
    filesystem.invalidate_cache()
    found = {place.removeprefix(f"{path}/"): filesystem.cat_file(place) for place in filesystem.find(path)}
    assert found == file_bytes(here)


@pytest.mark.parametrize(
    "finished", [pytest.param(0, marks=pytest.mark.slow), 1, pytest.param(3, marks=pytest.mark.slow)]
)
def test_a_stopped_build_goes_on_and_reads_no_shard(
    whole: dict[str, bytes], tmp_path: Path, finished: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    root = f"s3://{BUCKET}/{tmp_path.name}"
    with pytest.raises(Interruption):
        lra_data.build(MINI, root, **OPTIONS, engine=OneAtATime(lambda jobs: jobs, stop_after=finished))
    assert "manifest.json" not in stored(root)
    with pytest.raises(SetError, match=r"expected a built set, found no manifest\.json"):
        lra_data.load(f"{root}/{MINI}", split="train")
    monkeypatch.setattr(uploads.ReadBackUploads, "_digest", lambda *_: pytest.fail("a shard was read"))
    steps: list[Any] = []
    lra_data.build(MINI, root, **OPTIONS, progress=steps.append)
    assert [step.kept for step in steps] == [True] * finished + [False] * (RANGES - finished)
    assert stored(root) == whole


@pytest.mark.parametrize(
    "damage",
    ["no marker", "other bytes", *(pytest.param(name, marks=pytest.mark.slow) for name in ("no shard", "digests"))],
)
def test_what_was_damaged_is_made_again(whole: dict[str, bytes], root: str, damage: str) -> None:
    with pytest.raises(Interruption):
        lra_data.build(MINI, root, **OPTIONS, engine=OneAtATime(lambda jobs: jobs, stop_after=2))
    filesystem, path = fsspec.url_to_fs(f"{root}/{MINI}")
    shard = "train-00001-of-00002.arrow"
    if damage == "no marker":
        filesystem.rm_file(f"{path}/.build/{shard}.json")
    elif damage == "no shard":
        filesystem.rm_file(f"{path}/{shard}")
    else:
        name = shard if damage == "other bytes" else ".build/train-00001-of-00002.rows"
        data = filesystem.cat_file(f"{path}/{name}")
        filesystem.pipe_file(f"{path}/{name}", data[:-1] + bytes([data[-1] ^ 1]))
    steps: list[Any] = []
    lra_data.build(MINI, root, **OPTIONS, progress=steps.append)
    assert [step.kept for step in steps] == [True, False, False, False]
    assert stored(root) == whole


def test_damaged_sets_are_found_and_repaired(whole: dict[str, bytes], root: str) -> None:
    lra_data.build(MINI, root, **OPTIONS)
    filesystem, path = fsspec.url_to_fs(f"{root}/{MINI}")
    data = whole["train-00001-of-00002.tar"]
    filesystem.pipe_file(f"{path}/train-00001-of-00002.tar", bytes([data[0] ^ 1]) + data[1:])
    filesystem.rm_file(f"{path}/test-00000-of-00001.parquet")
    filesystem.pipe_file(f"{path}/train-00007-of-00009.arrow", b"foreign")
    for quick in (True, False):
        faults = verify(f"{root}/{MINI}", quick=quick)
        assert sorted(fault.file for fault in faults) == [
            "test-00000-of-00001.parquet",
            "train-00001-of-00002.tar",
            "train-00007-of-00009.arrow",
        ]
    filesystem.rm_file(f"{path}/train-00007-of-00009.arrow")
    assert sorted(repair(f"{root}/{MINI}")) == ["test-00000-of-00001.parquet", "train-00001-of-00002.tar"]
    assert stored(root) == whole
    assert repair(f"{root}/{MINI}") == []


def test_another_plan_and_overwriting(whole: dict[str, bytes], root: str) -> None:
    with pytest.raises(Interruption):
        lra_data.build(MINI, root, **OPTIONS, seed=5, engine=OneAtATime(lambda jobs: jobs, stop_after=3))
    with pytest.raises(SetError, match="an unfinished build with seed 5, asked for 0"):
        lra_data.build(MINI, root, **OPTIONS)
    lra_data.build(MINI, root, **OPTIONS, overwrite=True)
    assert stored(root) == whole


def test_a_build_does_not_replace_the_card_that_another_writes_now(root: str) -> None:
    """A store has no lock: another run may be between its last card and the manifest."""
    lra_data.build_part(MINI, root, "0/1", **OPTIONS)
    output = output_at(f"{root}/{MINI}")
    publish_text(output, "README.md", "the last card")
    cards: list[bytes | None] = []

    class Watching(OneAtATime):
        def run(self, function: Any, jobs: Any) -> Iterator[Any]:
            cards.append(output.read("README.md"))
            yield from super().run(function, jobs)

    lra_data.build(MINI, root, **OPTIONS, engine=Watching(lambda jobs: jobs))
    assert cards == [b"the last card"]


def test_the_store_compares_the_digest_of_each_upload(tmp_path: Path, s3_port: int) -> None:
    output = output_at(f"s3://{BUCKET}/{tmp_path.name}")
    with publish(output, "one.bin", lambda _: None) as file:
        file.write(b"content")
    with s3_client(s3_port) as client:
        head = client.head_object(Bucket=BUCKET, Key=f"{tmp_path.name}/one.bin", ChecksumMode="ENABLED")
    sha256 = hashlib.sha256(b"content")
    assert head["ChecksumSHA256"] == uploads._base64(sha256.digest())
    assert output.holds("one.bin", Stored(bytes=7, sha256=sha256.hexdigest()), thorough=False)
    assert not output.holds("one.bin", Stored(bytes=7, sha256="0" * 64), thorough=False)
    assert not output.holds("two.bin", Stored(bytes=7, sha256=sha256.hexdigest()), thorough=False)


def test_an_upload_in_parts_is_compared_too(tmp_path: Path, s3_port: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(uploads, "SINGLE_BYTES", 2**22)
    monkeypatch.setattr(uploads, "PART_BYTES", 5 * 2**20)  # S3's smallest
    data = os.urandom(2**23)
    output = output_at(f"s3://{BUCKET}/{tmp_path.name}")
    found: list[Stored] = []
    with publish(output, "big.bin", found.append) as file:
        file.write(data)
    assert found[0].seal.endswith("-2")
    assert output.holds("big.bin", found[0], thorough=False)
    unsealed = Stored(bytes=len(data), sha256=hashlib.sha256(data).hexdigest())
    assert output.holds("big.bin", unsealed, thorough=False)
    assert not output.holds("big.bin", Stored(bytes=len(data), sha256="0" * 64, seal="x-2"), thorough=False)
    with s3_client(s3_port) as client:
        assert client.list_multipart_uploads(Bucket=BUCKET).get("Uploads", []) == []


def test_a_store_that_keeps_other_bytes(root: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """What it keeps of one shard differs from what was sent: the shard gets no marker, and the set no manifest."""
    wrong = "train-00001-of-00002.arrow"
    for kind, name in ((uploads.ReadBackUploads, "_digest"), (uploads.S3Uploads, "_checksum")):
        original = getattr(kind, name)
        monkeypatch.setattr(
            kind, name, lambda self, path, original=original: "AAAA" if path.endswith(wrong) else original(self, path)
        )
    with pytest.raises(BuildError, match=r"expected (sha256|the store to keep SHA-256) .*another program writes there"):
        lra_data.build(MINI, root, **OPTIONS)
    there = stored(root)
    assert ".build/train-00000-of-00002.arrow.json" in there
    assert f".build/{wrong}.json" not in there
    assert "manifest.json" not in there


def test_over_a_connection_that_breaks(
    whole: dict[str, bytes], s3_port: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with Proxy(s3_port, seed=3) as proxy:
        proxy.cuts = (2_000, 60_000)
        use_port(proxy.port, monkeypatch)
        lra_data.build(MINI, f"s3://{BUCKET}/{tmp_path.name}", **OPTIONS)
        assert proxy.connections > 2
    use_port(s3_port, monkeypatch)
    assert stored(f"s3://{BUCKET}/{tmp_path.name}") == whole


class Mortal:
    """An upload that fails after `left` uploads, as in a process that has been killed."""

    def __init__(self, original: Any, left: int) -> None:
        self.original, self.left = original, left

    def __call__(self, *arguments: Any) -> Any:
        if self.left == 0:
            raise Interruption
        self.left -= 1
        return self.original(*arguments)


def test_killed_between_any_two_uploads(whole: dict[str, bytes], tmp_path: Path) -> None:
    """Whichever upload is the last of a run: nothing looks whole that is not, and the next run gives the same."""
    uploads_done = 0
    while True:
        root = f"memory://{tmp_path.name}-{uploads_done}"
        with pytest.MonkeyPatch.context() as patched:
            mortal = Mortal(object_store.StoreOutput.adopt, uploads_done)
            patched.setattr(object_store.StoreOutput, "adopt", lambda *given: Mortal.__call__(mortal, *given))  # noqa: B023
            try:
                lra_data.build(MINI, root, **OPTIONS)
                break
            except Interruption:
                assert "manifest.json" not in stored(root)
        lra_data.build(MINI, root, **OPTIONS)
        assert stored(root) == whole, uploads_done
        uploads_done += 1
    assert uploads_done > 20


@pytest.mark.parametrize(
    ("address", "message"),
    [
        (
            "https://host/sets",
            "expected a folder or an address that can be written, such as s3://bucket/data, got https",
        ),
        ("s3://me:secret@bucket/sets", "expected an address without a password, got one for s3://bucket/sets"),
        ("nosuch://bucket/sets", "nosuch://bucket/sets/listops/mini: expected an address that fsspec knows"),
    ],
)
def test_addresses_that_are_refused(
    address: str, message: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises(UsageError, match=message) as caught:
        lra_data.build(MINI, address, **OPTIONS)
    assert "secret" not in str(caught.value)
    assert list(tmp_path.iterdir()) == []


def test_an_address_without_its_extra(monkeypatch: pytest.MonkeyPatch) -> None:
    fsspec.get_filesystem_class("s3").clear_instance_cache()
    monkeypatch.setitem(sys.modules, "s3fs", None)
    monkeypatch.delitem(sys.modules["fsspec.registry"]._registry, "s3")
    with pytest.raises(
        UsageError, match=r"expected the libraries that read it, got: .*pip install 'lra-data\[remote\]'"
    ):
        lra_data.build(MINI, f"s3://{BUCKET}/closed", **OPTIONS)


def test_a_missing_bucket_and_no_permission(monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(BuildError, match=r"s3://no-such-bucket/sets/listops/mini/.*check the address, the credentials"):
        lra_data.build(MINI, "s3://no-such-bucket/sets", **OPTIONS)

    def refuse(*arguments: Any, **options: Any) -> None:
        raise PermissionError("Access Denied")

    monkeypatch.setattr(uploads.S3Uploads, "upload", refuse)
    with pytest.raises(BuildError, match=r"PermissionError: Access Denied: check the address, the credentials and the"):
        lra_data.build(MINI, f"s3://{BUCKET}/closed", **OPTIONS)


def test_a_store_that_is_away(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(object_store, "OPENING_S", 1.0)
    use_port(9, monkeypatch)
    with pytest.raises(BuildError, match=r"expected to read and write there, got: .*when the store is back"):
        lra_data.build(MINI, f"s3://{BUCKET}/away", **OPTIONS)


def test_no_credentials_in_jobs_and_plans(tmp_path: Path) -> None:
    import pickle

    seen: list[bytes] = []

    class Watching(OneAtATime):
        def run(self, function: Any, jobs: Any) -> Iterator[Any]:
            seen.extend(pickle.dumps(job) for job in jobs)
            yield from super().run(function, jobs)

    root = f"s3://{BUCKET}/{tmp_path.name}"
    with pytest.raises(Interruption):
        lra_data.build(MINI, root, **OPTIONS, engine=Watching(lambda jobs: jobs, stop_after=1))
    assert len(seen) == RANGES
    for text in (*seen, *stored(root).values()):
        assert S3_KEYS["secret"].encode() not in text


@pytest.mark.slow
def test_the_command_line(whole: dict[str, bytes], tmp_path: Path) -> None:
    size = ["--train", "30", "--validation", "6", "--test", "4", "--num-shards", "2", "--format", ",".join(ALL_FORMATS)]
    address = f"s3://{BUCKET}/{tmp_path.name}"
    build = ["build", "listops", "--preset", "mini", "--out", address, *size]
    done = run(*build, cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    assert done.stdout.startswith(f"{address}/{MINI}: built, 40 examples in 12 files")
    assert stored(address) == whole
    assert [path.name for path in tmp_path.iterdir() if path.name != "cache"] == []
    commands = {"info": [], "verify": [], "show": ["--num", "1"], "stats": [], "repair": [], "status": []}
    for name, flags in commands.items():
        seen = run(name, f"{address}/{MINI}", *flags)
        assert seen.returncode == 0, (name, seen.stderr)
    assert json.loads(run(*build, "--json").stdout)["was_complete"]
