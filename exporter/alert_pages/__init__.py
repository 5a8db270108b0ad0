"""The alerts' pages: what each alert means and what to do, as Markdown. Reads this package's own files.

They are in the wheel, so the exporter serves them and `runbook page` prints them without a network.
"""

from collections.abc import Mapping
from functools import cache
from importlib.resources import files


@cache
def alert_pages() -> Mapping[str, str]:
    """Return the text of each page by the alert's name."""
    found = sorted(files(__name__).iterdir(), key=lambda file: file.name)
    return {file.name.removesuffix(".md"): file.read_text("utf-8") for file in found if file.name.endswith(".md")}
