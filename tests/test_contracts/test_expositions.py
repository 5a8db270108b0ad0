"""Every exposition that a test reads is held to what is promised of all, and no test goes around it."""

import ast
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from exporter.metrics import samples
from exporter.metrics.text import Sample, render
from tests import catalogue
from tests.metrics import Metrics

TESTS = Path(__file__).parents[1]
READS_NO_SAMPLE = {
    "benchmark/limits.py": "what nginx serves to be compared with",
    "page_server.py": "serves what stands for an exporter's",
    "soak/deeds.py": "that there is an answer",
    "test_exporter/test_hostile_clients.py": "that there is an answer",
    "test_exporter/test_server.py": "how bytes are sent",
    "test_stories/test_secrets_unsaid.py": "that no secret is in it, whatever its form",
}
"""Who asks for an exposition and looks at no sample of it."""
WATCH = ("pods", "shop", "")
GOOD = render(
    samples.FAMILIES,
    [
        Sample(samples.WATCH_SYNCED, WATCH, 1),
        Sample(samples.WATCH_SYNCED, ("pods", "shop", 'a "name"\\\n'), 0),
        Sample(samples.WATCH_LAST_CONTACT, WATCH, 1_800_000_000.5),
        *(
            Sample(samples.RUNBOOK_STATE, ("a", "b", "c", "d", state), state == "idle")
            for state in ("idle", "draining")
        ),
        Sample(samples.BUILD_INFO, ("1", "r"), 1),
    ],
).decode()
SYNCED = 'certlag_watch_synced{resource="pods",watch_namespace="shop",name=""}'


def test_what_is_promised_is_accepted() -> None:
    metrics = Metrics.parse(GOOD)
    assert metrics.value("certlag_watch_synced", name='a "name"\\\n') == 0
    assert metrics.value("certlag_watch_last_contact_timestamp_seconds") == 1_800_000_000.5
    assert metrics.state("certlag_runbook_state") == "idle"
    assert Metrics.parse("").samples == []


@pytest.mark.parametrize(
    ("damage", "message"),
    [
        (lambda text: text.replace('name="a \\"name\\"\\\\\\n"', 'name=""'), "has 2 times the labels"),
        (lambda text: text.replace(f"{SYNCED} 1", f"{SYNCED} 1\n{SYNCED} 1"), "has 2 times the labels"),
        (lambda text: text + text.partition("# HELP certlag_watch_last")[0], "is not in one piece"),
        (lambda text: text.partition("\n")[2], "before the first HELP"),
        (lambda text: text.replace("# TYPE certlag_build_info gauge\n", ""), "no HELP and TYPE"),
        (
            lambda text: text.replace("# TYPE certlag_build_info gauge", "# TYPE certlag_build_info counter"),
            "otherwise",
        ),
        (lambda text: text.replace("; the version of certlag", ""), "described otherwise than declared"),
        (lambda text: text.replace("certlag_build_info", "certlag_made_info"), "certlag_made_info is not declared"),
        (lambda text: text.replace("certlag_build_info", "other_info"), "other_info is not declared"),
        (lambda text: text.replace('revision="r"', 'other="r"'), "no sample with the labels"),
        (lambda text: text.replace('version="1",', ""), "no sample with the labels"),
        (lambda text: text.replace("1800000000.5", "NaN"), "is nan"),
        (lambda text: text.replace("1800000000.5", "+Inf"), "is inf"),
        (lambda text: text.replace("1800000000.5", "0"), "is 0; what is not known has no sample"),
        (lambda text: text.replace('state="draining"} 0', 'state="draining"} 1'), "2 states are 1"),
        (lambda text: text.replace('state="idle"} 1', 'state="idle"} 0'), "0 states are 1"),
        (lambda text: text.replace('state="idle"} 1', 'state="idle"} 0.5'), "is 0.5"),
        (lambda text: text.replace(f"{SYNCED} 1\n", f"{SYNCED} 1\n\n"), "no sample with the labels"),
        (lambda text: text.removesuffix("\n"), "no sample with the labels"),
        (lambda text: text[: text.index("certlag_build_info{")], "has a head and no sample"),
    ],
)
def test_what_breaks_a_promise_is_noticed(damage: Callable[[str], str], message: str) -> None:
    damaged = damage(GOOD)
    assert damaged != GOOD
    with pytest.raises(AssertionError) as noticed:
        Metrics.parse(damaged)
    assert message in str(noticed.value)


def asks_for_an_exposition(tree: ast.AST) -> bool:
    for part in ast.walk(tree):
        match part:
            case ast.Constant(value="/metrics"):
                return True
            case ast.Call(func=ast.Attribute(attr="scrape"), keywords=[ast.keyword(arg="gzip")]):
                return True
    return False


def imported(tree: ast.AST) -> Iterator[str]:
    for part in ast.walk(tree):
        if isinstance(part, ast.ImportFrom):
            yield str(part.module)
        elif isinstance(part, ast.Import):
            yield from (alias.name for alias in part.names)


@pytest.mark.thorough
def test_who_reads_an_exposition_reads_it_by_the_one_parser() -> None:
    trees = {file.removeprefix("tests/"): tree for file, tree in catalogue.modules().items()}
    asking = {file for file, tree in trees.items() if asks_for_an_exposition(tree)}
    others = {file for file in asking if "tests.metrics" not in imported(trees[file])}
    assert others - {Path(__file__).relative_to(TESTS).as_posix()} == set(READS_NO_SAMPLE)
    parsing = {file for file, tree in trees.items() if "prometheus_client.parser" in imported(tree)}
    assert parsing == {"metrics.py"}
