"""What is stored, and what is remembered of it."""

import json

from rehearsal.api.resources import DEPLOYMENTS, PODS
from rehearsal.api.storage import HISTORY, Storage
from tests.test_rehearsal.places import SERVICE, WORKER, Place, place


def text_of(at: Place, version: int) -> dict[int, str]:
    """Every document that was stored since a version, as text, by its own version."""
    events = [
        event for resource in (DEPLOYMENTS, PODS) for event in at.cluster.api.storage.since(version, resource) or ()
    ]
    return {event.version: json.dumps(event.document, sort_keys=True) for event in events}


def test_a_document_that_was_handed_out_stays_as_it_was() -> None:
    at = place()
    version = at.cluster.api.storage.version
    at.restart(SERVICE)
    at.scale(WORKER, 0)
    before = text_of(at, version)
    assert before
    at.pass_time(hours=1)
    at.restart(SERVICE, "again")
    at.scale(WORKER, 2)
    at.pass_time(hours=1)
    assert before.items() <= text_of(at, version).items()


def test_the_past_is_remembered_within_bounds() -> None:
    storage = Storage()
    first = storage.version
    for number in range(HISTORY + 1):
        storage.put(DEPLOYMENTS, {"metadata": {"namespace": "default", "name": f"d{number}"}})
    assert storage.since(first, DEPLOYMENTS) is None
    recent = storage.since(storage.version - HISTORY // 2 + 1, DEPLOYMENTS)
    assert recent is not None
    assert [event.version for event in recent][-1] == storage.version
