"""`make docs`: writes the generated parts of docs/ from the code; a test says whether they are up to date."""

import ast
import json
from collections.abc import Iterator
from pathlib import Path

from alerts import generate as alerts
from alerts import needs
from alerts.alerting import ALERTS
from alerts.promql import Joined
from alerts.recording import RECORDINGS
from certlag.config.schema import json_schema
from exporter.metrics.samples import FAMILIES
from rehearsal.drills.catalogue import DRILLS
from rehearsal.drills.drill import Act, Elsewhere
from release import generate as release
from runbook.report.json.schema import json_schema as output_schema
from tests import fault_matrix, promises
from tests.field import record

DOCS = Path(__file__).parent
ROOT = DOCS.parent
FIELD_CASES = DOCS / "field-cases.md"
PACKAGES = ("certlag", "exporter", "runbook", "rehearsal")


def main() -> None:
    """Write every generated file.

    Raises:
        SystemExit: a case from the field would lose its test.
    """
    if lost := record.lost(FIELD_CASES.read_text(encoding="utf-8")):
        lines = "\n".join(lost)
        raise SystemExit(
            f"no test holds these cases any more; to give one up, delete its row in field-cases.md:\n{lines}"
        )
    for file, text in generated().items():
        file.write_text(text, encoding="utf-8")


def generated() -> dict[Path, str]:
    """Return what every generated file should hold."""
    return {
        DOCS / "metrics.md": _between(DOCS / "metrics.md", "".join(_metrics())),
        DOCS / "alerting.md": _between(
            DOCS / "alerting.md",
            "".join(_alerts()),
            say="".join(_who_has_a_say()),
            needs="".join(_what_rules_read()),
        ),
        DOCS / "rehearse.md": _between(DOCS / "rehearse.md", "".join(_drills())),
        DOCS / "reliability.md": _between(
            DOCS / "reliability.md", "".join(fault_matrix.table()), promises="".join(promises.table())
        ),
        FIELD_CASES: _between(FIELD_CASES, "".join(record.table())),
        **{
            (page := DOCS / "architecture" / f"{package}.md"): _between(page, "".join(_modules(package)))
            for package in PACKAGES
        },
        **alerts.generated(),
        **release.generated(alerts.generated()[alerts.CHART / "values.yaml"]),
        DOCS / "configuration.schema.json": json.dumps(json_schema(), indent=2) + "\n",
        ROOT / "runbook" / "report" / "json" / "output.schema.json": json.dumps(output_schema(), indent=2) + "\n",
    }


def _between(file: Path, text: str, **further: str) -> str:
    """Return a file with what stands between its markers replaced; further parts have markers of their own names."""
    whole = file.read_text(encoding="utf-8")
    for name, part in {"generated": text, **further}.items():
        before, begin, rest = whole.partition(f"<!-- {name}: begin -->\n")
        _, end, after = rest.partition(f"<!-- {name}: end -->\n")
        if not begin or not end:
            raise ValueError(f"{file.name} lacks the markers for its part {name}")
        whole = before + begin + part + end + after
    return whole


def _modules(package: str) -> Iterator[str]:
    """Name each module of a package by its one subject: the first line of its docstring."""
    yield "| module | its one subject |\n| --- | --- |\n"
    for file in sorted((ROOT / package).rglob("[a-z]*.py")):
        docstring = ast.get_docstring(ast.parse(file.read_text(encoding="utf-8"))) or ""
        yield f"| `{file.relative_to(ROOT / package).with_suffix('')}` | {docstring.partition(chr(10))[0]} |\n"


def _metrics() -> Iterator[str]:
    yield "| metric | type | labels | meaning |\n| --- | --- | --- | --- |\n"
    for family in FAMILIES:
        yield f"| `{family.name}` | {family.type} | {', '.join(family.labels)} | {family.help} |\n"


def _alerts() -> Iterator[str]:
    yield "| alert | severity | waits | summary |\n| --- | --- | --- | --- |\n"
    for alert in ALERTS:
        kind = f" ({', '.join(value for _, value in alert.kind)})" if alert.kind else ""
        wait = "W/10" if alert.immediate else alert.wait
        page = f"[{alert.name}](../certlag/alert_pages/{alert.name}.md)"
        yield f"| {page}{kind} | {alert.severity} | {wait} | {alert.summary} |\n"


def _who_has_a_say() -> Iterator[str]:
    yield "| recorded | of several exporters | who must hear of |\n| --- | --- | --- |\n"
    for recording in RECORDINGS:
        if isinstance(recording, Joined):
            yield f"| `{recording.record}` | {recording.worst} | {', '.join(recording.watches)} |\n"


def _what_rules_read() -> Iterator[str]:
    yield "| metric | read by |\n| --- | --- |\n"
    for metric, alerts_of_it in needs.readers().items():
        read_by = "every alert but CertlagExporterDown" if len(alerts_of_it) > 9 else ", ".join(alerts_of_it)
        yield f"| `{metric}` | {read_by} |\n"


def _drills() -> Iterator[str]:
    for drill in DRILLS:
        yield f"## {drill.name}\n\nTeaches {drill.teaches}.\n\n{drill.happens}\n\n"
        yield from (f"{number}. {_act(act)}\n" for number, act in enumerate(drill.acts, 1))
        yield "\nOn the real night, look at:\n\n"
        yield from (f"- {line}\n" for line in drill.look_at)
        yield "\n"


def _act(act: Act) -> str:
    if isinstance(act, Elsewhere):
        return f"elsewhere, `{act.words}`: {act.why}"
    return f"`{act.words}` → exit code {act.exit_code}{' (only while a run is open)' * act.if_open}: {act.why}"


if __name__ == "__main__":
    main()
