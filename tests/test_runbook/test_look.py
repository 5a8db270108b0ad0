"""What the runbook lists: whole, however fat the objects are that others put beside its own."""

import json
from pathlib import Path
from typing import Any

import pytest

from exporter.cluster.client import ClusterClient
from exporter.errors import ClusterError, ClusterErrorReason
from runbook import look
from runbook.look import list_all
from tests.scripted_api import ScriptedApi, page, scripted_api

PATH = "/api/v1/namespaces/opschain/pods"


def listed(api: ScriptedApi, directory: Path) -> list[Any]:
    client = ClusterClient.connect(kubeconfig=api.kubeconfig(directory))
    return list(list_all(client, PATH, parameters={"labelSelector": "a=b"}))


@pytest.mark.fault("N9")
def test_a_list_that_is_too_large_is_had_in_smaller_pages(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    fat = [{"metadata": {"name": name, "annotations": {"note": "x" * 1000}}} for name in "abcd"]
    monkeypatch.setattr(look, "MAX_PAGE", len(json.dumps(fat)) - 500)
    script = (page(fat, "7"), page(fat[:3], "7", following="rest"), page(fat[3:], "7"))
    with scripted_api(*script) as api:
        assert listed(api, tmp_path) == fat
        asked = [api.next_request().query for _ in script]
    assert [(query["limit"], query.get("continue")) for query in asked] == [
        ("500", None),
        ("250", None),
        ("250", "rest"),
    ]
    assert {query["labelSelector"] for query in asked} == {"a=b"}


@pytest.mark.fault("N9")
def test_one_object_that_is_too_large_alone_is_an_error_and_never_an_empty_list(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(look, "MAX_PAGE", 10)
    with scripted_api(*[page([{}], "7")] * 9) as api, pytest.raises(ClusterError, match="more than 10 bytes") as caught:
        listed(api, tmp_path)
    assert caught.value.reason is ClusterErrorReason.TOO_LARGE
