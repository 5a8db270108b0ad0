"""Events folded into the world: what a subject holds afterwards, and which assessments an event concerns."""

from dataclasses import replace
from datetime import datetime, timedelta
from typing import Any

import pytest

from certlag.assessment import AssessmentInput
from certlag.config.schema import Configuration
from certlag.kube.reflector import Changed, Listed, Removed
from certlag.kube.resources import (
    CERTIFICATE_REQUESTS,
    CERTIFICATES,
    LEASES,
    PODS,
    REPLICA_SETS,
    RUN_RECORDS,
    WORKLOADS,
    Resource,
    Watch,
)
from certlag.model import (
    Discovery,
    DiscoveryProbe,
    Endpoint,
    Evidence,
    IssuedEvidence,
    Lease,
    ObjectKey,
    Presented,
    Probe,
    ProbeError,
    ProbeFailure,
    Target,
    Workload,
)
from certlag.run_record import OpenRun, RunRecord, Step, lease_key, record_key
from certlag.store.world import World
from tests.builders import (
    DEPLOYMENT,
    ISSUED_AT,
    KEY,
    NAMESPACE,
    a_certificate,
    a_chain,
    a_container,
    a_leaf,
    a_pod,
    a_replica_set,
    a_request,
    a_target,
    a_workload,
    an_endpoint,
    an_open_run,
    resource_of,
)

ALL = Discovery(frozenset({"*"}), DiscoveryProbe.DECLARED_PORTS)


def a_world(*targets: Target, discovery: Discovery = ALL, objects: tuple[Any, ...] = ()) -> World:
    """A world that has been told of these objects."""
    world = World(Configuration(targets, discovery))
    for item in objects:
        tell(world, item)
    return world


def a_watch(resource: Resource) -> Watch:
    return Watch(resource, NAMESPACE)


def tell(world: World, item: Any) -> set[ObjectKey]:
    return world.apply(Changed(a_watch(resource_of(item)), item), ISSUED_AT)


def the_subject(world: World, key: ObjectKey = KEY) -> AssessmentInput:
    subject = world.subject(key)
    assert subject is not None
    return subject


def a_probe(endpoint: Endpoint, label: str | None = "first") -> Probe:
    outcome = Presented(a_chain(a_leaf(label))) if label else ProbeError(ProbeFailure.TIMEOUT, "")
    return Probe(endpoint, outcome, ISSUED_AT, timedelta(milliseconds=2))


EVERYTHING = (a_certificate(), a_request(), a_replica_set(), a_pod())


# --- who uses a certificate -------------------------------------------------------------------------


def test_a_pod_is_found_through_its_secret_and_named_by_its_deployment() -> None:
    (use,) = the_subject(a_world(objects=EVERYTHING)).uses
    assert (use.workload, use.target, use.evidence) == (DEPLOYMENT, None, Evidence.HANDSHAKE)
    assert [view.pod.key.name for view in use.pods] == ["build-service-a"]


@pytest.mark.fault("F11")
@pytest.mark.parametrize("order", [(0, 1, 2, 3), (3, 2, 1, 0), (3, 0, 2, 1), (2, 3, 1, 0)])
def test_neither_the_order_in_which_things_are_told_nor_how_often_makes_a_difference(order: tuple[int, ...]) -> None:
    told = a_world(objects=tuple(EVERYTHING[index] for index in order for _ in range(2)))
    assert the_subject(told) == the_subject(a_world(objects=EVERYTHING))
    for index in order:
        tell(told, EVERYTHING[index])
    assert the_subject(told) == the_subject(a_world(objects=EVERYTHING))


@pytest.mark.fault("F11")
def test_an_end_that_is_told_twice_is_one() -> None:
    world = a_world(objects=EVERYTHING)
    ended = Removed(a_watch(PODS), a_pod().key)
    assert world.apply(ended, ISSUED_AT) == {KEY}
    assert world.apply(ended, ISSUED_AT) == set()
    assert the_subject(world) == the_subject(a_world(objects=EVERYTHING[:-1]))


def test_a_pod_whose_replica_set_is_not_known_yet_belongs_to_nobody_for_the_moment() -> None:
    world = a_world(objects=(a_certificate(), a_pod()))
    assert the_subject(world).uses == ()
    assert tell(world, a_replica_set()) == {KEY}
    assert the_subject(world).uses[0].workload == DEPLOYMENT


def test_a_pod_that_outlives_its_replica_set_keeps_its_workload() -> None:
    world = a_world(objects=EVERYTHING)
    world.apply(Removed(a_watch(REPLICA_SETS), a_replica_set().key), ISSUED_AT)
    tell(world, a_pod())
    assert the_subject(world).uses[0].workload == DEPLOYMENT


def test_a_pod_without_an_owner_is_a_workload_of_its_own() -> None:
    world = a_world(objects=(a_certificate(), a_pod("alone", owner=None)))
    assert the_subject(world).uses[0].workload == Workload(NAMESPACE, "barepod", "alone")


def test_terminating_pods_and_containers_that_have_not_started_do_not_count() -> None:
    ending = a_pod("ending", terminating=True)
    waiting = a_pod("waiting", a_container(started_at=None))
    world = a_world(objects=(*EVERYTHING, ending, waiting))
    assert [view.pod.key.name for view in the_subject(world).uses[0].pods] == ["build-service-a"]


def test_what_nobody_asked_for_has_no_use() -> None:
    assert the_subject(a_world(discovery=Discovery(), objects=EVERYTHING)).uses == ()


def test_a_target_that_names_its_certificate_is_a_use_even_without_a_pod() -> None:
    (use,) = the_subject(a_world(a_target(), objects=(a_certificate(),))).uses
    assert (use.target, use.pods) == (a_target(), ())


def test_a_target_without_a_certificate_finds_it_through_its_pods() -> None:
    target = a_target(certificate=None)
    (use,) = the_subject(a_world(target, discovery=Discovery(), objects=EVERYTHING)).uses
    assert (use.target, len(use.pods)) == (target, 1)


def test_a_target_names_a_certificate_that_does_not_exist() -> None:
    subject = the_subject(a_world(a_target(), objects=(a_replica_set(), a_pod())))
    assert subject.certificate is None
    assert len(subject.uses[0].pods) == 1


def test_a_targets_pod_counts_once_though_it_also_uses_the_secret() -> None:
    assert len(the_subject(a_world(a_target(), objects=EVERYTHING)).uses) == 1


def test_workers_that_use_a_certificate_are_judged_by_their_start() -> None:
    worker = a_pod("worker-a", owner=None)
    target = a_target(workers=(Workload(NAMESPACE, "barepod", "worker-a"),))
    uses = the_subject(a_world(target, discovery=Discovery(), objects=(*EVERYTHING, worker))).uses
    assert [(use.workload.name, use.evidence) for use in uses] == [
        ("build-service", Evidence.HANDSHAKE),
        ("worker-a", Evidence.START_TIME),
    ]


def test_what_another_certificate_of_the_pod_has_issued_is_a_sibling() -> None:
    other = a_certificate(key=ObjectKey(NAMESPACE, "client"), uid="client-uid", secret="client-tls")
    request = a_request(certificate_uid="client-uid", key=ObjectKey(NAMESPACE, "client-1"))
    pod = a_pod("both", a_container(secrets=("build-service-tls", "client-tls")))
    world = a_world(objects=(*EVERYTHING, pod, other, request))
    views = {view.pod.key.name: view for view in the_subject(world).uses[0].pods}
    assert views["both"].siblings == {a_leaf("first").fingerprint_sha256}
    assert views["build-service-a"].siblings == frozenset()
    tell(world, a_certificate(2, key=other.key, uid=other.uid, secret=other.secret))
    tell(world, a_request(2, certificate_uid=other.uid, key=ObjectKey(NAMESPACE, "client-2")))
    views = {view.pod.key.name: view for view in the_subject(world).uses[0].pods}
    assert views["both"].siblings == {a_leaf("first").fingerprint_sha256, a_leaf("second").fingerprint_sha256}


# --- probes ---------------------------------------------------------------------------------------


def seen(world: World) -> Any:
    (view,) = the_subject(world).uses[0].pods
    assert view.endpoints is not None
    return view.endpoints[0].observation


def the_endpoint(world: World) -> Endpoint:
    (view,) = the_subject(world).uses[0].pods
    assert view.endpoints is not None
    return view.endpoints[0].endpoint


def test_a_probe_is_seen_and_a_failed_one_after_it_takes_nothing_away() -> None:
    world = a_world(objects=EVERYTHING)
    endpoint = the_endpoint(world)
    assert world.observe(a_probe(endpoint)) == {KEY}
    assert world.observe(a_probe(endpoint, None)) == {KEY}
    assert seen(world).loaded.leaf == a_leaf("first")
    assert seen(world).failure is ProbeFailure.TIMEOUT
    assert seen(world).last_success_at == ISSUED_AT + timedelta(milliseconds=2)


@pytest.mark.fault("F28")
@pytest.mark.parametrize(
    "now_there",
    [
        a_pod(uid="another-uid"),
        a_pod(address="10.88.0.8"),
        a_pod("build-service-a", a_container(id="containerd://restarted")),
        a_pod(terminating=True),
    ],
)
def test_an_answer_from_an_address_that_has_changed_hands_is_thrown_away(now_there: Any) -> None:
    world = a_world(objects=EVERYTHING)
    asked = the_endpoint(world)
    tell(world, now_there)
    assert world.observe(a_probe(asked)) == set()


def test_a_restarted_container_has_not_been_seen_yet() -> None:
    world = a_world(objects=EVERYTHING)
    world.observe(a_probe(the_endpoint(world)))
    tell(world, a_pod("build-service-a", a_container(id="containerd://restarted")))
    assert seen(world) is None


def test_a_pod_that_changes_otherwise_keeps_what_was_seen() -> None:
    world = a_world(objects=EVERYTHING)
    world.observe(a_probe(the_endpoint(world)))
    tell(world, a_pod("build-service-a", a_container(ready=False)))
    assert seen(world).loaded.leaf == a_leaf("first")


def test_an_equal_chain_is_kept_once() -> None:
    world = a_world(objects=EVERYTHING)
    world.observe(a_probe(the_endpoint(world)))
    first = seen(world).loaded
    world.observe(a_probe(the_endpoint(world)))
    assert seen(world).loaded is first


# --- memory ---------------------------------------------------------------------------------------


def test_what_a_request_said_is_remembered_after_it_is_gone() -> None:
    world = a_world(objects=EVERYTHING)
    assert world.apply(Removed(a_watch(CERTIFICATE_REQUESTS), a_request().key), ISSUED_AT) == {KEY}
    subject = the_subject(world)
    assert subject.requests == ()
    assert subject.issued is not None
    assert subject.issued.evidence is IssuedEvidence.MEMORY
    assert subject.previous_fingerprints == {a_leaf("first").fingerprint_sha256: 1}


def test_a_certificate_made_anew_under_the_same_name_remembers_nothing() -> None:
    world = a_world(objects=EVERYTHING)
    world.apply(Removed(a_watch(CERTIFICATE_REQUESTS), a_request().key), ISSUED_AT)
    tell(world, a_certificate(uid="another"))
    found = the_subject(world).issued
    assert found is not None
    assert found.evidence is IssuedEvidence.STATUS_DATES


def test_a_deleted_certificate_is_no_subject_and_leaves_nothing() -> None:
    world = a_world(objects=EVERYTHING)
    assert KEY in world.apply(Removed(a_watch(CERTIFICATES), KEY), ISSUED_AT)
    assert world.subject(KEY) is None
    assert world.keys() == set()


# --- lists ----------------------------------------------------------------------------------------


@pytest.mark.fault("F12")
def test_a_list_replaces_what_was_known_in_its_scope_and_nothing_else() -> None:
    elsewhere = a_pod("elsewhere", owner=None, key=ObjectKey("other", "elsewhere"))
    world = a_world(objects=(*EVERYTHING, a_pod("gone"), elsewhere, a_certificate(key=ObjectKey("other", KEY.name))))
    dirty = world.apply(Listed(a_watch(PODS), (a_pod("new"),), frozenset()), ISSUED_AT)
    assert dirty == {KEY}
    assert [view.pod.key.name for view in the_subject(world).uses[0].pods] == ["new"]
    assert len(the_subject(world, ObjectKey("other", KEY.name)).uses) == 1


@pytest.mark.fault("F12")
@pytest.mark.parametrize("resource", [CERTIFICATES, CERTIFICATE_REQUESTS, PODS])
def test_what_is_listed_anew_just_so_concerns_no_judgement_and_stays_the_same_object(resource: Resource) -> None:
    world = a_world(objects=EVERYTHING)
    known = the_subject(world)
    listed = {
        CERTIFICATES: a_certificate(),
        CERTIFICATE_REQUESTS: replace(a_request(), key=ObjectKey(NAMESPACE, a_request().key.name)),
        PODS: a_pod(),
    }
    assert world.apply(Listed(a_watch(resource), (listed[resource],), frozenset()), ISSUED_AT) == set()
    again = the_subject(world)
    assert again == known
    assert again.certificate is known.certificate
    assert again.requests[0] is known.requests[0]
    assert again.uses[0].pods[0].pod is known.uses[0].pods[0].pod


@pytest.mark.fault("F12")
def test_a_certificate_that_is_missing_in_a_list_leaves_nothing() -> None:
    other = a_certificate(key=ObjectKey(NAMESPACE, "other"), secret="other-tls")
    world = a_world(objects=(*EVERYTHING, other))
    assert KEY in world.apply(Listed(a_watch(CERTIFICATES), (other,), frozenset()), ISSUED_AT)
    assert world.subject(KEY) is None
    assert world.keys() == {other.key}


@pytest.mark.fault("F18")
def test_an_object_that_could_not_be_read_keeps_what_was_known_of_it() -> None:
    world = a_world(objects=EVERYTHING)
    world.apply(Listed(a_watch(PODS), (), frozenset({a_pod().key})), ISSUED_AT)
    assert len(the_subject(world).uses[0].pods) == 1


# --- targets --------------------------------------------------------------------------------------


def test_a_target_is_found_when_workload_and_certificate_exist() -> None:
    world = a_world(a_target(), objects=(a_workload(),))
    assert not world.target(a_target()).found
    tell(world, a_certificate())
    assert world.target(a_target()).found
    world.apply(Removed(Watch(WORKLOADS["deployment"], NAMESPACE, DEPLOYMENT.name), KEY), ISSUED_AT)
    assert not world.target(a_target()).found


def test_a_leases_heartbeat_is_when_we_saw_it_change() -> None:
    """The first view is no change: until there is one, since when we have known the run is told."""
    target = a_target()
    world = a_world(target, objects=(RunRecord(record_key(target), an_open_run(), ()),))
    key, later = lease_key(target.workload), ISSUED_AT + timedelta(seconds=15)
    for renewed, told_at, heartbeat_at in (("1", later, None), ("1", later, None), ("2", later, later)):
        world.apply(Changed(Watch(LEASES, *key), Lease(key, "somebody", renewed)), told_at)
        found = world.target(target)
        assert found.heartbeat_at == heartbeat_at
        assert found.heartbeat_awaited_at == (None if heartbeat_at else ISSUED_AT)


def test_a_heartbeat_is_awaited_since_the_run_was_first_seen_whatever_its_record_says_since() -> None:
    target = a_target()
    world, later = a_world(target), ISSUED_AT + timedelta(minutes=1)

    def awaited(run: OpenRun | None, at: datetime) -> datetime | None:
        record = RunRecord(record_key(target), run, ())
        world.apply(Changed(Watch(RUN_RECORDS, *record.key), record), at)
        return world.target(target).heartbeat_awaited_at

    assert awaited(an_open_run(), ISSUED_AT) == ISSUED_AT
    assert awaited(an_open_run(step=Step.DRAINED), later) == ISSUED_AT
    assert awaited(None, later) is None
    assert awaited(an_open_run(), later) == later
    assert awaited(an_open_run(id="another"), later + timedelta(minutes=1)) == later + timedelta(minutes=1)


def test_a_record_that_is_emptied_is_forgotten() -> None:
    target = a_target()
    record = RunRecord(record_key(target), None, ())
    world = a_world(target, objects=(record,))
    world.apply(Removed(Watch(RUN_RECORDS, *record.key), record.key), ISSUED_AT)
    assert world.target(target).last is None


def test_an_endpoint_is_that_of_the_pods_first_container() -> None:
    assert the_endpoint(a_world(objects=EVERYTHING)) == an_endpoint()
