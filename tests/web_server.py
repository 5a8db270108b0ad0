"""Our HTTP server under a web configuration, and clients that a person would have: browsers, Prometheus."""

import base64
import http.client
import socket
import ssl
from collections.abc import Iterator
from contextlib import closing, contextmanager
from datetime import UTC, datetime, timedelta
from http import HTTPStatus
from pathlib import Path
from typing import Any

import bcrypt
import yaml

from exporter.http.server import Response, Server
from exporter.http.web_config import WebConfigFile
from tests import pki

NOW = datetime.now(UTC)  # these certificates are verified by real clients, today
DAY = timedelta(days=1)
ROOT = pki.authority("root", not_before=NOW - DAY, not_after=NOW + DAY)
STRANGER = pki.authority("stranger", not_before=NOW - DAY, not_after=NOW + DAY)
PASSWORD = "correct horse"
HASH = bcrypt.hashpw(PASSWORD.encode(), bcrypt.gensalt(4)).decode()


PAGES = {
    "/": lambda _: Response(HTTPStatus.OK, b"hello"),
    "/own": lambda _: Response(HTTPStatus.OK, b"hello", headers=(("Content-Security-Policy", "default-src 'none'"),)),
}


def a_leaf(authority: pki.Authority = ROOT, *, name: str = "localhost") -> pki.Issued:
    """A certificate that is valid today."""
    return authority.leaf(name, not_before=NOW - DAY, not_after=NOW + DAY)


@contextmanager
def serving(file: Path) -> Iterator[int]:
    """A server under this web configuration; yields its port."""
    server = Server(PAGES, WebConfigFile(str(file)))
    _, port = server.start("127.0.0.1", 0)
    try:
        yield port
    finally:
        server.close()


def write(folder: Path, **sections: Any) -> Path:
    """Write a web configuration."""
    file = folder / "web.yaml"
    file.write_text(yaml.safe_dump(sections))
    return file


def write_pair(folder: Path, leaf: pki.Issued) -> dict[str, str]:
    """Write a key pair as a renewal does, by replacing both files; return the section that names it."""
    for name, content in (("tls.crt", leaf.chain_pem), ("tls.key", leaf.key_pem)):
        (folder / f"{name}.new").write_bytes(content)
        (folder / f"{name}.new").replace(folder / name)
    return {"cert_file": "tls.crt", "key_file": "tls.key"}


def client(pair: tuple[Path, Path] | None = None) -> ssl.SSLContext:
    context = ssl.create_default_context(cadata=ROOT.pem.decode())
    if pair:
        context.load_cert_chain(*pair)
    return context


def connect(port: int, context: ssl.SSLContext | None = None) -> http.client.HTTPConnection:
    """A connection for several requests."""
    if context:
        return http.client.HTTPSConnection("localhost", port, context=context, timeout=20)
    return http.client.HTTPConnection("localhost", port, timeout=20)


def ask(
    connection: http.client.HTTPConnection, credentials: str | None = None, path: str = "/"
) -> http.client.HTTPResponse:
    """One GET; its answer is read."""
    connection.request("GET", path, headers=authorization(credentials) if credentials is not None else {})
    response = connection.getresponse()
    response.read()
    return response


def authorization(credentials: str) -> dict[str, str]:
    """The header that says `user:password`."""
    return {"Authorization": f"Basic {base64.b64encode(credentials.encode()).decode()}"}


def get(
    port: int, context: ssl.SSLContext | None = None, credentials: str | None = None, path: str = "/"
) -> http.client.HTTPResponse:
    """One GET on a connection of its own."""
    with closing(connect(port, context)) as connection:
        return ask(connection, credentials, path)


def presented(port: int) -> bytes | None:
    """The certificate that the server presents now."""
    with (
        socket.create_connection(("localhost", port), 5) as plain,
        client().wrap_socket(plain, server_hostname="localhost") as encrypted,
    ):
        return encrypted.getpeercert(binary_form=True)
