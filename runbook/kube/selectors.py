"""A LabelSelector as workloads hold it: labels that must be equal, and expressions. Pure.

Operators as k8s.io/apimachinery/pkg/apis/meta/v1 defines them. A selector without any requirement selects nothing: the
API server accepts none for a workload, so an empty one was not understood.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

Labels = Mapping[str, str]


@dataclass(frozen=True, slots=True)
class Requirement:
    """One condition: a label's key, an operator, and its values (none for Exists and DoesNotExist)."""

    key: str
    operator: str
    values: frozenset[str] = frozenset()

    def holds(self, labels: Labels) -> bool:
        """Tell whether labels meet it; what an operator that is not known means is never met."""
        return _OPERATORS.get(self.operator, _never)(labels.get(self.key), self.values)


@dataclass(frozen=True, slots=True)
class LabelSelector:
    """Selects what meets all requirements."""

    requirements: tuple[Requirement, ...] = ()

    def matches(self, labels: Labels) -> bool:
        """Tell whether labels are selected."""
        return bool(self.requirements) and all(each.holds(labels) for each in self.requirements)


def label_selector(document: Mapping[str, Any] | None) -> LabelSelector:
    """Read a LabelSelector."""
    document = document or {}
    equal = (Requirement(key, "In", frozenset({value})) for key, value in (document.get("matchLabels") or {}).items())
    expressions = (
        Requirement(each["key"], each["operator"], frozenset(each.get("values") or ()))
        for each in document.get("matchExpressions") or ()
    )
    return LabelSelector((*equal, *expressions))


_OPERATORS: Mapping[str, Callable[[str | None, frozenset[str]], bool]] = {
    "In": lambda value, values: value in values,
    "NotIn": lambda value, values: value not in values,
    "Exists": lambda value, _: value is not None,
    "DoesNotExist": lambda value, _: value is None,
}


def _never(_value: str | None, _values: frozenset[str]) -> bool:
    return False
