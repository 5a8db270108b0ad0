"""The `rules` section of the chart's values, with a comment for each, as the settings have them. Pure."""

import json
from collections.abc import Iterable, Iterator

from alerts.rule_text import SETTINGS
from alerts.settings import Setting


def values_section() -> str:
    """Return the YAML of `rules`."""
    return "rules:\n" + "".join(f"{line}\n" for line in _lines(tuple(SETTINGS.values()), (), 1))


def _lines(settings: Iterable[Setting], above: tuple[str, ...], depth: int) -> Iterator[str]:
    """Yield the lines below a key; settings of one key stand together, where the first of them does."""
    done: set[str] = set()
    settings = tuple(settings)
    for setting in settings:
        key, *rest = setting.path.split(".")[len(above) :]
        if key in done:
            continue
        done.add(key)
        if rest:
            yield f"{'  ' * depth}{key}:"
            below = [each for each in settings if each.path.split(".")[len(above)] == key]
            yield from _lines(below, (*above, key), depth + 1)
        else:
            comments = setting.comment.splitlines()
            yield from (f"{'  ' * depth}# {'-- ' if not number else ''}{line}" for number, line in enumerate(comments))
            if setting.schema:
                yield f"{'  ' * depth}# @schema {json.dumps(setting.schema)}"
            yield f"{'  ' * depth}{key}: {json.dumps(setting.default)}"
