"""Real servers for tests of remote sets: HTTP with ranges, S3 by moto, and a proxy that spoils connections.

Not here: what is asked of them.
"""

import asyncio
import random
import socket
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from aiohttp import web

HOST = "127.0.0.1"
_BLOCK = 2**14
# A piece of an answer as long as this holds content at its end, not headers.
_CONTENT = 2**11


class FileServer:
    """Serves the files of a folder over HTTP.

    asked: name and Range of every request so far. last: the last request. statuses: of the next answers, in place of a
    file. shortened: bytes by which each answer ends early, with headers that say so. when_asked: called with the number
    of requests.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.asked: list[tuple[str, str]] = []
        self.last: web.Request | None = None
        self.with_ranges = True
        self.statuses: list[int] = []
        self.shortened = 0
        self.delay_s = 0.0
        self.when_asked: Callable[[int], None] = lambda _: None
        self.port = 0
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever)

    @property
    def url(self) -> str:
        return f"http://{HOST}:{self.port}/set"

    def asked_for(self, name: str) -> list[str]:
        """The ranges asked of one file."""
        return [asked for file, asked in self.asked if file == name]

    def __enter__(self) -> Self:
        application = web.Application()
        application.router.add_get("/set/{name}", self._answer)
        self._runner = web.AppRunner(application, shutdown_timeout=0.1)
        self._thread.start()
        asyncio.run_coroutine_threadsafe(self._start(), self._loop).result()
        return self

    def __exit__(self, *_: type[BaseException] | BaseException | TracebackType | None) -> None:
        asyncio.run_coroutine_threadsafe(self._runner.cleanup(), self._loop).result()
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        self._loop.close()

    async def _start(self) -> None:
        await self._runner.setup()
        await web.TCPSite(self._runner, HOST, 0).start()
        self.port = self._runner.addresses[0][1]

    async def _answer(self, request: web.Request) -> web.StreamResponse:
        name = request.match_info["name"]
        self.last = request
        self.asked.append((name, request.headers.get("Range", "all")))
        self.when_asked(len(self.asked))
        await asyncio.sleep(self.delay_s)
        if self.statuses:
            return web.Response(status=self.statuses.pop(0))
        path = self.folder / name
        if not path.is_file():
            return web.Response(status=404)
        if self.shortened:
            start, stop = request.http_range.start, request.http_range.stop
            return web.Response(status=206, body=path.read_bytes()[start:stop][: -self.shortened])
        if self.with_ranges:
            return web.FileResponse(path)
        return web.Response(body=path.read_bytes())


class Proxy:
    """Hands connections on to a port of this machine.

    cuts: each connection ends after a number of bytes to the client between these two. flips: of so many of the next
    long pieces, one bit comes over wrong.
    """

    def __init__(self, port: int, *, seed: int = 1) -> None:
        self.cuts: tuple[int, int] | None = None
        self.flips = 0
        self.connections = 0
        self._target = port
        self._random = random.Random(seed)
        self._open: set[socket.socket] = set()
        self._threads: list[threading.Thread] = []
        self._listener = self._bound(0)
        self.port = self._listener.getsockname()[1]
        self._listen()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: type[BaseException] | BaseException | TracebackType | None) -> None:
        self.leave()
        self._listener.close()
        for thread in self._threads:
            thread.join()

    def leave(self) -> None:
        """End all connections, refuse new ones."""
        self._end(self._listener)  # wakes the thread in accept, which close alone does not
        self._listener.close()
        for end in list(self._open):
            self._end(end)
        # Bound, so that nobody takes the port, but deaf: the system refuses connections.
        self._listener = self._bound(self.port)

    def leave_for(self, seconds: float) -> None:
        """Be away, and back after a time."""
        self.leave()
        timer = threading.Timer(seconds, self._listen)
        self._threads.append(timer)
        timer.start()

    @staticmethod
    def _bound(port: int) -> socket.socket:
        listener = socket.socket()
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind((HOST, port))
        return listener

    def _listen(self) -> None:
        self._listener.listen()
        self._start(self._accept, self._listener)

    def _accept(self, listener: socket.socket) -> None:
        with suppress(OSError):
            while True:
                client, _ = listener.accept()
                self.connections += 1
                self._start(self._serve, client)

    def _serve(self, client: socket.socket) -> None:
        with client, suppress(OSError), socket.create_connection((HOST, self._target)) as server:
            for end in (client, server):  # headers and content come as two pieces, which would wait for each other
                end.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            self._open |= {client, server}
            up = threading.Thread(target=self._up, args=(client, server))
            up.start()
            try:
                self._down(server, client)
            finally:
                self._end(client)
                self._end(server)
                up.join()
                self._open -= {client, server}

    def _up(self, client: socket.socket, server: socket.socket) -> None:
        with suppress(OSError):
            while piece := client.recv(_BLOCK):
                server.sendall(piece)
        self._end(server)

    def _down(self, server: socket.socket, client: socket.socket) -> None:
        left = self._random.randint(*self.cuts) if self.cuts else None
        while piece := server.recv(_BLOCK):
            if self.flips and len(piece) >= _CONTENT:
                self.flips -= 1
                piece = piece[:-1] + bytes([piece[-1] ^ 1])
            if left is not None:
                piece = piece[:left]
                left -= len(piece)
            client.sendall(piece)
            if left == 0:
                return

    def _start(self, function: Callable[[socket.socket], None], argument: socket.socket) -> None:
        thread = threading.Thread(target=function, args=(argument,))
        self._threads.append(thread)
        thread.start()

    @staticmethod
    def _end(end: socket.socket) -> None:
        with suppress(OSError):
            end.shutdown(socket.SHUT_RDWR)


BUCKET = "sets"
S3_KEYS = {"key": "testing", "secret": "testing"}


@contextmanager
def s3_server(folder: Path) -> Iterator[int]:
    """An S3 server whose bucket BUCKET holds the files of `folder` under listops/mini; its port."""
    with empty_s3_server() as port:
        with s3_client(port) as client:
            for path in folder.iterdir():
                client.put_object(Bucket=BUCKET, Key=f"listops/mini/{path.name}", Body=path.read_bytes())
        yield port


@contextmanager
def empty_s3_server() -> Iterator[int]:
    """An S3 server with an empty bucket BUCKET; its port."""
    from moto.server import ThreadedMotoServer

    server = ThreadedMotoServer(ip_address=HOST, port=0, verbose=False)
    server.start()
    try:
        port: int = server.get_host_and_port()[1]
        with s3_client(port) as client:
            client.create_bucket(Bucket=BUCKET)
        yield port
    finally:
        server.stop()


@contextmanager
def s3_client(port: int) -> Iterator[Any]:
    """boto3's client for the server at a port."""
    import boto3

    client = boto3.client(
        "s3",
        endpoint_url=f"http://{HOST}:{port}",
        aws_access_key_id=S3_KEYS["key"],
        aws_secret_access_key=S3_KEYS["secret"],
        region_name="us-east-1",
    )
    try:
        yield client
    finally:
        client.close()
