"""What may become of an answer's body on its way: bytes in, the pieces that arrive out. Pure."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass

BOOKMARK = b'"type":"BOOKMARK"'


@dataclass(frozen=True)
class Body:
    """A treatment, of which each part may be combined with the others; none of them leaves it as it came."""

    piece: int | None = None
    """Bytes of each chunk in which it arrives; None: a line."""
    pause: float = 0.0
    """Seconds before each chunk."""
    garbage: bytes = b""
    """What comes after each line."""
    bookmarks: bool = True
    """Whether the lines of a watch arrive that say how far it is and nothing else."""
    cut_within: int | None = None
    """The line, from 1, in the middle of which the connection is closed."""
    silent_after: int | None = None
    """The lines after which nothing arrives any more, not even the end."""

    def pieces(self, blocks: Iterable[bytes]) -> Iterator[bytes]:
        """Yield what arrives.

        Raises:
            ConnectionAbortedError: it is cut here.
        """
        for number, line in enumerate(self._lines(blocks), 1):
            if self.silent_after is not None and number > self.silent_after:
                continue
            if number == self.cut_within:
                yield from self._cut(line[: len(line) // 2])
                raise ConnectionAbortedError("cut within a line")
            yield from self._cut(line + self.garbage)

    def _lines(self, blocks: Iterable[bytes]) -> Iterator[bytes]:
        """Put lines together, ends of lines included; the last one may have none."""
        pending = b""
        for block in blocks:
            *lines, pending = (pending + block).split(b"\n")
            yield from (line + b"\n" for line in lines if self.bookmarks or BOOKMARK not in line)
        if pending:
            yield pending

    def _cut(self, line: bytes) -> Iterator[bytes]:
        size = self.piece or len(line)
        return (line[start : start + size] for start in range(0, len(line), size))


AS_IT_CAME = Body()
