"""Every single right in a Role of RBAC."""

from typing import Any

Granted = tuple[str, str, str, str, str]
"""Group, resource, subresource, name ("" for all), verb."""


def rights_of(role: dict[str, Any]) -> list[Granted]:
    """Take a Role's or ClusterRole's rules apart, in their order."""
    return [
        (group, resource, subresource, name, verb)
        for rule in role["rules"]
        for group in rule["apiGroups"]
        for resource, _, subresource in (word.partition("/") for word in rule["resources"])
        for name in rule.get("resourceNames", [""])
        for verb in rule["verbs"]
    ]
