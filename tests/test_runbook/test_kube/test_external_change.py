"""A contest says what somebody else did, under which field manager and when, as far as that is known."""

from datetime import UTC, datetime

from runbook.kube.external_change import ExternalChange, external_change, replaced
from runbook.kube.views import workload_view
from tests.builders import DEPLOYMENT
from tests.workload_documents import Document, a_deployment


def managed(**entry: object) -> Document:
    fields: Document = {"f:spec": {"f:replicas": {}}}
    return a_deployment(
        metadata={"managedFields": [{"manager": "hpa", "operation": "Apply", "fieldsV1": fields, **entry}]}
    )


def test_the_field_manager_and_the_time_are_named() -> None:
    view = workload_view(DEPLOYMENT, managed(time="2026-06-01T12:00:05Z"))
    said = str(external_change(view, "was scaled to 3", "spec", "replicas"))
    assert said == "deployment/build-service: was scaled to 3, by hpa (Apply) at 2026-06-01 12:00:05Z"


def test_without_a_time_it_says_who() -> None:
    said = str(external_change(workload_view(DEPLOYMENT, managed()), "was scaled to 3", "spec", "replicas"))
    assert said == "deployment/build-service: was scaled to 3, by hpa (Apply)"


def test_what_only_we_have_written_is_never_laid_at_our_own_door() -> None:
    view = workload_view(DEPLOYMENT, managed(manager="certlag", time="2026-06-01T12:00:05Z"))
    assert (
        str(external_change(view, "was scaled to 3", "spec", "replicas")) == "deployment/build-service: was scaled to 3"
    )


def test_a_workload_that_was_created_anew_has_no_writer_to_name() -> None:
    view = workload_view(DEPLOYMENT, managed(time="2026-06-01T12:00:05Z"))
    assert str(replaced(view)) == "deployment/build-service: was deleted and created again"


def test_what_has_no_time_of_its_own_is_said_with_when_it_was_seen() -> None:
    now = datetime(2026, 6, 1, 12, 1, tzinfo=UTC)
    gone = ExternalChange(DEPLOYMENT, "was deleted")
    assert gone.seen(now) == "deployment/build-service: was deleted, seen at 2026-06-01 12:01:00Z"
    view = workload_view(DEPLOYMENT, managed(time="2026-06-01T12:00:05Z"))
    known = external_change(view, "was scaled to 3", "spec", "replicas")
    assert known.seen(now) == str(known)
