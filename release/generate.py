"""What is generated of the chart: its values' schema and its README's table; `make docs` writes them."""

from pathlib import Path

from release import values_schema, values_table
from release.values_file import values

CHART = Path(__file__).parents[1] / "chart"
BEGIN, END = "<!-- generated: begin -->\n", "<!-- generated: end -->\n"


def generated(values_text: str) -> dict[Path, str]:
    """Return what every generated file should hold, given the text of the chart's values.

    Raises:
        ValueError: the README lacks the markers of its generated part.
    """
    documented = values(values_text)
    before, begin, rest = (CHART / "README.md").read_text(encoding="utf-8").partition(BEGIN)
    _, end, after = rest.partition(END)
    if not begin or not end:
        raise ValueError("chart/README.md lacks the markers for its generated part")
    return {
        CHART / "values.schema.json": values_schema.text(documented),
        CHART / "README.md": before + begin + values_table.table(documented) + end + after,
    }
