"""The record in the cluster, kept by one run: read, written before each step, never over another's. Pure.

Every write carries the resourceVersion of what was read. When one conflicts, or its answer is lost, the record is read
again: it is as we wanted, or as it was before (then it is written again), or another's, and then nothing more is.
"""

from collections.abc import Callable
from dataclasses import replace

from certlag.errors import ClusterError
from certlag.model import Target
from certlag.run_record import record_name
from runbook.effects import Change, Document, Get, Steps, Verb
from runbook.guard.fence import Confirm
from runbook.guard.lock import LockLostError
from runbook.guard.record import Record, Run, config_map, from_config_map
from runbook.retry_policy import CONFLICT, Keeper, with_retries


class RecordStore:
    """The record of one target. `record` is what it holds, as far as we know."""

    def __init__(self, target: Target, *, lock: Keeper, confirm: Confirm) -> None:
        """Begin with nothing read.

        Args:
            target: whose record it is.
            lock: is kept before each try.
            confirm: reads the lock again after a write that did not land, and raises LockLostError if it is not ours.
        """
        self._lock = lock
        self._confirm = confirm
        self._target = target.name
        self._collection = f"/api/v1/namespaces/{target.workload.namespace}/configmaps"
        self._path = f"{self._collection}/{record_name(target.name)}"
        self.record = Record()

    @property
    def run(self) -> Run:
        """The run that is open."""
        return _open(self.record)

    def read(self) -> Steps[Record]:
        """Read it.

        Raises:
            RecordError: it is there and cannot be read.
        """
        document = yield from with_retries("reading the record", lambda: _get(self._path), self._lock)
        self.record = Record() if document is None else from_config_map(document)
        return self.record

    def write(self, change: Callable[[Record], Record]) -> Steps[None]:
        """Write it, changed, once and for certain.

        `change` is applied again to what was found where a write did not land: while a take-over is not complete, the
        process that is taken over may still have written to it.

        Raises:
            LockLostError: another run has written it since.
        """

        def attempt() -> Steps[Record]:
            before = self.record
            record = replace(change(before), resource_version=before.resource_version)
            try:
                document = yield record_change(self._collection, self._target, record)
            except ClusterError as error:
                if error.status is not None and error.status != CONFLICT:
                    raise
                found = yield from self.read()
                if found == record:
                    return found
                if not _same_owner(found, before):
                    raise LockLostError("the record is another run's now") from error
                # Another run may have come and gone meanwhile: it leaves no run open, as we found it.
                yield from self._confirm()
                raise
            return from_config_map(document)

        self.record = yield from with_retries("writing the record", attempt, self._lock)

    def update(self, change: Callable[[Run], Run]) -> Steps[None]:
        """Write the open run, changed."""
        yield from self.write(lambda record: replace(record, run=change(_open(record))))

    def confirm(self) -> Steps[None]:
        """Read it again, after a conflict elsewhere.

        Raises:
            LockLostError: it is another run's now, or of a later epoch.
        """
        before = self.record
        if not _same_owner((yield from self.read()), before):
            raise LockLostError("the record is another run's now")


def record_change(collection: str, target: str, record: Record) -> Change:
    """Return what writes a record: creates its ConfigMap, or changes it as long as it is what was read.

    Args:
        collection: the path of the ConfigMaps of its namespace.
        target: the name of its target.
        record: all of it.
    """
    content = config_map(target, record)
    if record.resource_version is None:
        return Change("create the record", Verb.CREATE, collection, content)
    content["metadata"]["resourceVersion"] = record.resource_version
    return Change("write the record", Verb.PATCH, f"{collection}/{record_name(target)}", content)


def _get(path: str) -> Steps[Document | None]:
    document: Document | None = yield Get(path)
    return document


def _open(record: Record) -> Run:
    if record.run is None:
        raise AssertionError("no run is open")
    return record.run


def _same_owner(found: Record, before: Record) -> bool:
    """Tell whether nobody else has written: the same run in the same epoch is open, or none as before."""
    if found.run is None or before.run is None:
        return found.run is before.run
    return (found.run.id, found.run.epoch) == (before.run.id, before.run.epoch)
