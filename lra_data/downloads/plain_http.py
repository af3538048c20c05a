"""Reads a file at an http or https address with the standard library; the client of the base installation.

It uses the proxies of the environment and follows redirects. It trusts the system's certificates and those of certifi,
since some systems have none.

Addresses of built sets need fsspec (`lra_data/store/location/address_reader.py`).
"""

import http.client
import ssl
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from urllib.error import HTTPError, URLError
from urllib.request import HTTPHandler, HTTPSHandler, Request, build_opener

import certifi

from lra_data.downloads.resumable import Answer
from lra_data.downloads.transfer_errors import BrokenConnectionError, StatusError

CONNECT_S = 5.0
# A connection without a byte for this many seconds counts as broken.
_STALLED_S = 30.0
_BLOCK = 2**18
_PARTIAL_CONTENT = 206


class HttpSource:
    """One file. Each request asks for the whole missing part; a broken connection loses no received bytes."""

    def __init__(self, url: str) -> None:
        self._url = url

    @contextmanager
    def ask(self, start: int, size: int | None) -> Iterator[Answer]:
        """See Source."""
        headers = {"User-Agent": "lra-data", "Accept-Encoding": "identity"}
        if start:
            headers["Range"] = f"bytes={start}-"
        # Made for each request: the environment may name other proxies by then.
        opener = build_opener(_PlainHandler, _SecureHandler(context=_certificates()))
        try:
            answer = opener.open(Request(self._url, headers=headers), timeout=CONNECT_S)
        except HTTPError as error:
            with error:
                raise StatusError(error.code, str(error.reason)) from error
        except URLError as error:
            raise error.reason if isinstance(error.reason, OSError) else error from error
        with answer:
            first = start if answer.status == _PARTIAL_CONTENT else 0
            total = first + int(answer.headers.get("Content-Length", 0))
            yield Answer(start=first, total=total, is_last=True, blocks=_blocks(answer, first, total))


def _blocks(answer: http.client.HTTPResponse, there: int, total: int) -> Iterator[bytes]:
    # read1 returns the received bytes; read would lose the last block of a broken connection.
    while block := answer.read1(_BLOCK):
        there += len(block)
        yield block
    if there < total:
        raise BrokenConnectionError(f"the connection broke after {there:,} of {total:,} bytes")


@cache
def _certificates() -> ssl.SSLContext:
    context = ssl.create_default_context()
    context.load_verify_locations(certifi.where())
    return context


class _Connection(http.client.HTTPConnection):
    """Set the timeout of each read to _STALLED_S; the timeout of the opener is for connecting."""

    def connect(self) -> None:
        super().connect()
        self.sock.settimeout(_STALLED_S)


class _SecureConnection(http.client.HTTPSConnection):
    def connect(self) -> None:
        super().connect()
        self.sock.settimeout(_STALLED_S)


class _PlainHandler(HTTPHandler):
    def http_open(self, request: Request) -> http.client.HTTPResponse:
        return self.do_open(_Connection, request)


class _SecureHandler(HTTPSHandler):
    def https_open(self, request: Request) -> http.client.HTTPResponse:
        return self.do_open(_SecureConnection, request, context=_certificates())
