"""Calls in several threads, none of which keeps the process from ending. Starts threads.

The process does not wait for them when it ends, as it does for those of `concurrent.futures.ThreadPoolExecutor`: with
an API server that accepts requests and never answers, Ctrl-C would have no effect until the last one has timed out.
"""

import threading
from collections.abc import Callable, Iterable
from concurrent.futures import Future, wait
from functools import partial
from queue import SimpleQueue
from types import TracebackType
from typing import Self, TypeVar

THREADS = 8
SIGNALS_SEEN_EVERY = 0.2
"""Seconds."""

Argument = TypeVar("Argument")
Result = TypeVar("Result")


class Call(Future[Result]):
    """A function's result, once it is there."""

    def result(self, timeout: float | None = None) -> Result:
        """Return what the function returned, or raise what it raised.

        Waits in short steps: a signal that arrives just before the main thread blocks on a lock interrupts nothing, and
        its handler would only be called once the lock is free.
        """
        while timeout is None and not wait((self,), SIGNALS_SEEN_EVERY).done:
            pass
        return super().result(timeout)


class ConcurrentCalls:
    """A context in which functions are called in threads; leaving it does not wait for those that still run."""

    def __init__(self, threads: int = THREADS) -> None:
        """Start the threads; one alone makes the calls in the order in which they were submitted."""
        self._threads = threads
        self._calls: SimpleQueue[Callable[[], None] | None] = SimpleQueue()
        for _ in range(threads):
            threading.Thread(target=self._work, name="concurrent calls", daemon=True).start()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, _kind: type[BaseException] | None, _error: BaseException | None, _trace: TracebackType | None
    ) -> None:
        for _ in range(self._threads):
            self._calls.put(None)

    def submit(self, call: Callable[[], Result]) -> Call[Result]:
        """Have a function called in one of the threads."""
        future: Call[Result] = Call()

        def run() -> None:
            try:
                result = call()
            except BaseException as error:  # noqa: BLE001 - `result` raises it where it is waited for
                future.set_exception(error)
            else:
                future.set_result(result)

        self._calls.put(run)
        return future

    def _work(self) -> None:
        while (call := self._calls.get()) is not None:
            call()


def map_concurrently(
    function: Callable[[Argument], Result], arguments: Iterable[Argument], *, threads: int = THREADS
) -> tuple[Result, ...]:
    """Return what a function returns for each argument, in their order.

    Raises:
        Exception: what the first of them raised that did.
    """
    given = tuple(arguments)
    if not given:
        return ()
    with ConcurrentCalls(min(threads, len(given))) as calls:
        futures = [calls.submit(partial(function, argument)) for argument in given]
        return tuple(future.result() for future in futures)
