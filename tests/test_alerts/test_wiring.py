"""The configurations in docs/alerting.md are what Prometheus and Alertmanager accept, and route as the text says."""

import re
import shutil
import subprocess
from pathlib import Path

import pytest

from alerts.generate import ALERTS
from tests.bench import needs

TEXT = (Path(__file__).parents[2] / "docs" / "alerting.md").read_text(encoding="utf-8")


def example(name: str, folder: Path) -> Path:
    """An example of the text, as a file: each says in its first line what it is."""
    found = re.search(rf"```yaml\n# {re.escape(name)}\n(.*?)```", TEXT, re.DOTALL)
    assert found is not None
    file = folder / name
    file.write_text(found[1])
    return file


def ran(*argv: str | Path) -> str:
    """What a program printed; it must succeed."""
    ended = subprocess.run((needs.tool(str(argv[0])), *argv[1:]), capture_output=True, text=True, check=False)
    assert ended.returncode == 0, ended.stdout + ended.stderr
    return ended.stdout


@pytest.mark.tools
def test_prometheus_accepts_its_example_with_our_rules(tmp_path: Path) -> None:
    shutil.copy(ALERTS / "rules.yaml", tmp_path / "certlag-rules.yaml")
    ran("promtool", "check", "config", example("prometheus.yml", tmp_path))


@pytest.mark.tools
def test_alertmanager_accepts_its_example(tmp_path: Path) -> None:
    ran("amtool", "check-config", example("alertmanager.yml", tmp_path))


@pytest.mark.tools
@pytest.mark.parametrize(
    ("receiver", "labels"),
    [
        ("on-call", ("alertname=CertlagRestartDeadlineNear", "severity=critical", "namespace=opschain")),
        ("on-call", ("alertname=CertlagIssuerChanged", "severity=critical", "namespace=opschain")),
        ("on-call", ("alertname=CertlagWorkersLeftDrained", "severity=critical", "namespace=opschain")),
        ("on-call", ("alertname=CertlagRenewalDisabled", "severity=critical", "namespace=opschain")),
        ("builds", ("alertname=CertlagNeedsRestart", "severity=warning", "namespace=opschain")),
        ("builds", ("alertname=CertlagRestartDeadlineNear", "severity=warning", "namespace=opschain")),
        ("monitoring", ("alertname=CertlagExporterDown", "severity=warning", "namespace=certlag")),
        ("monitoring", ("alertname=CertlagMonitoringDegraded", "severity=warning", "namespace=certlag")),
        ("tickets", ("alertname=SomethingElse", "severity=critical", "namespace=opschain")),
    ],
)
def test_an_alert_goes_where_the_example_says(receiver: str, labels: tuple[str, ...], tmp_path: Path) -> None:
    file = example("alertmanager.yml", tmp_path)
    ran("amtool", "config", "routes", "test", f"--config.file={file}", f"--verify.receivers={receiver}", *labels)
