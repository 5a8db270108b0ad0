"""Each alert has a page that tells what it means, what it costs, what to look at and what to do."""

import re
import subprocess

import pytest

from alerts.alerting import ALERTS, Alert
from tests.alert_pages import FOLDER, NAMES, WITHOUT_RUNBOOK, commands, diagnosis, mitigation, page

SECTIONS = ["Meaning", "Impact", "Diagnosis", "Mitigation", "Placeholders"]
PLACEHOLDERS = {
    *("TARGET", "NAMESPACE", "RELEASE", "EXPORTER_NAMESPACE", "EXPORTER", "WATCH_NAMESPACE", "JOB"),
    *("WORKLOAD", "CERTIFICATE", "NAME", "POD", "MANIFEST"),
}
"""What a page leaves to fill in: an alert's labels and text, and what its diagnosis shows."""
PROGRAMS = {"runbook", "kubectl", "cmctl"}


def test_there_is_a_page_for_each_alert_and_no_other() -> None:
    assert {file.stem for file in FOLDER.glob("*.md")} == set(NAMES)


@pytest.mark.parametrize("name", NAMES)
def test_a_page_has_its_sections_in_order(name: str) -> None:
    text = page(name)
    assert text.startswith(f"# {name}\n")
    assert [found for found in re.findall(r"^## (.+)$", text, re.MULTILINE) if found != WITHOUT_RUNBOOK] == SECTIONS
    assert (WITHOUT_RUNBOOK in text) == ("runbook restart-" in text)


@pytest.mark.parametrize("name", NAMES)
def test_a_page_gives_commands_for_diagnosis_and_mitigation(name: str) -> None:
    text = page(name)
    assert commands(diagnosis(text))
    assert commands(mitigation(text))
    for command in commands(text):
        assert command.split()[0] in PROGRAMS
        assert set(re.findall(r"\$\{(\w+)\}", command)) <= PLACEHOLDERS, command
        assert subprocess.run(("sh", "-n", "-c", command), check=False).returncode == 0, command


@pytest.mark.parametrize("name", NAMES)
def test_a_page_tells_what_a_script_answers_to_a_command_that_asks(name: str) -> None:
    told = mitigation(page(name))
    if re.search(r"^runbook (restart|resume|abort)-", told, re.MULTILINE):
        assert "`--yes`" in told


@pytest.mark.parametrize("alert", ALERTS, ids=lambda alert: f"{alert.key}-{alert.immediate}")
def test_what_a_description_tells_to_do_stands_on_its_page(alert: Alert) -> None:
    for verb in set(re.findall(r"`runbook (\w+)", alert.description)) - {"page"}:
        assert f"runbook {verb}" in page(alert.name)


@pytest.mark.parametrize("name", NAMES)
def test_links_between_pages_lead_somewhere(name: str) -> None:
    for link in re.findall(r"\]\((\w+\.md)\)", page(name)):
        assert (FOLDER / link).exists()
