"""What is served under which path, and with which headers. Touches nothing but the snapshot."""

from collections.abc import Mapping
from http import HTTPStatus

from certlag.alert_pages import alert_pages
from exporter.http.server import PageFunction, Request, Response
from exporter.metrics.text import CONTENT_TYPE
from exporter.snapshot import Snapshot
from exporter.status_page.assets import ASSETS, Asset
from exporter.status_page.served import ServedPage

POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; img-src 'self'; "
    "base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
)
"""The page's Content-Security-Policy: nothing but its own assets, and nothing that stands in it is run."""
FOR_EVER = "public, max-age=31536000, immutable"
"""Of what stands under a path that changes with its content."""


def pages(snapshot: Snapshot) -> Mapping[str, PageFunction]:
    """Return the pages by path."""

    def metrics(request: Request) -> Response:
        headers = [("Vary", "Accept-Encoding")]
        if request.accepts_gzip:
            headers.append(("Content-Encoding", "gzip"))
        parts = snapshot.scrape(gzip=request.accepts_gzip)
        return Response(HTTPStatus.OK, b"", CONTENT_TYPE, tuple(headers), parts)

    def livez(_: Request) -> Response:
        return _plain("ok") if snapshot.alive else _plain("the main loop hangs", HTTPStatus.SERVICE_UNAVAILABLE)

    def readyz(_: Request) -> Response:
        if snapshot.ready:
            return _plain("ok")
        return _plain("waiting for the first complete lists and probes", HTTPStatus.SERVICE_UNAVAILABLE)

    def status(_: Request) -> Response:
        return Response(HTTPStatus.OK, snapshot.status_json(), "application/json")

    own = {"/metrics": metrics, "/api/v1/status": status, "/livez": livez, "/readyz": readyz}
    return own | for_people(ServedPage(snapshot.status, snapshot.clock.monotonic)) | of_alerts()


def for_people(page: ServedPage) -> dict[str, PageFunction]:
    """Return the status page and its assets, by path."""

    def index(request: Request) -> Response:
        served = page.get()
        headers = [("ETag", served.etag), ("Cache-Control", "no-cache"), ("Vary", "Accept-Encoding")]
        if request.headers.get("if-none-match") == served.etag:
            return Response(HTTPStatus.NOT_MODIFIED, b"", headers=tuple(headers))
        headers += [("Content-Security-Policy", POLICY), ("Referrer-Policy", "no-referrer")]
        if request.accepts_gzip:
            headers.append(("Content-Encoding", "gzip"))
        body = served.gzip if request.accepts_gzip else served.plain
        return Response(HTTPStatus.OK, body, "text/html; charset=utf-8", tuple(headers))

    return {"/": index, **{f"/{asset.path}": _kept(asset) for asset in ASSETS}}


def of_alerts() -> dict[str, PageFunction]:
    """Return the alerts' pages, by path: `/alerts/NAME` as Markdown, which a terminal and a browser show as it is."""

    def page(text: str) -> PageFunction:
        response = Response(HTTPStatus.OK, text.encode(), "text/plain; charset=utf-8", (("Cache-Control", "no-cache"),))
        return lambda _: response

    return {f"/alerts/{name}": page(text) for name, text in alert_pages().items()}


def _kept(asset: Asset) -> PageFunction:
    """Serve an asset, to be kept for ever."""
    response = Response(HTTPStatus.OK, asset.body, asset.content_type, (("Cache-Control", FOR_EVER),))
    return lambda _: response


def _plain(text: str, status: HTTPStatus = HTTPStatus.OK) -> Response:
    return Response(status, f"{text}\n".encode())
