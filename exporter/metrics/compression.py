"""Text that is compressed once: any such texts, one after another, are one gzip stream. Pure.

Each text is deflated by a compressor of its own and ends at a byte (a sync flush), so that texts can be joined;
gzip's check value over all of them comes from theirs. A change of one piece costs the compression of its text.
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


class CompressedText:
    """Pieces of text, and all of them deflated, which is done when it is first asked for.

    Two threads that ask at once both do it, with the same bytes.
    """

    __slots__ = ("_deflated", "pieces")

    def __init__(self, pieces: Iterable[bytes]) -> None:
        self.pieces = tuple(pieces)
        self._deflated: tuple[bytes, int, int] | None = None

    @property
    def deflated(self) -> tuple[bytes, int, int]:
        """The deflated bytes, and the CRC-32 and number of the plain ones."""
        made = self._deflated
        if made is None:
            compressor = isal_zlib.compressobj(level=LEVEL, wbits=_RAW)
            check, compressed = 0, []
            for piece in self.pieces:
                compressed.append(compressor.compress(piece))
                check = isal_zlib.crc32(piece, check)
            compressed.append(compressor.flush(isal_zlib.Z_SYNC_FLUSH))
            made = self._deflated = b"".join(compressed), check, sum(map(len, self.pieces))
        return made


def gzip_stream(rows: Iterable[CompressedText]) -> tuple[bytes, ...]:
    """Return one gzip member that holds all texts, in parts."""
    parts, total, check = [_HEAD], 0, 0
    for row in rows:
        compressed, own_check, size = row.deflated
        parts.append(compressed)
        total += size
        check = isal_zlib.crc32_combine(check, own_check, size)
    return (*parts, _LAST, struct.pack("<II", check, total % 2**32))
