"""What a target presents, summed up for a run: verified is never said of what was not seen."""

from dataclasses import replace
from datetime import timedelta

from certlag.assessment import WindowState
from certlag.model import ProbeFailure
from runbook.check.status import Finding, TargetStatus, target_status
from tests.builders import DEPLOYMENT, RENEWED_AT, a_leaf
from tests.run_facts import NOW, TARGET, a_status

OLD, NEW = a_leaf("first"), a_leaf("second")


def test_every_pod_that_presents_the_issued_one_is_verified() -> None:
    status = a_status(NEW, NEW)
    assert (status.finding, status.valid, status.why) == (Finding.ISSUED, True, "")


def test_one_old_pod_among_new_ones_is_not_verified_and_is_named() -> None:
    status = a_status(NEW, OLD)
    assert (status.finding, status.valid) == (Finding.OLD, True)
    assert status.why.startswith("build-service-1: stale (")
    assert status.needs_restart is True


def test_nothing_seen_is_not_verified() -> None:
    for status in (a_status(), TargetStatus(NOW, ())):
        assert status.finding is Finding.UNSEEN
        assert status.accepted_until is None
        assert status.why == "no running pod was seen"


def test_a_pod_that_was_not_seen_yet_is_not_verified() -> None:
    assert a_status(NEW, None).finding is Finding.UNSEEN


def test_an_old_one_that_was_seen_counts_more_than_one_that_was_not() -> None:
    status = a_status(None, OLD)
    assert (status.finding, status.valid) == (Finding.OLD, True)


def test_what_is_seen_is_accepted_until_the_earliest_of_it_ends() -> None:
    assert a_status(NEW, OLD).accepted_until == OLD.not_after
    assert a_status(NEW, None).accepted_until == NEW.not_after


def test_a_pod_that_cannot_be_reached_says_why() -> None:
    status = a_status(None, failure=ProbeFailure.TIMEOUT)
    assert not status.verified
    assert status.pods[0].failure == "timeout"
    assert status.lines()[0].presents == "timeout"


def test_the_old_one_is_valid_until_it_expires() -> None:
    status = a_status(OLD)
    assert status.valid
    assert not replace(status, at=OLD.not_after).valid
    assert not replace(status, at=OLD.not_after + timedelta(days=1)).valid


def test_a_certificate_that_is_not_the_targets_is_another_one() -> None:
    other = a_leaf("other", names=("somebody-else",))
    status = a_status(other)
    assert status.finding is Finding.OTHER


def test_an_issuer_that_changed_makes_the_old_one_invalid() -> None:
    status = a_status(OLD)
    ((assessment, use),) = status.uses
    changed = replace(status, uses=((assessment, replace(use, issuer_changed=True)),))
    assert not changed.valid
    assert changed.accepted_until is None


def test_deadline_revision_and_issuance_are_the_judgements() -> None:
    status = a_status(OLD)
    assert (status.deadline, status.revision, status.issued_at) == (OLD.not_after, 2, RENEWED_AT)
    assert status.state is WindowState.NEEDS_RESTART


def test_each_line_says_what_a_pod_presents_and_until_when() -> None:
    (line,) = a_status(OLD).lines()
    assert (line.name, line.state) == ("build-service-0", "stale")
    assert line.presents == f"{OLD.fingerprint_sha256[:12]} until 2026-05-30 00:00Z"


def test_only_this_targets_uses_count() -> None:
    ((assessment, use),) = a_status(NEW).uses
    others = (replace(use, target="another"), replace(use, workload=DEPLOYMENT._replace(name="other")))
    mixed = replace(assessment, uses=(*others, use))
    assert len(target_status(TARGET, {assessment.key: mixed}, NOW).uses) == 1


def test_whether_a_restart_is_needed_is_unknown_as_soon_as_one_use_is() -> None:
    ((assessment, use),) = a_status(NEW).uses
    unknown = replace(use, needs_restart=None)
    assert TargetStatus(NOW, ((assessment, use), (assessment, unknown))).needs_restart is None
    assert TargetStatus(NOW, ((assessment, replace(use, needs_restart=True)), (assessment, unknown))).needs_restart
    assert TargetStatus(NOW, ((assessment, use),)).needs_restart is False
    assert TargetStatus(NOW, ()).needs_restart is None
