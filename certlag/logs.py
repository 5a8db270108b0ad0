"""How the exporter logs: one line an event, as logfmt or JSON, to stderr. Everything in it may be hostile text."""

import json
import logging
import sys
from datetime import UTC, datetime
from typing import Any

from certlag.limits import MAX_LOGGED, truncate

_STANDARD = frozenset(logging.makeLogRecord({}).__dict__) | {"message", "asctime", "taskName"}

REQUESTS = "certlag.requests"
"""The logger of each request to an API server, at level DEBUG: method, path, status, milliseconds to the answer."""


def configure(form: str, level: str) -> None:
    """Send all logs of the process to stderr.

    Args:
        form: `text` (logfmt) or `json`.
        level: `debug`, `info`, `warning` or `error`.
    """
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(_Json() if form == "json" else _Logfmt())
    root = logging.getLogger()
    root.handlers[:] = [handler]
    root.setLevel(logging.WARNING)
    logging.getLogger("certlag").setLevel(level.upper())
    logging.captureWarnings(capture=True)  # a library's, as of a certificate with a negative serial number


def _fields(record: logging.LogRecord) -> dict[str, Any]:
    fields: dict[str, Any] = {
        "time": datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds"),
        "level": record.levelname.lower(),
        "msg": record.getMessage(),
    }
    fields.update((name, value) for name, value in record.__dict__.items() if name not in _STANDARD)
    if record.exc_info:
        fields["exception"] = _ends(logging.Formatter().formatException(record.exc_info))
    return {name: _bounded(value) for name, value in fields.items()}


def _bounded(value: Any) -> Any:
    return value if value is None or isinstance(value, int | float) else truncate(str(value), MAX_LOGGED)


def _ends(traceback: str) -> str:
    """Leave out the middle of a long one: where it began is told first, what went wrong last."""
    half = MAX_LOGGED // 2 - 1
    return traceback if len(traceback) <= MAX_LOGGED else f"{traceback[:half]}…{traceback[-half:]}"


class _Json(logging.Formatter):
    def format(self, record: logging.LogRecord) -> str:
        return json.dumps(_fields(record))


class _Logfmt(logging.Formatter):
    def format(self, record: logging.LogRecord) -> str:
        return " ".join(f"{name}={_quoted(str(value))}" for name, value in _fields(record).items())


def _quoted(text: str) -> str:
    """Quote where needed, as JSON does: control characters and non-ASCII never reach the terminal."""
    plain = text.isascii() and text.isprintable() and text and not set(text) & set(' "=\\')
    return text if plain else json.dumps(text)
