"""The rights that a command asks for beforehand: those of both directions, each with what for."""

from collections.abc import Iterable

from certlag.model import ObjectKey, Workload
from certlag.run_record import lease_key, record_key
from runbook.kube.permissions import Right, to_check, to_read_claims, to_run, to_start
from tests.builders import NAMESPACE, a_target

TARGET = a_target(workers=(Workload(NAMESPACE, "statefulset", "worker"),))


def words(rights: Iterable[Right]) -> set[str]:
    return {str(right) for right in rights}


def run(*, port_forward: bool = False, keda: bool = False) -> set[str]:
    return words(to_run(TARGET, port_forward=port_forward, keda=keda))


def test_each_is_said_as_kubectl_auth_can_i_takes_it() -> None:
    assert str(Right("get", "", "pods", "x")) == "get pods in x"
    assert str(Right("patch", "apps", "deployments", "x", "a")) == "patch deployments.apps a in x"
    assert str(Right("create", "", "pods", "x", subresource="portforward")) == "create pods/portforward in x"


def test_the_review_that_asks_names_the_object_and_nothing_more() -> None:
    review = Right("patch", "apps", "deployments", "x", "a", why="scaling").review
    assert review["kind"] == "SelfSubjectAccessReview"
    assert review["spec"] == {
        "resourceAttributes": {
            "verb": "patch",
            "group": "apps",
            "resource": "deployments",
            "subresource": "",
            "namespace": "x",
            "name": "a",
        }
    }


def test_looking_takes_no_right_to_change_anything() -> None:
    verbs = {right.verb for right in to_check(TARGET, port_forward=False)}
    assert verbs == {"get", "list"}


def test_starting_a_run_in_the_cluster_takes_no_right_to_change_anything_that_is_there() -> None:
    rights = {*to_start(TARGET, "certlag-run-x", port_forward=False, keda=True)}
    changing = words(right for right in rights if right.verb not in ("get", "list"))
    assert changing == {f"create jobs.batch in {NAMESPACE}"}
    assert f"get cronjobs.batch certlag-run-x in {NAMESPACE}" in words(rights)


def test_no_secret_is_ever_asked_for() -> None:
    rights = [*to_run(TARGET, port_forward=True, keda=True), to_read_claims(TARGET)]
    assert not any(right.resource == "secrets" for right in rights)


def test_every_workload_is_patched_and_its_lease_held() -> None:
    wanted = run()
    assert {"patch deployments.apps build-service in opschain", "patch statefulsets.apps worker in opschain"} <= wanted
    for lease in ("certlag-deployment-build-service", "certlag-statefulset-worker"):
        assert f"patch leases.coordination.k8s.io {lease} in opschain" in wanted
    assert "create leases.coordination.k8s.io in opschain" in wanted


def test_the_record_and_the_events_are_written() -> None:
    record = "configmaps certlag-run-build-service"
    assert {f"get {record} in opschain", f"patch {record} in opschain", "create configmaps in opschain"} <= run()
    assert "create events in opschain" in run()


def test_port_forward_takes_both_verbs_and_is_asked_for_only_where_it_is_needed() -> None:
    both = {"get pods/portforward in opschain", "create pods/portforward in opschain"}
    assert run(port_forward=True) - run() == both


def test_keda_is_asked_about_only_where_it_is_installed() -> None:
    assert run(keda=True) - run() == {"list scaledobjects.keda.sh in opschain"}


def test_each_right_says_what_for() -> None:
    assert all(right.why for right in to_run(TARGET, port_forward=True, keda=True))


def test_what_was_made_in_advance_need_not_be_created() -> None:
    record, *leases = (record_key(TARGET), *(lease_key(each) for each in (TARGET.workload, *TARGET.workers)))

    def asked(*made: ObjectKey) -> set[str]:
        return words(to_run(TARGET, port_forward=False, keda=False, made=frozenset(made)))

    assert run() - asked(record) == {"create configmaps in opschain"}
    assert run() - asked(*leases) == {"create leases.coordination.k8s.io in opschain"}
    assert asked(*leases[1:]) == run(), "as long as one is missing"
