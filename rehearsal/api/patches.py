"""The kinds of patch: a patch and a document to the patched document. Pure.

* JSON merge patch (RFC 7396), which certlag sends;
* JSON patch (RFC 6902);
* strategic merge patch, which `kubectl scale`, `rollout restart` and `edit` send: a merge patch in which lists of
  objects are merged by the key that names them (k8s.io/kubernetes, the `patchMergeKey` tags of its types).
"""

from collections.abc import Callable
from typing import Any

from rehearsal.api.refusals import Refusal, bad_request, unsupported_media_type
from rehearsal.objects import Document, clone

JSON_PATCH = "application/json-patch+json"
MERGE_PATCH = "application/merge-patch+json"
STRATEGIC_MERGE_PATCH = "application/strategic-merge-patch+json"

_MERGE_KEYS = {
    "containers": "name",
    "initContainers": "name",
    "volumes": "name",
    "env": "name",
    "volumeMounts": "mountPath",
    "ports": "containerPort",
    "conditions": "type",
    "ownerReferences": "uid",
}


def patched(document: Document, patch: Any, content_type: str) -> Document:
    """Apply a patch of a content type. What it leaves alone is shared with the document, which stays as it is.

    Raises:
        Refusal: the type is not known (415), or the patch is no patch of that type (400).
    """
    apply = _KINDS.get(content_type.partition(";")[0].strip())
    if apply is None:
        raise unsupported_media_type(content_type)
    result = apply(document, patch)
    if not isinstance(result, dict):
        raise bad_request("the patch does not leave an object")
    return result


def _merged(target: Any, patch: Any) -> Any:
    if not isinstance(patch, dict):
        return clone(patch)
    result = dict(target) if isinstance(target, dict) else {}
    for name, value in patch.items():
        if value is None:
            result.pop(name, None)
        else:
            result[name] = _merged(result.get(name), value)
    return result


def _strategic(target: Any, patch: Any, merge_key: str | None = None) -> Any:
    if isinstance(patch, dict):
        result = dict(target) if isinstance(target, dict) else {}
        for name, value in patch.items():
            if name.startswith("$"):
                continue  # directives on order and retained keys: kubectl's commands do not depend on them here
            if value is None:
                result.pop(name, None)
            else:
                result[name] = _strategic(result.get(name), value, _MERGE_KEYS.get(name))
        return result
    if isinstance(patch, list) and merge_key is not None and isinstance(target, list):
        return _merged_list(target, patch, merge_key)
    return clone(patch)


def _merged_list(target: list[Any], patch: list[Any], key: str) -> list[Any]:
    result = list(target)
    for entry in patch:
        at = next((index for index, each in enumerate(result) if each.get(key) == entry.get(key)), None)
        if entry.get("$patch") == "delete":
            result[:] = [each for each in result if each.get(key) != entry.get(key)]
        elif at is None:
            result.append(_strategic({}, entry))
        else:
            result[at] = _strategic(result[at], entry)
    return result


def _json_patched(document: Any, operations: Any) -> Any:
    document = clone(document)
    try:
        for operation in operations:
            document = _operated(document, operation)
    except (KeyError, IndexError, ValueError, TypeError, AttributeError) as error:
        raise bad_request(f"the JSON patch cannot be applied: {error}") from error
    return document


def _operated(document: Any, operation: Document) -> Any:
    steps = [step.replace("~1", "/").replace("~0", "~") for step in operation["path"].split("/")[1:]]
    what = operation["op"]
    if what == "test":
        if _at(document, steps) != operation["value"]:
            raise Refusal(422, "Invalid", f"the server rejected our request: testing path {operation['path']} failed")
        return document
    if what in ("move", "copy"):
        origin = [step.replace("~1", "/").replace("~0", "~") for step in operation["from"].split("/")[1:]]
        value = clone(_at(document, origin))
        if what == "move":
            _remove(_at(document, origin[:-1]), origin[-1])
    else:
        value = clone(operation.get("value"))
    if not steps:
        return value
    parent = _at(document, steps[:-1])
    if what == "remove":
        _remove(parent, steps[-1])
    elif isinstance(parent, list) and what != "replace":
        parent.insert(len(parent) if steps[-1] == "-" else int(steps[-1]), value)
    elif isinstance(parent, list):
        parent[int(steps[-1])] = value
    else:
        parent[steps[-1]] = value
    return document


def _at(document: Any, steps: list[str]) -> Any:
    for step in steps:
        document = document[int(step)] if isinstance(document, list) else document[step]
    return document


def _remove(parent: Any, step: str) -> None:
    del parent[int(step) if isinstance(parent, list) else step]


_KINDS: dict[str, Callable[[Any, Any], Any]] = {
    JSON_PATCH: _json_patched,
    MERGE_PATCH: _merged,
    STRATEGIC_MERGE_PATCH: _strategic,
}
