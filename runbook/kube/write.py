"""The only module that changes a cluster, and the only one that sends anything: one change, one request.

What is written is decided elsewhere; here it is sent, once, under our own field manager. Every patch must carry the
resourceVersion of the read that it was decided on: one that does not is a bug, and ends the process.
"""

import json
from collections.abc import Mapping
from typing import Any

from certlag.kube.transport import Connection, document, twice_if_unauthorized
from runbook.effects import Change, Verb
from runbook.kube.views import FIELD_MANAGER

TIMEOUT = 10.0
"""Seconds for an answer. The lock is given up after 40 s without a renewal, so nothing may take longer."""

_METHODS = {Verb.CREATE: ("POST", "application/json"), Verb.PATCH: ("PATCH", "application/merge-patch+json")}


def write(connection: Connection, change: Change, *, dry_run: bool = False) -> Any:
    """Send a change and return the object after it.

    Args:
        connection: to the API server.
        change: what to write.
        dry_run: let the API server check and admit it, and keep nothing.

    Raises:
        ClusterError: it was refused, or may or may not have been done.
    """
    body = dict(change.body)
    if change.verb is Verb.PATCH and not body.get("metadata", {}).get("resourceVersion"):
        raise AssertionError(f"{change.what}: a patch without a resourceVersion may undo what somebody else did")
    if change.verb is Verb.PATCH and dry_run:
        # What others write in that time does not matter: nothing is kept.
        body["metadata"] = {key: value for key, value in body["metadata"].items() if key != "resourceVersion"}
    method, content_type = _METHODS[change.verb]
    parameters = {"fieldManager": FIELD_MANAGER} | ({"dryRun": "All"} if dry_run else {})
    return send(connection, method, change.path, body=body, content_type=content_type, parameters=parameters)


def review(connection: Connection, path: str, body: dict[str, Any]) -> Any:
    """Ask the API server about ourselves: a review is sent like an object, and changes nothing.

    Args:
        connection: to the API server.
        path: of a SelfSubjectAccessReview or a SelfSubjectReview.
        body: its content.

    Raises:
        ClusterError: there is no answer.
    """
    return send(connection, "POST", path, body=body, content_type="application/json")


def send(
    connection: Connection,
    method: str,
    path: str,
    *,
    body: Any,
    content_type: str,
    parameters: Mapping[str, str] | None = None,
    timeout: float = TIMEOUT,
) -> Any:
    """Send a JSON document, once; return the one that is answered.

    Only if the credentials were refused, which means that nothing was done, it is sent once more with fresh ones.

    Args:
        connection: to the API server.
        method: of HTTP.
        path: on the server.
        body: a JSON document.
        content_type: its media type: which kind of patch it is.
        parameters: the query.
        timeout: seconds without a byte before it is given up.

    Raises:
        ClusterError: it was refused (`refused`), or it may or may not have been done.
    """
    encoded = json.dumps(body).encode()

    def exchange() -> Any:
        with connection.request(
            method, path, parameters or {}, body=encoded, content_type=content_type, timeout=timeout
        ) as answer:
            return document(answer)

    return twice_if_unauthorized(exchange)
