"""The page's style, script and icon, each under a path that changes with its content, so that it is kept for ever.

Pure; read once from the package's own files.
"""

import hashlib
from dataclasses import dataclass
from importlib import resources


@dataclass(frozen=True, slots=True)
class Asset:
    """A file of the page. `path` is relative to the page, so that it also stands behind a proxy's prefix."""

    path: str
    content_type: str
    body: bytes


def _asset(name: str, content_type: str) -> Asset:
    body = (resources.files(__package__) / "assets" / name).read_bytes()
    stem, _, suffix = name.partition(".")
    digest = hashlib.sha256(body).hexdigest()[:16]
    return Asset(f"assets/{stem}-{digest}.{suffix}", content_type, body)


STYLE = _asset("page.css", "text/css; charset=utf-8")
SCRIPT = _asset("page.js", "text/javascript; charset=utf-8")
ICON = _asset("icon.svg", "image/svg+xml")
ASSETS = (STYLE, SCRIPT, ICON)
