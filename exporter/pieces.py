"""Bytes in pieces, each of which is compressed once: any rows of pieces are one gzip stream. Pure.

A piece is deflated by a compressor of its own and ends at a byte (a sync flush), so pieces can be put one after
another; gzip's check value over all of them comes from theirs. A change of one piece costs the compression of one, and
the check value of its row.
"""

import struct
from collections.abc import Iterable

from isal import isal_zlib

LEVEL = 1
"""isal's level 1 makes fewer bytes of an exposition than zlib's, in a third of the time (docs/performance.md)."""
_RAW = -15
_HEAD = b"\x1f\x8b\x08\x00\x00\x00\x00\x00\x00\xff"
"""RFC 1952 §2.3: deflate, no name, no time, an unknown system."""
_LAST = b"\x03\x00"
"""An empty last block (RFC 1951 §3.2.6)."""


class Piece:
    """Some bytes, and the same deflated, which is made when it is first asked for.

    Two threads that ask at once both make it, of the same bytes.
    """

    __slots__ = ("_deflated", "plain")

    def __init__(self, plain: bytes) -> None:
        self.plain = plain
        self._deflated: tuple[bytes, int] | None = None

    @property
    def deflated(self) -> tuple[bytes, int]:
        """The deflated bytes, and the CRC-32 of the plain ones."""
        made = self._deflated
        if made is None:
            compressor = isal_zlib.compressobj(level=LEVEL, wbits=_RAW)
            compressed = compressor.compress(self.plain) + compressor.flush(isal_zlib.Z_SYNC_FLUSH)
            made = self._deflated = compressed, isal_zlib.crc32(self.plain)
        return made


class Row:
    """Pieces in a row; what gzip must know of all of them together is reckoned when it is first asked for."""

    __slots__ = ("_checked", "pieces")

    def __init__(self, pieces: Iterable[Piece]) -> None:
        self.pieces = tuple(pieces)
        self._checked: tuple[int, int] | None = None

    @property
    def checked(self) -> tuple[int, int]:
        """The CRC-32 and the number of the plain bytes."""
        made = self._checked
        if made is None:
            size, check = 0, 0
            for piece in self.pieces:
                size += len(piece.plain)
                check = isal_zlib.crc32_combine(check, piece.deflated[1], len(piece.plain))
            made = self._checked = check, size
        return made


def gzip_stream(rows: Iterable[Row]) -> tuple[bytes, ...]:
    """Return one gzip member that holds all rows, in parts."""
    parts, total, check = [_HEAD], 0, 0
    for row in rows:
        own_check, size = row.checked
        parts.extend(piece.deflated[0] for piece in row.pieces)
        total += size
        check = isal_zlib.crc32_combine(check, own_check, size)
    return (*parts, _LAST, struct.pack("<II", check, total % 2**32))
