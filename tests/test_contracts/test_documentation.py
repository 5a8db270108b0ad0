"""What the documentation promises is what the code does."""

import json
import re
import subprocess
from collections.abc import Iterator
from pathlib import Path

import yaml

from certlag.assessment import Reason
from certlag.config.schema import json_schema
from certlag.model import ProbeFailure
from certlag.run_record import FinishedRun, Step
from docs import generate
from exporter import status_json
from exporter.metrics.samples import FAMILIES
from tests.page_scenes import NOW, Scene, running, status

ROOT = generate.DOCS.parent
LINK = re.compile(r"\]\((?!\w+:)([^)\s#]*)#?([^)\s]*)\)")
"""A link within the tree: a path, and a heading in it. Either may be empty."""


def test_what_is_generated_is_up_to_date() -> None:
    outdated = [file.name for file, text in generate.generated().items() if file.read_text(encoding="utf-8") != text]
    assert outdated == [], "run `make docs`"


def test_metric_names_follow_the_conventions() -> None:
    for family in FAMILIES:
        assert family.name.startswith("certlag_")
        assert family.name.endswith("_total") == (family.type == "counter"), family.name
        assert family.help.endswith("."), family.name
        assert len(set(family.labels)) == len(family.labels), family.name


def test_identity_stands_on_info_metrics_only() -> None:
    for family in FAMILIES:
        identifies = {"fingerprint_sha256", "serial_number"} & set(family.labels)
        assert bool(identifies) == (family.name in ("certlag_certificate_info", "certlag_loaded_info"))


def test_the_schema_knows_every_key_of_the_documented_example() -> None:
    text = (generate.DOCS / "configuration.md").read_text(encoding="utf-8")
    example = yaml.safe_load(text.partition("```yaml\n")[2].partition("```")[0])
    schema = json.loads(json.dumps(json_schema()))
    properties = schema["$defs"]["TargetSection"]["properties"]
    assert set(example["targets"][0]) == set(properties)


def test_the_architecture_names_the_places_that_are_there() -> None:
    text = (generate.DOCS / "architecture.md").read_text(encoding="utf-8")
    named = re.findall(r"`((?:certlag|exporter|runbook|alerts)/[a-z_/]+?)(?:\.py)?`", text)
    assert len(named) > 25
    root = generate.DOCS.parent
    assert [name for name in named if not (root / name).is_dir() and not (root / f"{name}.py").exists()] == []


def test_every_reason_of_a_verdict_is_explained() -> None:
    text = (generate.DOCS / "status.md").read_text(encoding="utf-8")
    assert [reason for reason in Reason if f"`{reason}`" not in text] == []


def test_every_reason_of_a_failed_probe_is_explained() -> None:
    text = (generate.DOCS / "metrics.md").read_text(encoding="utf-8")
    assert [reason for reason in ProbeFailure if f"| `{reason}` |" not in text] == []


def keys(document: object) -> Iterator[str]:
    match document:
        case dict():
            yield from document
            for part in document.values():
                yield from keys(part)
        case list():
            for part in document:
                yield from keys(part)


def test_every_key_of_the_status_is_documented() -> None:
    text = (generate.DOCS / "status.md").read_text(encoding="utf-8")
    run = running(steps=((Step.RECORDED, NOW),))
    finished = FinishedRun("run-0", NOW, NOW, "done", (("recorded", 0.1),))
    shown = status_json.document(status(Scene(run=run, finished=(finished,))))
    assert [key for key in sorted(set(keys(shown))) if f"`{key}" not in text] == []


def test_every_picture_is_shown_and_small() -> None:
    text = "".join(file.read_text(encoding="utf-8") for file in (ROOT / "README.md", *generate.DOCS.glob("*.md")))
    pictures = list((generate.DOCS / "pictures").glob("*.png"))
    assert pictures
    assert [file.name for file in pictures if f"pictures/{file.name}" not in text] == []
    assert [file.name for file in pictures if file.stat().st_size > 150_000] == []


def pages() -> Iterator[Path]:
    listed = subprocess.run(("git", "ls-files", "*.md"), cwd=ROOT, capture_output=True, text=True, check=True).stdout
    yield from (ROOT / name for name in listed.splitlines())


def anchors(page: Path) -> set[str]:
    """The headings of a page, as links name them."""
    headings = re.findall(r"^#+ (.+)$", page.read_text(encoding="utf-8"), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}


def broken_links(page: Path) -> Iterator[str]:
    for path, heading in LINK.findall(page.read_text(encoding="utf-8")):
        target = page.parent / path if path else page
        if not target.exists() or (heading and heading not in anchors(target)):
            yield f"{page.relative_to(ROOT)}: {path}#{heading}"


def test_every_link_leads_somewhere() -> None:
    assert [link for page in pages() for link in broken_links(page)] == []
