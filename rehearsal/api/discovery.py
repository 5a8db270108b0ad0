"""Discovery: what there is to ask for, as kubectl wants to know it first. Pure."""

from collections.abc import Iterable

from rehearsal.api.resources import AUTOSCALERS, PODS, WORKLOADS, Resource
from rehearsal.objects import Document

VERSION = {
    "major": "1",
    "minor": "36",
    "gitVersion": "v1.36.0+certlag-rehearsal",
    "gitCommit": "",
    "gitTreeState": "clean",
    "buildDate": "1970-01-01T00:00:00Z",
    "goVersion": "",
    "compiler": "",
    "platform": "",
}
"""The version of Kubernetes whose answers are given: that of the bench which the contract suite compares with."""

_ALL = (PODS, *WORKLOADS, AUTOSCALERS)
"""What `kubectl get all` means."""

_VERBS = ["create", "delete", "deletecollection", "get", "list", "patch", "update", "watch"]
_REVIEWS = {
    "authorization.k8s.io/v1": ("selfsubjectaccessreviews", "SelfSubjectAccessReview"),
    "authentication.k8s.io/v1": ("selfsubjectreviews", "SelfSubjectReview"),
}


def document(path: str, resources: Iterable[Resource]) -> Document | None:
    """Return the discovery document at a path, None if there is none."""
    resources = tuple(resources)
    match path.strip("/").split("/"):
        case ["version"]:
            return dict(VERSION)
        case ["api"]:
            return {"kind": "APIVersions", "versions": ["v1"], "serverAddressByClientCIDRs": []}
        case ["apis"]:
            groups = [_group(name) for name in _group_versions(resources)]
            return {"kind": "APIGroupList", "apiVersion": "v1", "groups": groups}
        case ["api", version]:
            return _resource_list(version, resources)
        case ["apis", group]:
            found = next((name for name in _group_versions(resources) if name.partition("/")[0] == group), None)
            return {"kind": "APIGroup", "apiVersion": "v1", **_group(found)} if found else None
        case ["apis", group, version]:
            return _resource_list(f"{group}/{version}", resources)
    return None


def _group_versions(resources: tuple[Resource, ...]) -> list[str]:
    return list(dict.fromkeys([*(resource.api_version for resource in resources if resource.group), *_REVIEWS]))


def _group(group_version: str) -> Document:
    group, _, version = group_version.partition("/")
    described = {"groupVersion": group_version, "version": version}
    return {"name": group, "versions": [described], "preferredVersion": described}


def _resource_list(group_version: str, resources: tuple[Resource, ...]) -> Document | None:
    entries = [
        entry
        for resource in resources
        if resource.api_version == group_version
        for entry in (_entry(resource), *(_subresource(resource, name) for name in resource.subresources))
    ]
    if group_version in _REVIEWS:
        name, kind = _REVIEWS[group_version]
        entries.append({"name": name, "singularName": "", "namespaced": False, "kind": kind, "verbs": ["create"]})
    if not entries:
        return None
    return {"kind": "APIResourceList", "apiVersion": "v1", "groupVersion": group_version, "resources": entries}


def _entry(resource: Resource) -> Document:
    return {
        "name": resource.plural,
        "singularName": resource.kind.lower(),
        "namespaced": resource.namespaced,
        "kind": resource.kind,
        "verbs": _VERBS,
        "shortNames": list(resource.short_names),
        "categories": ["all"] if resource in _ALL else [],
    }


def _subresource(resource: Resource, name: str) -> Document:
    described = {"name": f"{resource.plural}/{name}", "singularName": "", "namespaced": resource.namespaced}
    return {**described, "kind": resource.kind, "verbs": ["get", "patch", "update"]}
