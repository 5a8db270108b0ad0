"""The engine's effects, performed on a real cluster. Touches the API server, pods, the operator.

One loop: take what the engine asks for, do it, send the answer back; an error of the API is raised where it was
asked. Ctrl-C is seen between two effects, so the write in progress is finished first.
"""

import threading
from collections.abc import Callable
from typing import Any

from certlag.errors import ClusterError
from certlag.kube.client import ClusterClient
from certlag.kube.transport import Connection
from runbook.alertmanager import Silences
from runbook.check.inspector import CertificateInspector, get, list_all
from runbook.effects import (
    AfterInterrupt,
    Change,
    Confirm,
    Effect,
    Emit,
    EndSilence,
    Get,
    Inspect,
    Interrupted,
    List,
    Silence,
    Steps,
    T,
    Wait,
)
from runbook.events import Event
from runbook.kube import write
from runbook.kube.change_waiter import ChangeWaiter

Asker = Callable[[Confirm], AfterInterrupt]
"""Puts a question to the operator: the answer is LEAVE where nobody can be asked."""


class Driver:
    """Performs effects for one command."""

    def __init__(
        self,
        connection: Connection,
        inspector: CertificateInspector,
        wakeup: ChangeWaiter,
        *,
        tell: Callable[[Event], None],
        ask: Asker,
        silences: Silences,
    ) -> None:
        self._connection = connection
        self._client = ClusterClient(connection)
        self._inspector = inspector
        self._wakeup = wakeup
        self._tell = tell
        self._ask = ask
        self._silences = silences
        self._interrupted = threading.Event()

    def interrupt(self) -> None:
        """Have the engine stop after what it is doing; may be called from a signal handler."""
        self._interrupted.set()
        self._wakeup.wake()

    def drive(self, steps: Steps[T]) -> T:
        """Perform what the engine asks for until it returns."""
        answer: Any = None
        error: Exception | None = None
        while True:
            try:
                effect = steps.send(answer) if error is None else steps.throw(error)
            except StopIteration as ended:
                result: T = ended.value
                return result
            answer, error = None, None
            if self._interrupted.is_set() and not isinstance(effect, Emit):
                self._interrupted.clear()
                error = Interrupted()
                continue
            try:
                answer = self._perform(effect)
            except ClusterError as failed:
                error = failed

    def _perform(self, effect: Effect) -> Any:
        match effect:
            case Get(path):
                return get(self._client, path)
            case List(path, read, fields):
                parameters = {"fieldSelector": fields} if fields else {}
                return [read(each) for each in list_all(self._client, path, parameters=parameters)]
            case Change():
                return write.write(self._connection, effect)
            case Wait(seconds, early):
                return self._wakeup.wait(seconds, early=early)
            case Inspect(probe):
                return self._inspector.inspect(probe=probe)
            case Confirm():
                return self._ask(effect)
            case Silence(until):
                return self._silences.begin(until)
            case EndSilence(address):
                return self._silences.end(address)
            case Emit(event):
                return self._tell(event)
