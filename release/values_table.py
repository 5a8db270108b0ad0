"""The chart's values as the table in its README. Pure."""

import json
from collections.abc import Iterable, Iterator
from typing import Any

from release.values_file import Value

LONG = 60


def table(values: Iterable[Value]) -> str:
    """Return the table, in the order of the file."""
    return "".join(_lines(values))


def _lines(values: Iterable[Value]) -> Iterator[str]:
    yield "| value | default | meaning |\n| --- | --- | --- |\n"
    for value in values:
        yield f"| `{value.name}` | {_default(value.default)} | {value.said.replace('|', chr(92) + '|')} |\n"


def _default(default: Any) -> str:
    written = json.dumps(default, ensure_ascii=False)
    return f"`{written}`" if len(written) <= LONG else "see values.yaml"
