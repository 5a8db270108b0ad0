"""Pieces in a row are one gzip stream, whatever they hold; a page in blocks says what a page in one would say."""

import gzip
import zlib
from collections import defaultdict

from hypothesis import given
from hypothesis import strategies as st

from exporter.metrics.compression import CompressedText, gzip_stream
from exporter.metrics.text import BLOCK, Family, Page, Sample, render

FIRST = Family("certlag_first", ("thing",), "First.")
SECOND = Family("certlag_second", ("thing",), "Second.")


@given(st.lists(st.lists(st.binary(max_size=2000), max_size=5), max_size=5))
def test_rows_of_pieces_are_one_member_of_gzip(contents: list[list[bytes]]) -> None:
    stream = b"".join(gzip_stream(CompressedText(row) for row in contents))
    plain = b"".join(piece for row in contents for piece in row)
    assert gzip.decompress(stream) == plain
    reader = zlib.decompressobj(wbits=31)
    assert reader.decompress(stream) + reader.flush() == plain
    assert reader.eof
    assert not reader.unused_data, "a second member would be passed over by readers that know only one"


def test_a_row_is_compressed_once() -> None:
    row = CompressedText([b"some text" * 100])
    assert row.deflated is row.deflated


def test_only_the_piece_that_a_change_is_in_is_another_one() -> None:
    page = Page([FIRST, SECOND])
    page.put("other", [Sample(SECOND, ("other",), 1)])
    for number in range(3 * BLOCK - 1):
        page.put(number, [Sample(FIRST, (str(number),), 1)])
    (row, other_row) = page.rows()
    page.put(BLOCK + 5, [Sample(FIRST, ("5",), 2)])
    (changed_row, same_row) = page.rows()
    assert same_row is other_row
    assert [old is new for old, new in zip(row.pieces, changed_row.pieces, strict=True)] == [True, True, False, True]


puts = st.tuples(
    st.integers(0, 2 * BLOCK), st.lists(st.tuples(st.sampled_from([FIRST, SECOND]), st.integers(0, 99)), max_size=3)
)


@given(st.lists(puts, max_size=60), st.integers(0, 2 * BLOCK))
def test_whatever_was_put_a_page_says_what_was_put_last(
    changes: list[tuple[int, list[tuple[Family, int]]]], filled: int
) -> None:
    page = Page([FIRST, SECOND])
    last: dict[int, list[Sample]] = {number: [Sample(FIRST, (str(number),), number)] for number in range(filled)}
    for number, samples in last.items():
        page.put(number, samples)
    for key, values in changes:
        last[key] = [Sample(family, (str(key),), value) for family, value in values]
        page.put(key, last[key])
    text = b"".join(piece for row in page.rows() for piece in row.pieces).decode()
    wanted = render([FIRST, SECOND], [sample for samples in last.values() for sample in samples]).decode()
    assert families(text) == families(wanted)


def families(text: str) -> dict[str, list[str]]:
    """The lines under each TYPE line, sorted: things may come in any order within a family."""
    found: dict[str, list[str]] = defaultdict(list)
    name = ""
    for line in text.splitlines():
        if line.startswith("#"):
            name = line.split()[2]
            assert not found[name], f"{name} comes twice"
        else:
            found[name].append(line)
    return {name: sorted(lines) for name, lines in found.items()}
