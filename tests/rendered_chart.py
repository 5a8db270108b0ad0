"""The chart as helm renders it, as documents."""

import subprocess
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from tests.bench import parts
from tests.role_rights import Granted, rights_of

CHART = Path(__file__).parents[1] / "chart"
VALID = tuple(sorted((CHART / "ci" / "valid").glob("*.yaml")))
INVALID = tuple(sorted((CHART / "ci" / "invalid").glob("*.yaml")))

Object = dict[str, Any]


@dataclass(frozen=True)
class Rendering:
    """What helm said: the text of the objects, or the complaint."""

    code: int
    text: str
    complaint: str

    @property
    def objects(self) -> list[Object]:
        """All objects."""
        assert self.code == 0, self.complaint
        return [each for each in yaml.safe_load_all(self.text) if each]

    def only(self, kind: str, name: str = "") -> Object:
        """The one object of this kind, and of this name if one is given."""
        found = [each for each in self.objects if each["kind"] == kind and name in ("", each["metadata"]["name"])]
        assert len(found) == 1, [each["metadata"]["name"] for each in found]
        return found[0]


def render(
    *options: str, values: Path | None = None, namespace: str = "opschain", release: str = "certlag"
) -> Rendering:
    """Render the chart as a release."""
    argv = [str(parts.binary("helm")), "template", release, str(CHART), f"--namespace={namespace}", *options]
    ran = subprocess.run(
        argv if values is None else [*argv, f"--values={values}"], capture_output=True, text=True, check=False
    )
    return Rendering(ran.returncode, ran.stdout, ran.stderr)


def granted(role: Object) -> set[Granted]:
    """Every single right in a Role."""
    return set(rights_of(role))
