"""Calls in several threads, none of which keeps the process from ending. Starts threads.

The process does not wait for them when it ends, as it does for those of `concurrent.futures.ThreadPoolExecutor`: with
an API server that accepts requests and never answers, Ctrl-C would have no effect until the last one has timed out.
"""

import threading
from collections.abc import Callable, Iterable
from concurrent.futures import Future
from queue import SimpleQueue
from types import TracebackType
from typing import Self, TypeVar

THREADS = 8

Argument = TypeVar("Argument")
Result = TypeVar("Result")


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

    def submit(self, call: Callable[[], Result]) -> "Future[Result]":
        """Have a function called; the future's `result` returns what it returns, or raises what it raises."""
        future: Future[Result] = Future()

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
        futures = [calls.submit(lambda argument=argument: function(argument)) for argument in given]  # type: ignore[misc]
        return tuple(future.result() for future in futures)
