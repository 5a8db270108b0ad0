"""The two commands that only look: `check-…` and `history`. Reads the API server, probes pods, changes nothing."""

from exporter.cluster.client import ClusterClient
from exporter.model import Target
from exporter.run_record import record_key
from runbook.look import get
from runbook.record import Record, from_config_map
from runbook.reporters.answer import Answer
from runbook.session import Session


def check(session: Session, name: str) -> Answer:
    """Return what is so with a target.

    Raises:
        UsageError: the configuration has no such target.
        ClusterError: the API server did not give what is needed.
        RecordError: its record cannot be read.
    """
    target = session.target(name)
    looker = session.looker(target, session.reader)
    sight = looker.look()
    return Answer(sight, looker.run(), _record(session.reader, target).run, session.commands(target))


def history(session: Session, name: str | None) -> dict[str, Record]:
    """Return the record of one target, or of all.

    Raises:
        UsageError: the configuration has no such target.
        ClusterError: the API server did not give what is needed.
        RecordError: a record cannot be read.
    """
    targets = [session.target(name)] if name else session.targets
    return {target.name: _record(session.reader, target) for target in targets}


def _record(client: ClusterClient, target: Target) -> Record:
    key = record_key(target)
    document = get(client, f"/api/v1/namespaces/{key.namespace}/configmaps/{key.name}")
    return Record() if document is None else from_config_map(document)
