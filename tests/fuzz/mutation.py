"""How an input becomes another: bytes changed, cut, doubled and mixed; in JSON a value replaced by an odd one. Pure."""

import json
from collections.abc import Callable, Iterator, Sequence
from random import Random
from typing import Any

MOST = 300_000
"""Bytes beyond which an input does not grow."""
WORDS = (
    b"\x00",
    b"\xff",
    b"\n",
    b"\r\n",
    b"\x1b[2J",
    b"\\ud800",
    "\u202e".encode(),
    b"null",
    b"true",
    b"-1",
    b"1e999",
    b"9" * 5000,
    b"9999-12-31T23:59:59-01:00",
    b"0001-01-01T00:00:00+14:00",
    b"*" * 70,
    b"[" * 500,
    b"{",
    b"}",
    b'"',
    b"&a *a",
    b"!!python/object/apply:os.system",
    b"<<: ",
    b"-----BEGIN CERTIFICATE-----",
    b"\x30\x84\xff\xff\xff\xff",
    b"\x30\x80",
    b"\x02\x01\xff",
    b"\x16\x03\x03\xff\xff",
)
ODD: tuple[Any, ...] = (
    None,
    True,
    0,
    -1,
    1.5,
    2**63,
    10**400,
    "",
    "x" * 70_000,
    "9" * 5000,
    "٣" * 20,
    "\x1b]0;x\x07\n",
    '"} 1\n# HELP x',
    "<script>",
    "\u202e",
    "0001-01-01T00:00:00Z",
    "9999-12-31T23:59:59-23:59",
    "9" * 15 + "h",
    "-1ns",
    "%2F..",
    [],
    [None],
    {},
    {"": None},
)


def mutated(random: Random, data: bytes, others: Sequence[bytes]) -> bytes:
    """Return a changed input, from one to four changes away."""
    for _ in range(random.choice((1, 1, 1, 2, 4))):
        data = random.choice(_CHANGES)(random, data, others)
    return data[:MOST]


def _flip(random: Random, data: bytes, _: Sequence[bytes]) -> bytes:
    changed = bytearray(data or b"\x00")
    changed[random.randrange(len(changed))] ^= 1 << random.randrange(8)
    return bytes(changed)


def _cut(random: Random, data: bytes, _: Sequence[bytes]) -> bytes:
    start, end = sorted(random.randrange(len(data) + 1) for _ in range(2))
    return data[:start] + data[end:]


def _double(random: Random, data: bytes, _: Sequence[bytes]) -> bytes:
    start, end = sorted(random.randrange(len(data) + 1) for _ in range(2))
    return data[:end] + data[start:end] * random.choice((1, 1, 8)) + data[end:]


def _insert(random: Random, data: bytes, _: Sequence[bytes]) -> bytes:
    place = random.randrange(len(data) + 1)
    return data[:place] + random.choice(WORDS) + data[place:]


def _splice(random: Random, data: bytes, others: Sequence[bytes]) -> bytes:
    other = random.choice(others)
    return data[: random.randrange(len(data) + 1)] + other[random.randrange(len(other) + 1) :]


def _replace_value(random: Random, data: bytes, others: Sequence[bytes]) -> bytes:
    try:
        document = json.loads(data)
        places = list(_places(document))
        if not places:
            return _flip(random, data, others)
        container, key = random.choice(places)
        container[key] = random.choice(ODD)
        return json.dumps(document).encode()
    except (ValueError, RecursionError):
        return _flip(random, data, others)


def _places(document: Any) -> Iterator[tuple[Any, Any]]:
    """Give each place in a document as its container and key."""
    keys: Any = document if isinstance(document, dict) else range(len(document)) if isinstance(document, list) else ()
    for key in keys:
        yield document, key
        yield from _places(document[key])


_Change = Callable[[Random, bytes, Sequence[bytes]], bytes]
_CHANGES: tuple[_Change, ...] = (_flip, _cut, _double, _insert, _splice, *[_replace_value] * 5)
