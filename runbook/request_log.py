"""`--verbose`: each request to the API server as a line on stderr. Touches stderr."""

import logging

from exporter.logs import REQUESTS


def to_stderr() -> None:
    """Show requests from now on."""
    handler = logging.StreamHandler()
    handler.setFormatter(logging.Formatter("%(message)s"))
    log = logging.getLogger(REQUESTS)
    log.addHandler(handler)
    log.setLevel(logging.DEBUG)
