"""What an error of one of fsspec's file systems means: may the same request succeed a little later, and why in few
words.

Each of them raises what its own library raises, which may be an OSError or not.
"""

import errno
import ssl
import sys

RANGE_NOT_SATISFIABLE = 416
_TRY_LATER = {408, 425, 429}
# How s3fs says that a request was wrong or went to the wrong place; every other number may be the network's.
_WRONG_REQUEST = {
    errno.EINVAL,
    errno.ENOSYS,
    errno.ENAMETOOLONG,
    errno.EMSGSIZE,
    getattr(errno, "EREMCHG", errno.ENOENT),
}


def may_pass(error: BaseException) -> bool:
    """Whether the same request may succeed a little later."""
    if isinstance(error, TimeoutError | ConnectionError):
        return True  # before the status: S3 says RequestTimeout with 400
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
    """Errors of connections that are no OSError, of the libraries that are loaded: others can have raised none."""
    kinds: list[type[BaseException]] = []
    if aiohttp := sys.modules.get("aiohttp"):
        kinds += [aiohttp.ClientError]
    if botocore := sys.modules.get("botocore.exceptions"):
        kinds += [botocore.HTTPClientError, botocore.ConnectionError, botocore.IncompleteReadError]
    if parsers := sys.modules.get("botocore.parsers"):
        kinds += [parsers.ResponseParserError]  # an overloaded S3 answers with broken XML
    return tuple(kinds)


def status_of(error: BaseException) -> int | None:
    """The HTTP status in an error of aiohttp, gcsfs, requests, or botocore (also where s3fs has translated it)."""
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
    return f"{type(error).__name__.strip('_')}: {text}" if text else type(error).__name__
