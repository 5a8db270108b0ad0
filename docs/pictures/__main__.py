"""`make pictures`: makes every picture again, to be looked at before it is committed.

Those of the page need Chromium with its driver, and look as they should with the fonts Inter and DejaVu Sans Mono.
"""

from docs.pictures import page, terminal

MAKERS = (terminal.make, page.make)


def main() -> None:
    """Make them all."""
    for make in MAKERS:
        make()


if __name__ == "__main__":
    main()
