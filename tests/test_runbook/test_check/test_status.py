"""What a target presents, summed up for a run: verified is never said of what was not seen."""

from dataclasses import replace
from datetime import timedelta

from certlag.assessment import WindowState
from certlag.model import ProbeFailure
from runbook.check.status import Finding, TargetStatus, target_sight
from tests.builders import DEPLOYMENT, RENEWED_AT, a_leaf
from tests.run_facts import NOW, TARGET, a_sight

OLD, NEW = a_leaf("first"), a_leaf("second")


def test_every_pod_that_presents_the_issued_one_is_verified() -> None:
    sight = a_sight(NEW, NEW)
    assert (sight.finding, sight.valid, sight.why) == (Finding.ISSUED, True, "")


def test_one_old_pod_among_new_ones_is_not_verified_and_is_named() -> None:
    sight = a_sight(NEW, OLD)
    assert (sight.finding, sight.valid) == (Finding.OLD, True)
    assert sight.why.startswith("build-service-1: stale (")
    assert sight.needs_restart is True


def test_nothing_seen_is_not_verified() -> None:
    for sight in (a_sight(), TargetStatus(NOW, ())):
        assert sight.finding is Finding.UNSEEN
        assert sight.accepted_until is None
        assert sight.why == "no running pod was seen"


def test_a_pod_that_was_not_seen_yet_is_not_verified() -> None:
    assert a_sight(NEW, None).finding is Finding.UNSEEN


def test_an_old_one_that_was_seen_counts_more_than_one_that_was_not() -> None:
    sight = a_sight(None, OLD)
    assert (sight.finding, sight.valid) == (Finding.OLD, True)


def test_what_is_seen_is_accepted_until_the_earliest_of_it_ends() -> None:
    assert a_sight(NEW, OLD).accepted_until == OLD.not_after
    assert a_sight(NEW, None).accepted_until == NEW.not_after


def test_a_pod_that_cannot_be_reached_says_why() -> None:
    sight = a_sight(None, failure=ProbeFailure.TIMEOUT)
    assert not sight.verified
    assert sight.pods[0].failure == "timeout"
    assert sight.lines()[0].presents == "timeout"


def test_the_old_one_is_valid_until_it_expires() -> None:
    sight = a_sight(OLD)
    assert sight.valid
    assert not replace(sight, at=OLD.not_after).valid
    assert not replace(sight, at=OLD.not_after + timedelta(days=1)).valid


def test_a_certificate_that_is_not_the_targets_is_another_one() -> None:
    other = a_leaf("other", names=("somebody-else",))
    sight = a_sight(other)
    assert sight.finding is Finding.OTHER


def test_an_issuer_that_changed_makes_the_old_one_invalid() -> None:
    sight = a_sight(OLD)
    ((assessment, use),) = sight.uses
    changed = replace(sight, uses=((assessment, replace(use, issuer_changed=True)),))
    assert not changed.valid
    assert changed.accepted_until is None


def test_deadline_revision_and_issuance_are_the_judgements() -> None:
    sight = a_sight(OLD)
    assert (sight.deadline, sight.revision, sight.issued_at) == (OLD.not_after, 2, RENEWED_AT)
    assert sight.state is WindowState.NEEDS_RESTART


def test_each_line_says_what_a_pod_presents_and_until_when() -> None:
    (line,) = a_sight(OLD).lines()
    assert (line.name, line.state) == ("build-service-0", "stale")
    assert line.presents == f"{OLD.fingerprint_sha256[:12]} until 2026-05-30 00:00Z"


def test_only_this_targets_uses_count() -> None:
    ((assessment, use),) = a_sight(NEW).uses
    others = (replace(use, target="another"), replace(use, workload=DEPLOYMENT._replace(name="other")))
    mixed = replace(assessment, uses=(*others, use))
    assert len(target_sight(TARGET, {assessment.key: mixed}, NOW).uses) == 1


def test_whether_a_restart_is_needed_is_unknown_as_soon_as_one_use_is() -> None:
    ((assessment, use),) = a_sight(NEW).uses
    unknown = replace(use, needs_restart=None)
    assert TargetStatus(NOW, ((assessment, use), (assessment, unknown))).needs_restart is None
    assert TargetStatus(NOW, ((assessment, replace(use, needs_restart=True)), (assessment, unknown))).needs_restart
    assert TargetStatus(NOW, ((assessment, use),)).needs_restart is False
    assert TargetStatus(NOW, ()).needs_restart is None
