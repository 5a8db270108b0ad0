"""Whatever `--output json` writes is described by the schema that the wheel brings, and nothing else."""

from collections.abc import Iterator
from typing import Any

import pytest

from tests import output_lines
from tests.field import runbook, workloads
from tests.field.workloads import SERVICE

pytestmark = pytest.mark.thorough

COMMANDS = (
    "check -o json",
    "restart-svc --yes --no-verify -o json",
    "history -o json",
    "use -o json",
    "page CertlagExporterDown -o json",
    "rehearse --list -o json",
    "restart-svc --yes -o json --accept-nothing",
)
KILLED = workloads.deployment("worker", image="stubborn").replace(
    "metadata: {labels: {app: worker}}", "metadata: {labels: {app: worker}, finalizers: [example.org/kept]}"
)
"""A worker that does not end by itself, so that its work is lost; its pod is listed until that is read."""


@pytest.fixture(scope="module")
def documents() -> Iterator[list[dict[str, Any]]]:
    """What all commands write, each at least once."""
    with runbook.cluster(SERVICE, KILLED) as shop:
        yield [document for words in COMMANDS for document in shop.run(words).events]


def test_every_kind_of_line_of_the_schema_is_written_by_some_command(documents: list[dict[str, Any]]) -> None:
    named = {form["$ref"].removeprefix("#/$defs/") for form in output_lines.schema()["oneOf"]}
    assert {document["event"] for document in documents} == named


def test_a_line_is_one_of_the_documents(documents: list[dict[str, Any]]) -> None:
    assert [[*output_lines.faults(document, output_lines.schema())] for document in documents] == [[]] * len(documents)


def test_a_line_with_one_key_more_or_less_is_none(documents: list[dict[str, Any]]) -> None:
    for document in documents:
        for wrong in _with_one_key_more_or_less(document):
            assert [*output_lines.faults(wrong, output_lines.schema())], wrong


def _with_one_key_more_or_less(value: Any) -> Iterator[Any]:
    """Change one object within a document; `workers` alone may have any keys."""
    if isinstance(value, list):
        for index, each in enumerate(value):
            for wrong in _with_one_key_more_or_less(each):
                yield [*value[:index], wrong, *value[index + 1 :]]
    if isinstance(value, dict):
        yield {**value, "more": None}
        for name, each in value.items():
            yield {key: other for key, other in value.items() if key != name}
            if name != "workers":
                for wrong in _with_one_key_more_or_less(each):
                    yield {**value, name: wrong}
