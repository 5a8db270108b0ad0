"""Our HTTP server as a process of its own, with one page of a real scrape's size, plain and compressed.

`python -m tests.page_server [WEB_CONFIG]` prints its port, and ends when its input does.
"""

import gzip
import sys
from http import HTTPStatus

from exporter import memory
from exporter.http.server import Request, Response, Server
from exporter.http.web_config import WebConfigFile
from tests.tls_servers import HOST

PATH = "/metrics"
PLAIN = b"".join(
    b'certlag_certificate_not_after_timestamp_seconds{namespace="team-%d",certificate="service-%d"} %d\n'
    % (number % 40, number, 1_800_000_000 + 7919 * number % 7_776_000)
    for number in range(10_500)
)
"""A megabyte of samples."""
GZIPPED = gzip.compress(PLAIN, 1, mtime=0)


def scrape(request: Request) -> Response:
    """Answer as the exporter's own page does."""
    if request.accepts_gzip:
        return Response(HTTPStatus.OK, GZIPPED, headers=(("Content-Encoding", "gzip"),))
    return Response(HTTPStatus.OK, PLAIN)


def main() -> None:
    """Serve until nobody wants it any more."""
    memory.set_allocator()
    memory.tune_gc()
    server = Server({PATH: scrape}, WebConfigFile(sys.argv[1] if len(sys.argv) > 1 else None))
    _, port = server.start(HOST, 0)
    memory.freeze_heap()
    print(port, flush=True)
    sys.stdin.buffer.read()
    server.close()


if __name__ == "__main__":
    main()
