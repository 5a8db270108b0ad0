"""The commands that only look: `check`, `history` and `use`. Reads the API server, probes pods, changes nothing there.

`use` writes one file of the user's.
"""

import os
from collections.abc import Mapping, Sequence

from certlag.kube.client import ClusterClient
from certlag.model import Target
from certlag.run_record import record_key
from runbook.check.advice import CheckReport, Used
from runbook.check.inspector import get
from runbook.guard.record import Record, from_config_map
from runbook.session.chosen_release import ChosenReleases
from runbook.session.options import Options, UsageError
from runbook.session.session import Session, Time, connect, open_session
from runbook.session.target_source import RELEASE_VARIABLE


def check(session: Session, names: Sequence[str]) -> tuple[CheckReport, ...]:
    """Return what is so with targets: with those named, else with all.

    Raises:
        UsageError: there is no such target.
        ClusterError: the API server did not give what is needed.
        RecordError: the record of one cannot be read.
    """
    targets = [session.target(name) for name in names] or session.targets
    return tuple(_answer(session, target) for target in targets)


def _answer(session: Session, target: Target) -> CheckReport:
    inspector = session.inspector(target, session.reader)
    status = inspector.inspect()
    return CheckReport(status, inspector.run(), _record(session.reader, target).run, session.commands(target))


def history(session: Session, name: str | None) -> dict[str, Record]:
    """Return the record of one target, or of all.

    Raises:
        UsageError: there is no such target.
        ClusterError: the API server did not give what is needed.
        RecordError: a record cannot be read.
    """
    targets = [session.target(name)] if name else session.targets
    return {target.name: _record(session.reader, target) for target in targets}


def use(options: Options, program: str, time: Time, environment: Mapping[str, str] = os.environ) -> Used:
    """Store the release of the options for the kubeconfig's context, or return what is stored.

    Raises:
        UsageError: there is no context to store it for.
        ConfigurationError: the release's configuration cannot be read, or the file of releases cannot.
        ClusterConfigError: there is no way to a cluster.
        ClusterError: the API server did not give the configuration.
    """
    chosen = ChosenReleases.of_user(environment)
    session = None if options.release is None else open_session(options, program, time, environment)
    connection = connect(options, time) if session is None else session.connection
    if connection.context is None:
        raise UsageError(f"in a pod there is no kubeconfig context: set ${RELEASE_VARIABLE}")
    context, server = connection.context, connection.server
    if session is None or options.release is None:
        return Used(context, server, chosen.get(context, server), None)
    chosen.store(context, server, options.release)
    return Used(context, server, options.release, tuple(each.name for each in session.targets))


def _record(client: ClusterClient, target: Target) -> Record:
    key = record_key(target)
    document = get(client, f"/api/v1/namespaces/{key.namespace}/configmaps/{key.name}")
    return Record() if document is None else from_config_map(document)
