"""`--verbose`: each request to the API server as a line on stderr. Touches stderr."""

import logging
from collections.abc import Iterator
from contextlib import contextmanager

from certlag.logs import REQUESTS
from runbook.report.wording import visible


class _Visible(logging.Formatter):
    """What a peer has said is one line, and holds nothing that a terminal obeys."""

    def format(self, record: logging.LogRecord) -> str:
        """Return the line."""
        return visible(record.getMessage())


@contextmanager
def shown(*, verbose: bool) -> Iterator[None]:
    """Show requests while the block runs, if that was asked for."""
    log, handler = logging.getLogger(REQUESTS), logging.StreamHandler()
    handler.setFormatter(_Visible())
    if verbose:
        log.addHandler(handler)
        log.setLevel(logging.DEBUG)
    try:
        yield
    finally:
        log.removeHandler(handler)
        log.setLevel(logging.NOTSET)
