"""Errors of a transfer: their kinds, whether the same request may succeed a little later, and the reason in few words.

Each file system of fsspec raises the errors of its own library, which may or may not be OSErrors; so does `plain_http`.
"""

import errno
import ssl
import sys

RANGE_NOT_SATISFIABLE = 416
_TRY_LATER = {408, 425, 429}
# Error numbers of s3fs for a wrong request or a wrong address; every other number may be due to the network.
_WRONG_REQUEST = {
    errno.EINVAL,
    errno.ENOSYS,
    errno.ENAMETOOLONG,
    errno.EMSGSIZE,
    getattr(errno, "EREMCHG", errno.ENOENT),
}


class DifferentFileError(Exception):
    """The server's file is not the wanted file: `expected` and `got` are a size or a digest in words."""

    def __init__(self, expected: str, got: str) -> None:
        super().__init__(expected, got)
        self.expected, self.got = expected, got


class FetchError(Exception):
    """The server failed. reason: the last error of the source, raised by try number `tries`."""

    def __init__(self, reason: Exception, tries: int) -> None:
        super().__init__(reason, tries)
        self.reason, self.tries = reason, tries


class LocalDiskError(Exception):
    """The file cannot be written. reason: the error, wrapped so that it is not taken for one of the connection."""

    def __init__(self, reason: OSError) -> None:
        super().__init__(reason)
        self.reason = reason


class BrokenConnectionError(ConnectionError):
    """An answer ended early; the message contains the position."""


class StatusError(Exception):
    """The server answered with an error."""

    def __init__(self, status: int, message: str) -> None:
        super().__init__(status, message)
        self.status, self.message = status, message


def may_pass(error: BaseException) -> bool:
    """Whether the same request may succeed a little later."""
    if isinstance(error, TimeoutError | ConnectionError):
        return True  # checked before the status, as S3 sends RequestTimeout with status 400
    status = status_of(error)
    if status is not None:
        return status >= 500 or status in _TRY_LATER
    for_good = FileNotFoundError | PermissionError | IsADirectoryError | NotADirectoryError | ssl.CertificateError
    if isinstance(error, for_good | ValueError):
        return False
    if isinstance(error, OSError):
        return error.errno not in _WRONG_REQUEST
    return isinstance(error, _connection_errors())


def _connection_errors() -> tuple[type[BaseException], ...]:
    """Connection errors that are not OSErrors. Only a loaded library can have raised one."""
    kinds: list[type[BaseException]] = []
    if http := sys.modules.get("http.client"):
        kinds += [http.BadStatusLine, http.IncompleteRead]
    if aiohttp := sys.modules.get("aiohttp"):
        kinds += [aiohttp.ClientError]
    if botocore := sys.modules.get("botocore.exceptions"):
        kinds += [botocore.HTTPClientError, botocore.ConnectionError, botocore.IncompleteReadError]
    if parsers := sys.modules.get("botocore.parsers"):
        kinds += [parsers.ResponseParserError]  # an overloaded S3 answers with broken XML
    return tuple(kinds)


def status_of(error: BaseException) -> int | None:
    """The HTTP status in an error of ours, aiohttp, gcsfs, requests, or botocore (also if s3fs has translated it)."""
    response = getattr(error, "response", None) or getattr(error.__cause__, "response", None)
    if isinstance(response, dict):
        found = response.get("ResponseMetadata", {}).get("HTTPStatusCode")
    else:
        found = getattr(error, "status", None) or getattr(error, "code", None) or getattr(response, "status_code", None)
    return found if isinstance(found, int) else None


def reason_of(error: BaseException) -> str:
    """An error in a few words on one line."""
    status, message = getattr(error, "status", None), getattr(error, "message", None)
    if isinstance(status, int):
        return f"the server answered {status} {message}"
    text = " ".join(str(getattr(error, "strerror", None) or error).split())
    if isinstance(error, BrokenConnectionError):
        return text
    return f"{type(error).__name__.strip('_')}: {text}" if text else type(error).__name__
