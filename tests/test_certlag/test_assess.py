"""The one assessment, case by case. The sentences are design decisions; each case is the smallest that tells."""

from dataclasses import replace
from datetime import datetime, timedelta
from typing import Any

import pytest

from certlag.assess import assess, assess_certificate, window
from certlag.assessment import Assessment, AssessmentInput, PodView, Reason, UseAssessment, Verdict, WindowState
from certlag.compare import compare
from certlag.issued import issued
from certlag.model import (
    Evidence,
    InitContainer,
    Issued,
    IssuedChain,
    IssuedEvidence,
    Leaf,
    ObjectKey,
    Pod,
    ProbeFailure,
)
from tests import pki
from tests.builders import (
    ISSUED_AT,
    KEY,
    LIFETIME,
    RENEWED_AT,
    WINDOW,
    a_certificate,
    a_chain,
    a_container,
    a_leaf,
    a_pod,
    a_request,
    a_subject,
    a_target,
    a_use,
    a_view,
    an_observation,
    with_issued,
)
from tests.field.record import case

LATER = RENEWED_AT + timedelta(days=10)
"""Ten days after the renewal, twenty before the first certificate ends."""


def judged(subject: AssessmentInput, now: datetime = LATER) -> UseAssessment:
    """The assessment of the one use."""
    (use,) = assess_certificate(subject, now).uses
    return use


def verdict(subject: AssessmentInput, now: datetime = LATER) -> tuple[Verdict, Reason]:
    """The verdict on the one pod."""
    (pod,) = judged(subject, now).pods
    return pod.verdict, pod.reason


def presenting(*labels: str, revision: int | None = 2, **changes: Any) -> AssessmentInput:
    """A Certificate of a revision, with one pod for each leaf that is presented."""
    views = (a_view(a_pod(f"pod-{n}"), an_observation(a_leaf(label))) for n, label in enumerate(labels))
    return a_subject(a_use(*views), revision=revision, **changes)


# --- one endpoint ---------------------------------------------------------------------------------


def test_the_issued_leaf_is_current() -> None:
    assert verdict(presenting("second")) == (Verdict.CURRENT, Reason.IS_ISSUED)


def test_an_older_leaf_of_the_certificate_is_stale() -> None:
    assert verdict(presenting("first")) == (Verdict.STALE, Reason.OLDER_THAN_ISSUED)


def test_renewed_twice_without_a_restart_is_stale_all_the_same() -> None:
    assert verdict(presenting("first", revision=3)) == (Verdict.STALE, Reason.OLDER_THAN_ISSUED)


def test_a_leaf_of_other_names_is_another_certificate() -> None:
    other = a_leaf("other", names=("elsewhere",))
    subject = a_subject(a_use(a_view(None, an_observation(other))), revision=2)
    assert verdict(subject) == (Verdict.UNKNOWN, Reason.OTHER_CERTIFICATE)


def test_a_leaf_that_was_once_issued_belongs_even_if_the_names_have_changed_since() -> None:
    renamed = a_leaf("first", names=("old-name",))
    use = a_use(a_view(None, an_observation(renamed)))
    assert verdict(a_subject(use, revision=2))[0] is Verdict.UNKNOWN
    assert (
        verdict(a_subject(use, revision=2, previous_fingerprints={renamed.fingerprint_sha256: 2}))[0] is Verdict.STALE
    )
    previous_fingerprints = {renamed.fingerprint_sha256: 1}
    assert verdict(a_subject(use, revision=2, previous_fingerprints=previous_fingerprints))[0] is Verdict.STALE


@pytest.mark.fault("F30")
def test_a_leaf_of_a_later_request_is_newer_not_stale() -> None:
    requests = (a_request(1), a_request(2))
    assert verdict(presenting("second", revision=1, requests=requests)) == (Verdict.UNKNOWN, Reason.NEWER_THAN_ISSUED)


def test_a_later_request_of_the_same_second_is_newer_too() -> None:
    twin = a_leaf("twin")  # not-before as the first
    requests = (a_request(1), a_request(2, issued=IssuedChain(twin)))
    subject = a_subject(a_use(a_view(None, an_observation(twin))), requests=requests)
    assert verdict(subject) == (Verdict.UNKNOWN, Reason.NEWER_THAN_ISSUED)


def test_a_leaf_that_begins_after_the_issued_one_is_newer() -> None:
    assert verdict(presenting("second", revision=1)) == (Verdict.UNKNOWN, Reason.NEWER_THAN_ISSUED)


DAY = timedelta(days=1)
REQUEST, MEMORY, DATES = IssuedEvidence.CERTIFICATE_REQUEST, IssuedEvidence.MEMORY, IssuedEvidence.STATUS_DATES
OLDER, NEWER, NOT_ORDERED = (
    (Verdict.STALE, Reason.OLDER_THAN_ISSUED),
    (Verdict.UNKNOWN, Reason.NEWER_THAN_ISSUED),
    (Verdict.UNKNOWN, Reason.NOT_ORDERED),
)


@pytest.mark.parametrize(
    ("evidence", "issued_on", "status_on", "presented_on", "told"),
    [
        (MEMORY, [4], 9, 3, OLDER),
        (MEMORY, [4], 9, 4, OLDER),
        (MEMORY, [4], 9, 5, NEWER),
        (MEMORY, [4], None, 4, OLDER),
        (MEMORY, [4, 6], 9, 3, OLDER),
        (MEMORY, [4, 6], 9, 4, NOT_ORDERED),
        (MEMORY, [4, 6], 9, 5, NOT_ORDERED),
        (MEMORY, [4, 6], 9, 6, NOT_ORDERED),
        (MEMORY, [4, 6], 9, 7, NEWER),
        (REQUEST, [4, 6], 6, 5, OLDER),
        (REQUEST, [4, 6], None, 5, NOT_ORDERED),
        (REQUEST, [4, 6], 5, 5, NOT_ORDERED),
        (DATES, [], 5, 4, OLDER),
        (DATES, [], 5, 6, NEWER),
    ],
)
def test_where_no_revision_tells_dates_order_a_leaf_against_all_that_may_be_issued(
    evidence: IssuedEvidence,
    issued_on: list[int],
    status_on: int | None,
    presented_on: int,
    told: tuple[Verdict, Reason],
) -> None:
    """Days after an instant at which something begins; all of it lasts equally long."""

    def lasting(label: str, day: int) -> Leaf:
        return a_leaf(label, not_before=RENEWED_AT + day * DAY, not_after=RENEWED_AT + day * DAY + LIFETIME)

    chains = tuple(IssuedChain(lasting(f"issued-{day}", day)) for day in issued_on)
    begins = RENEWED_AT + (issued_on or [status_on or 0])[0] * DAY
    known = Issued(evidence, begins, begins + LIFETIME, chains[0] if chains else None, None, chains[1:])
    status = lasting("status", status_on) if status_on else None
    dates = {"not_before": status.not_before, "not_after": status.not_after} if status else {}
    subject = with_issued(AssessmentInput(KEY, a_certificate(2, **({"not_before": None, "not_after": None} | dates))))
    assert compare(lasting("presented", presented_on), a_view(), subject, known) == told


def test_a_leaf_of_an_earlier_revision_is_stale_whatever_its_names_are() -> None:
    renamed = a_leaf("first", names=("old-name",))
    requests = (a_request(1, issued=IssuedChain(renamed)), a_request(2))
    subject = a_subject(a_use(a_view(None, an_observation(renamed))), revision=2, requests=requests)
    assert verdict(subject) == (Verdict.STALE, Reason.EARLIER_REVISION)


def test_nothing_is_stale_while_nothing_was_issued() -> None:
    assert verdict(presenting("first", revision=None)) == (Verdict.UNKNOWN, Reason.NEVER_ISSUED)


def test_a_certificate_that_does_not_exist_makes_nothing_stale() -> None:
    assert verdict(presenting("first", certificate=None, requests=())) == (Verdict.UNKNOWN, Reason.NEVER_ISSUED)


def test_before_the_first_probe_ended_a_pod_counts_nowhere() -> None:
    use = judged(a_subject(a_use(a_view(None, None))))
    assert (use.pods[0].verdict, use.pods[0].reason) == (Verdict.PENDING, Reason.FIRST_PROBE_PENDING)
    assert (use.state, use.needs_restart, use.issuer_changed) == (None, None, None)
    request = a_request(issued=IssuedChain(a_leaf("first"), authorities=(ROOT.der,)))
    assert judged(a_subject(a_use(a_view(None, None)), requests=(request,))).issuer_changed is None


def test_what_is_of_an_earlier_revision_is_stale_also_while_the_issued_one_is_not_known() -> None:
    unready = a_certificate(2, ready=False)
    previous_fingerprints = {a_leaf("first").fingerprint_sha256: 1}
    subject = presenting("first", certificate=unready, requests=(), previous_fingerprints=previous_fingerprints)
    assert verdict(subject) == (Verdict.STALE, Reason.EARLIER_REVISION)
    assert judged(subject).deadline == a_leaf("first").not_after
    not_known = (Verdict.UNKNOWN, Reason.ISSUED_NOT_KNOWN)
    assert verdict(replace(subject, previous_fingerprints={})) == not_known
    assert verdict(replace(subject, previous_fingerprints={a_leaf("first").fingerprint_sha256: 2})) == not_known
    assert verdict(with_issued(replace(subject, previous_fingerprints={}, requests=(a_request(1),)))) == not_known
    restored = replace(unready, not_before=a_leaf("first").not_before, not_after=a_leaf("first").not_after)
    assert verdict(replace(subject, certificate=restored)) == not_known
    without_dates = replace(unready, not_before=None, not_after=None)
    assert verdict(replace(subject, certificate=without_dates)) == (Verdict.STALE, Reason.EARLIER_REVISION)


def test_a_pod_that_never_answered_is_unknown() -> None:
    use = judged(a_subject(a_use(a_view(None, an_observation(failure=ProbeFailure.TIMEOUT))), revision=2))
    assert (use.pods[0].verdict, use.pods[0].reason) == (Verdict.UNKNOWN, Reason.PROBE_FAILED)
    assert (use.state, use.needs_restart) == (WindowState.UNKNOWN, None)


@pytest.mark.fault("N4")
@pytest.mark.parametrize(("label", "state"), [("first", WindowState.NEEDS_RESTART), ("second", WindowState.SETTLED)])
def test_a_failed_probe_changes_nothing_that_was_seen(label: str, state: WindowState) -> None:
    seen = an_observation(a_leaf(label), failure=ProbeFailure.CONNECTION_REFUSED)
    use = judged(a_subject(a_use(a_view(None, seen)), revision=2))
    assert (use.state, use.needs_restart) == (state, label == "first")


# --- which rung tells what was issued -------------------------------------------------------------


def test_the_request_of_the_current_revision_is_the_first_rung() -> None:
    known = issued(a_certificate(2), (a_request(1), a_request(2)), None)
    assert known is not None
    assert known.evidence is IssuedEvidence.CERTIFICATE_REQUEST
    assert known.chain == IssuedChain(a_leaf("second"))


def remembered(revision: int) -> tuple[int, Issued]:
    known = issued(a_certificate(revision), (a_request(revision),), None)
    assert known is not None
    return revision, known


def test_what_was_seen_before_is_the_second_rung_once_the_request_is_gone() -> None:
    known = issued(a_certificate(1), (), remembered(1))
    assert known is not None
    assert (known.evidence, known.chain) == (IssuedEvidence.MEMORY, IssuedChain(a_leaf("first")))


def test_memory_of_another_revision_settles_nothing() -> None:
    known = issued(a_certificate(2), (), remembered(1))
    assert known is not None
    assert (known.evidence, known.chain) == (IssuedEvidence.STATUS_DATES, None)


def test_memory_never_contradicts_the_dates_of_the_status() -> None:
    moved = a_certificate(1, not_after=ISSUED_AT + timedelta(days=10))
    known = issued(moved, (), remembered(1))
    assert known is not None
    assert (known.evidence, known.not_after) == (IssuedEvidence.STATUS_DATES, moved.not_after)


def test_dates_of_the_status_are_the_third_rung_and_equal_dates_are_current() -> None:
    assert verdict(presenting("second", requests=())) == (Verdict.CURRENT, Reason.SAME_DATES_AS_ISSUED)
    assert verdict(presenting("first", requests=())) == (Verdict.STALE, Reason.OLDER_THAN_ISSUED)


@pytest.mark.fault("F30")
def test_the_secret_written_before_the_revision_makes_nothing_stale() -> None:
    """cert-manager's order: request signed, Secret and dates written, revision last; the old request may be gone."""
    dates = {"not_before": a_leaf("second").not_before, "not_after": a_leaf("second").not_after}
    halfway = a_certificate(1, issuing=True, **dates)
    view = a_view(None, an_observation(a_leaf("first")))
    with_memory = a_subject(a_use(view), certificate=halfway, requests=(a_request(2),), remembered=remembered(1))
    assert verdict(with_memory) == (Verdict.CURRENT, Reason.IS_ISSUED)
    after_a_restart = with_issued(with_memory)
    assert verdict(after_a_restart) == (Verdict.UNKNOWN, Reason.ISSUED_NOT_KNOWN)
    announced = with_issued(replace(with_memory, certificate=a_certificate(2)), remembered(1))
    assert verdict(announced) == (Verdict.STALE, Reason.OLDER_THAN_ISSUED)


# --- pods and their ports -------------------------------------------------------------------------


def discovered(*views: PodView, revision: int = 2) -> AssessmentInput:
    return a_subject(a_use(*views, target=None), revision=revision)


def test_the_worst_of_a_pods_ports_is_the_pods_verdict() -> None:
    view = a_view(None, an_observation(a_leaf("second")), an_observation(a_leaf("first")))
    both = with_issued(replace(discovered(view), requests=(a_request(1), a_request(2))))
    assert verdict(both) == (Verdict.STALE, Reason.EARLIER_REVISION)
    assert verdict(discovered(view)) == (Verdict.CURRENT, Reason.IS_ISSUED), "what was never issued outranks nothing"


def test_a_tried_port_that_is_another_service_does_not_count_once_one_has_answered() -> None:
    plain_http = an_observation(failure=ProbeFailure.NOT_TLS)
    foreign = an_observation(a_leaf("other", names=("metrics",)))
    view = a_view(None, an_observation(a_leaf("second")), plain_http, foreign)
    assert verdict(discovered(view)) == (Verdict.CURRENT, Reason.IS_ISSUED)
    assert len(judged(discovered(view)).pods[0].endpoints) == 1


def test_a_tried_port_that_presents_another_certificate_of_the_pod_speaks_for_that_one() -> None:
    sibling = a_leaf("sibling", names=("build-service",))
    view = a_view(None, an_observation(sibling), siblings=frozenset({sibling.fingerprint_sha256}))
    assert verdict(discovered(view)) == (Verdict.UNPROBED, Reason.PRESENTS_SIBLING)
    assert judged(discovered(view)).state is None


def test_a_configured_port_that_presents_another_certificate_of_the_pod_is_unknown() -> None:
    sibling = a_leaf("sibling")
    view = a_view(None, an_observation(sibling), siblings=frozenset({sibling.fingerprint_sha256}))
    assert verdict(a_subject(a_use(view), revision=2)) == (Verdict.UNKNOWN, Reason.PRESENTS_SIBLING)


SIBLING = a_leaf("sibling")
"""Issued by another Certificate of the same pod, for the same name."""


@pytest.mark.parametrize(
    ("failure", "told"),
    [
        (ProbeFailure.NOT_TLS, Verdict.UNPROBED),
        (ProbeFailure.CONNECTION_REFUSED, Verdict.UNPROBED),
        (ProbeFailure.CONNECTION_RESET, Verdict.UNPROBED),
        (ProbeFailure.TIMEOUT, Verdict.UNKNOWN),
    ],
)
def test_a_port_without_tls_beside_one_of_another_certificate_serves_neither(
    failure: ProbeFailure, told: Verdict
) -> None:
    seen = (an_observation(SIBLING), an_observation(failure=failure))
    view = a_view(None, *seen, siblings=frozenset({SIBLING.fingerprint_sha256}))
    assert verdict(discovered(view))[0] is told


@pytest.mark.parametrize(
    ("certificate", "port", "told"),
    [
        (KEY.name, 1234, (Verdict.UNKNOWN, Reason.PRESENTS_SIBLING)),
        (KEY.name, None, (Verdict.UNKNOWN, Reason.PRESENTS_SIBLING)),
        (None, 1234, (Verdict.UNPROBED, Reason.PRESENTS_SIBLING)),
        (None, None, (Verdict.UNPROBED, Reason.PRESENTS_SIBLING)),
    ],
)
def test_a_target_that_names_no_certificate_does_not_serve_each_of_its_pods(
    certificate: str | None, port: int | None, told: tuple[Verdict, Reason]
) -> None:
    view = a_view(None, an_observation(SIBLING), siblings=frozenset({SIBLING.fingerprint_sha256}))
    target = a_target(certificate=certificate, port=port)
    assert verdict(a_subject(a_use(view, target=target), revision=2)) == told
    without = a_view(None, an_observation(failure=ProbeFailure.TIMEOUT), siblings=view.siblings)
    assert verdict(a_subject(a_use(without, target=target), revision=2)) == (Verdict.UNKNOWN, Reason.PROBE_FAILED)


def test_a_pod_of_such_a_target_presents_others_only_where_each_port_does() -> None:
    siblings = frozenset({SIBLING.fingerprint_sha256})
    target = a_target(certificate=None)
    both = a_view(None, an_observation(SIBLING), an_observation(a_leaf("second")), siblings=siblings)
    assert verdict(a_subject(a_use(both, target=target), revision=2)) == (Verdict.UNKNOWN, Reason.PRESENTS_SIBLING)
    assert verdict(a_subject(a_use(a_view(), target=target))) == (Verdict.UNKNOWN, Reason.NO_PORT)


@pytest.mark.parametrize(("port", "told"), [(1234, Verdict.UNKNOWN), (None, Verdict.CURRENT)])
def test_each_port_that_a_target_names_must_serve_and_of_those_that_are_tried_one(
    port: int | None, told: Verdict
) -> None:
    view = a_view(None, an_observation(a_leaf("second")), an_observation(failure=ProbeFailure.TIMEOUT))
    assert verdict(a_subject(a_use(view, target=a_target(port=port)), revision=2))[0] is told


@pytest.mark.parametrize(
    ("others", "told"),
    [
        ("second", Verdict.UNPROBED),
        ("first", Verdict.UNPROBED),
        (None, Verdict.UNKNOWN),
    ],
)
def test_where_one_pod_presents_the_certificate_those_that_present_their_own_do_not_serve_it(
    others: str | None, told: Verdict
) -> None:
    own = a_view(a_pod("own"), an_observation(SIBLING), siblings=frozenset({SIBLING.fingerprint_sha256}))
    seen = an_observation(a_leaf(others)) if others else an_observation(failure=ProbeFailure.TIMEOUT)
    pods = judged(a_subject(a_use(own, a_view(a_pod("other"), seen)), revision=2)).pods
    assert (pods[0].verdict, pods[0].reason) == (told, Reason.PRESENTS_SIBLING)


def test_a_pod_without_a_port_is_unprobed_and_makes_no_verdict() -> None:
    use = judged(discovered(a_view()))
    assert (use.pods[0].verdict, use.pods[0].reason) == (Verdict.UNPROBED, Reason.NO_PORT)
    assert (use.state, use.needs_restart) == (None, None)


def test_a_port_name_that_no_container_declares_is_unknown() -> None:
    view = PodView(a_pod(), None, frozenset())
    assert verdict(a_subject(a_use(view))) == (Verdict.UNKNOWN, Reason.PORT_NOT_FOUND)


# --- what that makes of the workload --------------------------------------------------------------


def test_all_current_is_settled() -> None:
    use = judged(presenting("second", "second"))
    assert (use.state, use.needs_restart, use.deadline) == (WindowState.SETTLED, False, None)


def test_one_stale_among_current_ones_is_needs_restart_by_the_stale_ones_end() -> None:
    use = judged(presenting("second", "first"))
    assert (use.state, use.needs_restart) == (WindowState.NEEDS_RESTART, True)
    assert use.deadline == a_leaf("first").not_after


def test_of_several_stale_leaves_the_first_end_is_the_deadline() -> None:
    views = [
        a_view(a_pod(f"pod-{days}"), an_observation(a_leaf(f"old-{days}", not_after=LATER + timedelta(days=days))))
        for days in (9, 5, 7)
    ]
    assert judged(a_subject(a_use(*views), revision=2)).deadline == LATER + timedelta(days=5)


def test_a_pod_that_was_not_probed_yet_leaves_the_others_verdict_open() -> None:
    views = (a_view(a_pod("a"), an_observation(a_leaf("second"))), a_view(a_pod("b"), None))
    use = judged(a_subject(a_use(*views), revision=2))
    assert (use.state, use.needs_restart) == (WindowState.UNKNOWN, None)


def test_one_stale_beside_one_unknown_is_needs_restart() -> None:
    views = (
        a_view(a_pod("a"), an_observation(a_leaf("first"))),
        a_view(a_pod("b"), an_observation(failure=ProbeFailure.TIMEOUT)),
    )
    use = judged(a_subject(a_use(*views), revision=2))
    assert (use.state, use.needs_restart) == (WindowState.NEEDS_RESTART, True)


def test_one_unknown_beside_current_ones_leaves_open_whether_a_restart_is_needed() -> None:
    views = (
        a_view(a_pod("a"), an_observation(a_leaf("second"))),
        a_view(a_pod("b"), an_observation(failure=ProbeFailure.TIMEOUT)),
    )
    use = judged(a_subject(a_use(*views), revision=2))
    assert (use.state, use.needs_restart) == (WindowState.UNKNOWN, None)


def test_without_an_authority_the_deadline_is_the_leafs_end_whatever_else_is_in_the_chain() -> None:
    sooner = a_leaf("first").not_after - timedelta(days=5)
    view = a_view(None, an_observation(a_chain(a_leaf("first"), not_after=sooner)))
    assert judged(a_subject(a_use(view), revision=2)).deadline == a_leaf("first").not_after


def test_renewal_due_when_its_time_has_passed_and_nothing_was_renewed() -> None:
    use = judged(presenting("first", revision=1), RENEWED_AT + timedelta(minutes=1))
    assert (use.state, use.needs_restart) == (WindowState.RENEWAL_DUE, False)


def test_renewal_disabled_goes_before_renewal_due_and_after_needs_restart() -> None:
    certificate, now = a_certificate(renewal_disabled=True), RENEWED_AT + timedelta(minutes=1)
    assert judged(presenting("first", revision=1, certificate=certificate), now).state is WindowState.RENEWAL_DISABLED
    certificate = a_certificate(2, renewal_disabled=True)
    assert judged(presenting("first", certificate=certificate)).state is WindowState.NEEDS_RESTART


def test_needs_restart_goes_before_renewal_due() -> None:
    now = RENEWED_AT + LIFETIME - WINDOW
    view = a_view(None, an_observation(a_leaf("first", not_after=now + timedelta(days=9))))
    assert judged(a_subject(a_use(view), revision=2), now).state is WindowState.NEEDS_RESTART


@pytest.mark.fault("F21")
def test_expired_goes_before_all_else() -> None:
    use = judged(presenting("first"), a_leaf("first").not_after)
    assert (use.state, use.needs_restart) == (WindowState.EXPIRED, True)
    assert judged(presenting("second"), a_leaf("second").not_after).state is WindowState.EXPIRED


def test_a_certificate_is_not_expired_a_microsecond_before_its_end() -> None:
    just_before = a_leaf("first").not_after - timedelta(microseconds=1)
    assert judged(presenting("first"), just_before).state is WindowState.NEEDS_RESTART


@pytest.mark.parametrize(
    ("revision", "now", "state"),
    [
        (1, ISSUED_AT + timedelta(days=1), WindowState.SETTLED),
        (1, RENEWED_AT, WindowState.RENEWAL_DUE),
        (1, ISSUED_AT + LIFETIME, WindowState.EXPIRED),
        (None, ISSUED_AT, WindowState.UNKNOWN),
    ],
)
def test_without_a_running_pod_the_issued_certificate_alone_is_judged(
    revision: int | None, now: datetime, state: WindowState
) -> None:
    assert judged(a_subject(a_use(), revision=revision), now).state is state


def test_without_a_running_pod_nothing_needs_a_restart() -> None:
    assert judged(a_subject(a_use())).needs_restart is False


# --- the restart window ---------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("renew_before", "percentage", "length"),
    [
        (timedelta(days=30), None, timedelta(days=30)),
        (None, 25, timedelta(days=22.5)),
        (None, None, timedelta(days=30)),
        (timedelta(days=90), None, timedelta(days=30)),
        (timedelta(hours=1), 25, timedelta(hours=1)),
        (timedelta(0), 25, timedelta(days=22.5)),
        (None, 0, timedelta(days=30)),
        (None, 1, timedelta(days=0.9)),
        (None, 99, timedelta(days=89.1)),
        (None, 100, timedelta(days=30)),
    ],
)
def test_the_window_is_the_effective_renew_before(
    renew_before: timedelta | None, percentage: int | None, length: timedelta
) -> None:
    certificate = a_certificate(renew_before=renew_before, renew_before_percentage=percentage)
    assert window(certificate, remembered(1)[1]) == length


def test_a_second_renewal_does_not_move_the_window() -> None:
    assert judged(presenting("first", revision=3)).window == judged(presenting("first", revision=2)).window == WINDOW


# --- the issuer -----------------------------------------------------------------------------------

ROOT, NEW_ROOT = pki.authority("root"), pki.authority("root")


def signed(presented: pki.Issued, *, by: pki.Authority) -> UseAssessment:
    """A stale pod that presents a real leaf, while the issued request names an authority."""
    leaf = a_leaf("first", not_after=presented.certificate.not_valid_after_utc)
    chain = a_chain(leaf, der=presented.chain)
    request = a_request(2, issued=IssuedChain(a_leaf("second"), authorities=(by.der,)))
    return judged(a_subject(a_use(a_view(None, an_observation(chain))), revision=2, requests=(request,)))


def test_a_stale_leaf_of_the_authority_that_issues_now_is_no_changed_issuer() -> None:
    assert signed(ROOT.leaf("build-service"), by=ROOT).issuer_changed is False


def test_a_renewed_authority_is_a_changed_issuer_also_under_the_same_name() -> None:
    assert signed(ROOT.leaf("build-service"), by=NEW_ROOT).issuer_changed is True


def test_a_rotated_intermediate_is_no_changed_issuer() -> None:
    assert signed(ROOT.intermediate("old").leaf("build-service"), by=ROOT).issuer_changed is False


def test_whether_the_issuer_changed_is_open_without_an_authority_or_with_dates_only() -> None:
    assert judged(presenting("first")).issuer_changed is None
    assert judged(presenting("first", requests=())).issuer_changed is None


def test_with_nothing_stale_no_issuer_has_changed() -> None:
    request = a_request(2, issued=IssuedChain(a_leaf("second"), authorities=(ROOT.der,)))
    assert judged(presenting("second", requests=(request,))).issuer_changed is False


def test_the_deadline_is_no_later_than_the_end_of_the_authority_that_signs() -> None:
    ends = a_leaf("first").not_after - timedelta(days=1)
    short = pki.authority("short", not_before=ISSUED_AT, not_after=ends)
    leaf = short.leaf("build-service", not_before=ISSUED_AT, not_after=ends + timedelta(days=1))
    assert signed(leaf, by=short).deadline == ends


# --- guesses --------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("started", "told"),
    [
        (-timedelta(seconds=1), (Verdict.STALE, Reason.STARTED_BEFORE_ISSUANCE)),
        (timedelta(0), (Verdict.UNKNOWN, Reason.STARTED_AROUND_ISSUANCE)),
        (timedelta(seconds=119), (Verdict.UNKNOWN, Reason.STARTED_AROUND_ISSUANCE)),
        (timedelta(seconds=120), (Verdict.CURRENT, Reason.STARTED_AFTER_ISSUANCE)),
    ],
)
def test_start_time_is_a_guess_with_two_minutes_of_doubt(started: timedelta, told: tuple[Verdict, Reason]) -> None:
    pod = a_pod("pod", a_container(started_at=RENEWED_AT + started))
    subject = a_subject(a_use(a_view(pod), evidence=Evidence.START_TIME), revision=2)
    assert verdict(subject) == told
    assert judged(subject).needs_restart is None


def guessed(pod: Pod, revision: int | None = 2, **changes: Any) -> AssessmentInput:
    """A Certificate of a revision, and a pod that is assessed by its start."""
    return a_subject(a_use(a_view(pod), evidence=Evidence.START_TIME), revision=revision, **changes)


@pytest.mark.parametrize(
    ("revision", "started_at", "reason"),
    [(None, RENEWED_AT, Reason.NEVER_ISSUED), (2, None, Reason.NO_PORT)],
)
def test_nothing_is_guessed_while_nothing_was_issued_or_nothing_has_started(
    revision: int | None, started_at: datetime | None, reason: Reason
) -> None:
    pod = a_pod("pod", a_container(started_at=started_at))
    assert verdict(guessed(pod, revision)) == (Verdict.UNKNOWN, reason)


def test_a_guess_is_by_the_instant_of_issuance_and_without_that_by_the_begin_of_the_certificate() -> None:
    backdated = a_request(2, ready_at=RENEWED_AT + timedelta(hours=2))
    pod = a_pod("pod", a_container(started_at=RENEWED_AT + timedelta(hours=1)))
    assert verdict(guessed(pod, requests=(backdated,)))[0] is Verdict.STALE
    assert verdict(guessed(pod, requests=()))[0] is Verdict.CURRENT


BEFORE, AFTER = RENEWED_AT - timedelta(hours=1), RENEWED_AT + timedelta(hours=1)


@pytest.mark.parametrize(
    ("containers", "copied_at", "told"),
    [
        pytest.param([(AFTER, True), (BEFORE, False)], [], Verdict.CURRENT, id="only users of the Secret"),
        pytest.param([(AFTER, False), (BEFORE, False)], [], Verdict.STALE, id="all where none is a user"),
        pytest.param([(AFTER, True)], [BEFORE], Verdict.CURRENT, id="a user reads the Secret itself"),
        pytest.param([(AFTER, False)], [BEFORE], Verdict.STALE, id="what an init container copied"),
        pytest.param([(BEFORE, False)], [AFTER], Verdict.CURRENT, id="what was copied later"),
        pytest.param([(AFTER, False)], [AFTER, BEFORE], Verdict.STALE, id="the first of two copies"),
        pytest.param([(AFTER, False)], [AFTER, None], Verdict.UNKNOWN, id="a copy whose end is not known"),
    ],
)
def test_a_guess_is_by_what_read_the_secret(
    containers: list[tuple[datetime, bool]], copied_at: list[datetime | None], told: Verdict
) -> None:
    running = [
        a_container(f"server-{number}", started_at=at, secrets=("build-service-tls",) if is_user else ())
        for number, (at, is_user) in enumerate(containers)
    ]
    copied = [InitContainer(("build-service-tls",), at) for at in copied_at]
    another = InitContainer(("another-tls",), BEFORE - timedelta(days=99))
    assert verdict(guessed(a_pod("pod", *running, init_containers=(*copied, another))))[0] is told


def test_a_worker_whose_ports_tell_nothing_is_guessed_and_never_for_certain() -> None:
    """A worker is a client first; what one pod of it presents is seen, and what another has loaded is guessed."""
    silent = a_view(a_pod("silent", a_container(started_at=BEFORE)), an_observation(failure=ProbeFailure.TIMEOUT))
    seen = a_view(a_pod("seen", a_container(started_at=BEFORE)), an_observation(a_leaf("second")))
    use = judged(a_subject(a_use(silent, target=None, worker=True), revision=2))
    assert (use.pods[0].verdict, use.state, use.needs_restart) == (Verdict.STALE, WindowState.NEEDS_RESTART, None)
    both = judged(a_subject(a_use(silent, seen, target=None, worker=True), revision=2))
    assert [pod.verdict for pod in both.pods] == [Verdict.STALE, Verdict.CURRENT]
    assert both.needs_restart is None
    fresh = a_view(a_pod("fresh", a_container(started_at=AFTER)), an_observation(failure=ProbeFailure.TIMEOUT))
    mixed = judged(a_subject(a_use(fresh, seen, target=None, worker=True), revision=2))
    assert ([pod.verdict for pod in mixed.pods], mixed.needs_restart) == ([Verdict.CURRENT] * 2, None)


@pytest.mark.parametrize(("labels", "changed"), [([None], None), (["first"], True), ([None, "first"], True)])
def test_of_the_issuer_only_a_worker_that_was_seen_tells(labels: list[str | None], *, changed: bool | None) -> None:
    chain = a_chain(a_leaf("first"), der=NEW_ROOT.leaf("build-service").chain)
    views = [
        a_view(
            a_pod(f"pod-{number}", a_container(started_at=BEFORE)),
            an_observation(chain) if label else an_observation(failure=ProbeFailure.TIMEOUT),
        )
        for number, label in enumerate(labels)
    ]
    request = a_request(2, issued=IssuedChain(a_leaf("second"), authorities=(ROOT.der,)))
    use = judged(a_subject(a_use(*views, target=None, worker=True), revision=2, requests=(request,)))
    assert {pod.verdict for pod in use.pods} == {Verdict.STALE}
    assert use.issuer_changed is changed


@case(
    "W2",
    kind="Found by tests: wrong answers of the exporter",
    situation="A workload is assessed by start time only.",
    says="`certlag_issuer_changed` is absent. Before: 0.",
    found_by="test",
    since="2026-11-24",
)
def test_a_guess_says_nothing_of_the_issuer() -> None:
    pod = a_pod("pod", a_container(started_at=RENEWED_AT - timedelta(hours=1)))
    request = a_request(2, issued=IssuedChain(a_leaf("second"), authorities=(ROOT.der,)))
    subject = a_subject(a_use(a_view(pod), evidence=Evidence.START_TIME), revision=2, requests=(request,))
    assert verdict(subject)[0] is Verdict.STALE
    assert judged(subject).issuer_changed is None


# --- workloads that reload by themselves ------------------------------------------------------------


def test_a_workload_that_reloads_gets_ten_minutes() -> None:
    view = a_view(None, an_observation(a_leaf("first")))
    subject = a_subject(a_use(view, target=a_target(reloads=True)), revision=2)
    early, late = RENEWED_AT + timedelta(minutes=9, seconds=59), RENEWED_AT + timedelta(minutes=10)
    assert (judged(subject, early).state, judged(subject, early).needs_restart) == (WindowState.UNKNOWN, None)
    assert (judged(subject, late).state, judged(subject, late).needs_restart) == (WindowState.NEEDS_RESTART, True)


def test_a_workload_that_does_not_reload_gets_no_time() -> None:
    assert judged(presenting("first"), RENEWED_AT + timedelta(minutes=1)).needs_restart is True


def test_nothing_is_reloaded_while_nothing_was_issued() -> None:
    view = a_view(None, an_observation(a_leaf("first")))
    subject = a_subject(a_use(view, target=a_target(reloads=True)), revision=None)
    assert (judged(subject).state, judged(subject).needs_restart) == (WindowState.UNKNOWN, None)


def test_the_ten_minutes_begin_with_the_issuance_and_not_with_the_certificate() -> None:
    view = a_view(None, an_observation(a_leaf("first")))
    issued_late = a_request(2, ready_at=RENEWED_AT + timedelta(hours=1))
    use = a_use(view, target=a_target(reloads=True))
    subject = a_subject(use, revision=2, requests=(issued_late,))
    assert judged(subject, RENEWED_AT + timedelta(minutes=65)).needs_restart is None


# --- time -----------------------------------------------------------------------------------------


def test_time_alone_changes_nothing_before_it_was_said() -> None:
    """Walk from boundary to boundary: between two of them the assessment is one and the same."""
    view = a_view(None, an_observation(a_leaf("first")))
    subject = a_subject(a_use(view, target=a_target(reloads=True)), revision=2)
    now, states = RENEWED_AT, []
    while now is not None:
        assessment = assess_certificate(subject, now)
        states.append(assessment.uses[0].state)
        if (next_at := assessment.changes_at) is None:
            break
        assert next_at > now
        just_before = assess_certificate(subject, next_at - timedelta(microseconds=1))
        assert just_before == assessment
        now = next_at
    assert states == [
        *(WindowState.UNKNOWN, WindowState.NEEDS_RESTART, WindowState.EXPIRED),
        *(WindowState.EXPIRED, WindowState.EXPIRED),
    ]


def test_nothing_changes_by_time_once_all_has_expired() -> None:
    assert assess_certificate(presenting("first"), RENEWED_AT + LIFETIME).changes_at is None


def test_a_snapshot_is_judged_key_by_key() -> None:
    other = ObjectKey("elsewhere", "other")
    subjects = {KEY: presenting("first"), other: AssessmentInput(other, None)}
    assert assess(subjects, LATER) == {
        KEY: assess_certificate(subjects[KEY], LATER),
        other: Assessment(other, None, None),
    }
