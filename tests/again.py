"""Something done again and again beside a test, in a thread of its own."""

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager


@contextmanager
def again_and_again(look: Callable[[], None], every: float) -> Iterator[None]:
    """Look every so many seconds until the block ends, and let the last look end."""
    stop = threading.Event()

    def run() -> None:
        while not stop.wait(every):
            look()

    thread = threading.Thread(target=run, name="looking")
    thread.start()
    try:
        yield
    finally:
        stop.set()
        thread.join(60)
