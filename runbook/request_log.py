"""`--verbose`: each request to the API server as a line on stderr. Touches stderr."""

import logging
from collections.abc import Iterator
from contextlib import contextmanager

from exporter.logs import REQUESTS


@contextmanager
def shown(*, verbose: bool) -> Iterator[None]:
    """Show requests while the block runs, if that was asked for."""
    log, handler = logging.getLogger(REQUESTS), logging.StreamHandler()
    if verbose:
        log.addHandler(handler)
        log.setLevel(logging.DEBUG)
    try:
        yield
    finally:
        log.removeHandler(handler)
        log.setLevel(logging.NOTSET)
