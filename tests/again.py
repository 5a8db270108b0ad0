"""Something done again and again beside a test, in a thread of its own."""

import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager


@contextmanager
def again_and_again(look: Callable[[], None], every: float) -> Iterator[None]:
    """Look every this many seconds until the block ends, and let the last look end.

    Raises:
        Exception: what the first look raised that failed; there was none after it.
    """
    stop = threading.Event()
    with ThreadPoolExecutor(1, "looking") as looking:

        def run() -> None:
            while not stop.wait(every):
                look()

        looked = looking.submit(run)
        try:
            yield
        finally:
            stop.set()
    looked.result()
