"""Downloads over TLS: a server with an unknown certificate is refused at once, one that the system trusts is not."""

import datetime
import ipaddress
import ssl
import subprocess
import sys
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from tests.conftest import ROOT

CHILD = """
import sys
from lra_data.corpora.fetch import Archive, fetch_archive
try: print(fetch_archive([Archive(name="a", urls=(sys.argv[1],), bytes=4, digest=None)], lambda *_: None).read_text())
except Exception as error: sys.exit(str(error))
"""


class Handler(BaseHTTPRequestHandler):
    def do_GET(self) -> None:
        self.send_response(200)
        self.send_header("Content-Length", "4")
        self.end_headers()
        self.wfile.write(b"safe")

    def log_message(self, format: str, *arguments: object) -> None:
        pass


@pytest.fixture
def certificate(tmp_path: Path) -> Path:
    """A certificate of 127.0.0.1, signed by itself, with its key."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "lra-data test")])
    now = datetime.datetime.now(datetime.UTC)
    made = (
        x509.CertificateBuilder(name, name, key.public_key(), x509.random_serial_number())
        .not_valid_before(now - datetime.timedelta(days=1))
        .not_valid_after(now + datetime.timedelta(days=1))
        .add_extension(x509.SubjectAlternativeName([x509.IPAddress(ipaddress.ip_address("127.0.0.1"))]), critical=False)
        .sign(key, hashes.SHA256())
    )
    path = tmp_path / "server.pem"
    path.write_bytes(
        key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
        + made.public_bytes(serialization.Encoding.PEM)
    )
    return path


@pytest.fixture
def address(certificate: Path) -> Iterator[str]:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate)
    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as http:
        http.socket = context.wrap_socket(http.socket, server_side=True)
        thread = threading.Thread(target=http.serve_forever)
        thread.start()
        yield f"https://127.0.0.1:{http.server_address[1]}/a"
        http.shutdown()
        thread.join()


def fetched(address: str, cache: Path, monkeypatch: pytest.MonkeyPatch) -> "subprocess.CompletedProcess[str]":
    monkeypatch.setenv("LRA_DATA_CACHE", str(cache))
    monkeypatch.setenv("no_proxy", "127.0.0.1")
    return subprocess.run(
        [sys.executable, "-c", CHILD, address], capture_output=True, text=True, cwd=ROOT, check=False, timeout=60
    )


def test_certificates(address: str, certificate: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    refused = fetched(address, tmp_path / "one", monkeypatch)
    assert refused.stderr.startswith(f"expected to download a, got: {address}: SSLCertVerificationError: ")
    assert "self-signed certificate" in refused.stderr
    assert refused.stderr.count("\n") == 1
    monkeypatch.setenv("SSL_CERT_FILE", str(certificate))
    assert fetched(address, tmp_path / "two", monkeypatch).stdout == "safe\n"
