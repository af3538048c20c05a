"""Which errors of a transfer may pass."""

import errno
import http.client
import ssl
from typing import Any

import pytest

from lra_data.downloads.transfer_errors import BrokenConnectionError, StatusError, may_pass


def boto_error(code: str, status: int) -> BaseException:
    from botocore.exceptions import ClientError
    from s3fs.errors import translate_boto_error

    answer: Any = {"Error": {"Code": code, "Message": "m"}, "ResponseMetadata": {"HTTPStatusCode": status}}
    error: BaseException = translate_boto_error(ClientError(answer, "GetObject"))
    return error


def errors_by_what_they_are() -> list[tuple[BaseException, bool]]:
    import aiohttp
    from botocore import exceptions as boto
    from fsspec.exceptions import FSTimeoutError

    request: Any = None
    return [
        (aiohttp.ClientPayloadError("cut"), True),
        (aiohttp.ServerDisconnectedError(), True),
        (aiohttp.SocketTimeoutError(), True),
        (aiohttp.InvalidURL("http://"), False),
        *((aiohttp.ClientResponseError(request, (), status=status), True) for status in (500, 503, 504, 429, 408)),
        *((aiohttp.ClientResponseError(request, (), status=status), False) for status in (400, 401, 403, 410, 416)),
        (FSTimeoutError(), True),
        (TimeoutError(), True),
        (ConnectionResetError(), True),
        (OSError("no number"), True),
        (OSError(errno.EIO, "read"), True),
        (FileNotFoundError(), False),
        (PermissionError(), False),
        (boto.EndpointConnectionError(endpoint_url="u"), True),
        (boto.ConnectTimeoutError(endpoint_url="u"), True),
        (boto.ReadTimeoutError(endpoint_url="u"), True),
        (boto.ConnectionClosedError(endpoint_url="u"), True),
        (boto.IncompleteReadError(actual_bytes=1, expected_bytes=2), True),
        (boto.NoCredentialsError(), False),
        (boto_error("SlowDown", 503), True),
        (boto_error("InternalError", 500), True),
        (boto_error("RequestTimeout", 400), True),
        (boto_error("TooManyRequests", 429), True),
        (boto_error("AccessDenied", 403), False),
        (boto_error("InvalidAccessKeyId", 403), False),
        (boto_error("ExpiredToken", 400), False),
        (boto_error("NoSuchKey", 404), False),
        (boto_error("InvalidBucketName", 400), False),
        (boto_error("PermanentRedirect", 301), False),
        (BrokenConnectionError("cut"), True),
        *((StatusError(status, ""), True) for status in (500, 503, 429)),
        *((StatusError(status, ""), False) for status in (403, 404, 416)),
        (http.client.BadStatusLine("x"), True),
        (http.client.InvalidURL(), False),
        (ssl.SSLCertVerificationError(1, "self-signed"), False),
        (TypeError("a slip"), False),
        (ValueError("a wrong option"), False),
    ]


@pytest.mark.parametrize(("error", "passes"), errors_by_what_they_are(), ids=lambda value: type(value).__name__)
def test_which_errors_may_pass(error: BaseException, passes: bool) -> None:
    assert may_pass(error) is passes
