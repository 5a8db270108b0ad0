"""What a pod takes of a quota, and whether there is room."""

from decimal import Decimal
from typing import Any

import pytest

from runbook.kube.quotas import Quota, quota, resources, shortages, taken


def a_container(requests: dict[str, str], limits: dict[str, str] | None = None, **more: Any) -> dict[str, Any]:
    return {"name": "x", "resources": {"requests": requests, "limits": limits or {}}, **more}


CPU = {"cpu": "500m"}


@pytest.mark.parametrize(
    ("spec", "cpu"),
    [
        ({"containers": [a_container(CPU), a_container({"cpu": "1"})]}, "1.5"),
        ({"containers": [a_container({}, {"cpu": "2"})]}, "2"),
        ({"containers": [a_container(CPU)], "initContainers": [a_container({"cpu": "3"})]}, "3"),
        (
            {"containers": [a_container(CPU)], "initContainers": [a_container({"cpu": "3"}, restartPolicy="Always")]},
            "3.5",
        ),
        ({"containers": [a_container(CPU)], "overhead": {"cpu": "250m"}}, "0.75"),
        ({"containers": [a_container(CPU)], "resources": {"requests": {"cpu": "4"}}}, "4"),
    ],
    ids=["a sum", "a limit alone", "a large init container", "a sidecar", "overhead", "of the whole pod"],
)
def test_what_a_pod_takes_is_summed_up_as_the_scheduler_does(spec: dict[str, Any], cpu: str) -> None:
    found = taken(resources(spec))
    assert (found["cpu"], found["requests.cpu"], found["pods"]) == (Decimal(cpu), Decimal(cpu), Decimal(1))


@pytest.mark.parametrize(
    ("hard", "used", "more", "freed", "lacks"),
    [
        ("2", "1", 1, "0", False),
        ("2", "2", 1, "0", True),
        ("2", "2", 1, "1", False),
        ("2", "2", 0, "0", False),
        ("1500m", "2", 0, "0", True),
    ],
    ids=["room for one more", "none", "freed by the drain", "replaced one by one", "made smaller since"],
)
def test_there_is_room_if_what_is_used_and_added_stays_within_what_is_hard(
    hard: str, used: str, more: int, freed: str, *, lacks: bool
) -> None:
    small = Quota("small", {"requests.cpu": hard}, {"requests.cpu": used}, scoped=False)
    found = list(shortages([small], {"requests.cpu": Decimal(1)}, more=more, freed={"requests.cpu": Decimal(freed)}))
    text = f"ResourceQuota small leaves no room for a new pod (requests.cpu: {used} used of {hard})"
    assert found == ([text] if lacks else [])


def test_a_quota_of_some_pods_only_is_left_out() -> None:
    document = {"metadata": {"name": "best"}, "spec": {"hard": {"pods": "0"}, "scopes": ["BestEffort"]}}
    assert list(shortages([quota(document)], {"pods": Decimal(1)}, more=1, freed={})) == []
