"""Which of a pod's containers do its work: the named one, the one called as the workload is, else all but sidecars."""

import pytest

from runbook.kube.containers import DEFAULT_CONTAINER, container_ends


def working(*names: str, pod: str = "worker-6lgz-zn5xb", default: str | None = None) -> list[str]:
    """Return the containers of a pod, all of which have ended, whose end is that of its work."""
    annotations = {DEFAULT_CONTAINER: default} if default else {}
    statuses = [{"name": name, "state": {"terminated": {"exitCode": 0}}} for name in names]
    document = {"metadata": {"name": pod, "annotations": annotations}, "status": {"containerStatuses": statuses}}
    return [end.container for end in container_ends(document) if end.works]


@pytest.mark.parametrize(
    ("names", "found"),
    [
        (["main"], ["main"]),
        (["worker", "logs"], ["worker"]),
        (["runner", "istio-proxy"], ["runner"]),
        (["linkerd-proxy", "runner", "builder", "fluent-bit"], ["runner", "builder"]),
        (["istio-proxy"], ["istio-proxy"]),
    ],
)
def test_sidecars_do_not_work_unless_there_is_nothing_else(names: list[str], found: list[str]) -> None:
    assert working(*names) == found


def test_the_container_that_the_pod_names_is_the_one() -> None:
    assert working("worker", "runner", default="runner") == ["runner"]
    assert working("worker", "runner", default="gone") == ["worker"]


def test_only_containers_that_have_ended_are_given() -> None:
    statuses = [{"name": "worker", "state": {"running": {}}}, {"name": "other"}]
    assert container_ends({"metadata": {"name": "worker-0"}, "status": {"containerStatuses": statuses}}) == ()
