"""What is served under which path. Touches nothing but the publication."""

from collections.abc import Mapping
from http import HTTPStatus

from exporter.publication import Publication
from exporter.server import PageFunction, Request, Response
from exporter.text_format import CONTENT_TYPE


def pages(publication: Publication) -> Mapping[str, PageFunction]:
    """Return the pages by path."""

    def metrics(request: Request) -> Response:
        headers = [("Vary", "Accept-Encoding")]
        if request.accepts_gzip:
            headers.append(("Content-Encoding", "gzip"))
        return Response(HTTPStatus.OK, publication.scrape(gzip=request.accepts_gzip), CONTENT_TYPE, tuple(headers))

    def livez(_: Request) -> Response:
        return _plain("ok") if publication.alive else _plain("the main loop hangs", HTTPStatus.SERVICE_UNAVAILABLE)

    def readyz(_: Request) -> Response:
        if publication.ready:
            return _plain("ok")
        return _plain("waiting for the first complete lists and probes", HTTPStatus.SERVICE_UNAVAILABLE)

    def status(_: Request) -> Response:
        return Response(HTTPStatus.OK, publication.status(), "application/json")

    return {"/": _index, "/metrics": metrics, "/api/v1/status": status, "/livez": livez, "/readyz": readyz}


def _index(_: Request) -> Response:
    links = "".join(f"<li><a href={path}>{path}</a>" for path in ("/metrics", "/api/v1/status"))
    body = f"<!doctype html><html lang=en><title>certlag</title><h1>certlag</h1><ul>{links}</ul>\n"
    return Response(HTTPStatus.OK, body.encode(), "text/html; charset=utf-8")


def _plain(text: str, status: HTTPStatus = HTTPStatus.OK) -> Response:
    return Response(status, f"{text}\n".encode())
