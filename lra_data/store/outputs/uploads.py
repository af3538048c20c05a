"""Uploads a file to an object store, and later tells whether the object still has those bytes.

S3 is sent the SHA-256. It compares it with the bytes that arrive, keeps it, and gives it back without a read. Other
stores, and servers that speak S3's language without its checksums, get no digest: the object is read back once. What
the store then says of it is its *seal*; if that changes, the object is read again.
"""

import base64
import hashlib
from pathlib import Path
from typing import Any, Protocol

from lra_data.store.outputs.output import Stored

# S3 takes up to 5 GiB in one request, but a request that breaks begins again.
SINGLE_BYTES = 2**28
PART_BYTES = 2**26


class WrongUploadError(Exception):
    """The store has other bytes than those that were sent; the message says what was expected and found."""


class Uploads(Protocol):
    """Uploads to one file system of fsspec, whose errors pass through."""

    def upload(self, file: Path, path: str, sha256: str) -> str:
        """Upload a local file; returns the seal. Raises WrongUploadError."""

    def matches(self, path: str, stored: Stored) -> bool:
        """Whether an object has these bytes."""


def uploads_to(filesystem: Any) -> Uploads:
    """Uploads in the best way for this file system."""
    protocols = filesystem.protocol if isinstance(filesystem.protocol, tuple | list) else (filesystem.protocol,)
    return S3Uploads(filesystem) if "s3" in protocols else ReadBackUploads(filesystem)


class ReadBackUploads:
    """Uploads that are compared by reading."""

    def __init__(self, filesystem: Any) -> None:
        self._filesystem = filesystem

    def upload(self, file: Path, path: str, sha256: str) -> str:
        """See Uploads."""
        self._filesystem.put_file(str(file), path)
        return self.seal_of(path, sha256)

    def matches(self, path: str, stored: Stored) -> bool:
        """See Uploads."""
        try:
            self._filesystem.invalidate_cache(path)
            if self._filesystem.info(path)["size"] != stored.bytes:
                return False
            return self._seal(path) == stored.seal or self._digest(path) == stored.sha256
        except FileNotFoundError:
            return False

    def seal_of(self, path: str, sha256: str) -> str:
        """Compare an object's bytes and return its seal; raises WrongUploadError."""
        found = self._digest(path)
        if found != sha256:
            raise WrongUploadError(f"expected sha256 {sha256} after the upload, got {found}")
        return self._seal(path)

    def _seal(self, path: str) -> str:
        self._filesystem.invalidate_cache(path)
        return str(self._filesystem.checksum(path))

    def _digest(self, path: str) -> str:
        with self._filesystem.open(path, "rb") as file:
            return hashlib.file_digest(file, "sha256").hexdigest()


class S3Uploads:
    """Uploads whose SHA-256 S3 compares and keeps."""

    def __init__(self, filesystem: Any) -> None:
        self._filesystem = filesystem
        self._otherwise = ReadBackUploads(filesystem)

    def upload(self, file: Path, path: str, sha256: str) -> str:
        """See Uploads."""
        if file.stat().st_size > SINGLE_BYTES:
            sent = self._upload_in_parts(file, path)
        else:
            sent = _base64(bytes.fromhex(sha256))
            self._call("put_object", path, Body=file.read_bytes(), ChecksumAlgorithm="SHA256", ChecksumSHA256=sent)
        self._filesystem.invalidate_cache(path)
        kept = self._checksum(path)
        if kept is None:
            return self._otherwise.seal_of(path, sha256)
        if not _is_checksum(kept, sent):
            raise WrongUploadError(f"expected the store to keep SHA-256 {sent} of the upload, got {kept}")
        return sent

    def matches(self, path: str, stored: Stored) -> bool:
        """See Uploads."""
        try:
            head = self._head(path)
        except FileNotFoundError:
            return False
        if head["ContentLength"] != stored.bytes:
            return False
        kept = head.get("ChecksumSHA256")
        if kept is not None:
            if kept == _base64(bytes.fromhex(stored.sha256)) or _is_checksum(kept, stored.seal):
                return True
            if stored.seal:
                return False
        # No checksum, or that of an upload in parts, of which only the seal tells what it should be.
        return self._otherwise.matches(path, stored)

    def _upload_in_parts(self, file: Path, path: str) -> str:
        """The checksum that S3 keeps of an upload in parts: the digest of the parts' digests, and their number."""
        upload = self._call("create_multipart_upload", path, ChecksumAlgorithm="SHA256")["UploadId"]
        parts, digests = [], []
        try:
            with file.open("rb") as source:
                while block := source.read(PART_BYTES):
                    digests.append(hashlib.sha256(block).digest())
                    part = {"PartNumber": len(digests), "ChecksumSHA256": _base64(digests[-1])}
                    sent = self._call(
                        "upload_part", path, UploadId=upload, Body=block, ChecksumAlgorithm="SHA256", **part
                    )
                    parts.append({**part, "ETag": sent["ETag"]})
            self._call("complete_multipart_upload", path, UploadId=upload, MultipartUpload={"Parts": parts})
        except BaseException:
            self._call("abort_multipart_upload", path, UploadId=upload)
            raise
        return f"{_base64(hashlib.sha256(b''.join(digests)).digest())}-{len(digests)}"

    def _checksum(self, path: str) -> str | None:
        found: str | None = self._head(path).get("ChecksumSHA256")
        return found

    def _head(self, path: str) -> Any:
        return self._call("head_object", path, ChecksumMode="ENABLED")

    def _call(self, method: str, path: str, **arguments: Any) -> Any:
        bucket, key, _ = self._filesystem.split_path(path)
        return self._filesystem.call_s3(method, Bucket=bucket, Key=key, **arguments)


def _is_checksum(kept: str, seal: str) -> bool:
    """Whether S3 keeps the checksum that the seal has; some servers leave out the number of parts."""
    return kept in (seal, seal.partition("-")[0])


def _base64(digest: bytes) -> str:
    return base64.b64encode(digest).decode()
