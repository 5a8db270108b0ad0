"""What the API server says no with: the Status object of each kind of refusal. Pure.

Reasons, codes and wording are those of k8s.io/apimachinery/pkg/api/errors, as Kubernetes 1.36 was seen to give them.
"""

from collections.abc import Iterable
from typing import Any

from rehearsal.api.resources import Resource

POLICY_REASONS = {"Forbidden": 403, "RequestEntityTooLarge": 413, "Invalid": 422}
"""The reasons that a ValidatingAdmissionPolicy may give, and their statuses."""


class Refusal(Exception):  # noqa: N818 - it is the server's answer, not a fault of ours
    """A request is not done; `code` is the HTTP status, `status` the Status object that says why."""

    def __init__(
        self,
        code: int,
        reason: str,
        message: str,
        *,
        details: dict[str, Any] | None = None,
        retry_after: int | None = None,
    ) -> None:
        super().__init__(message)
        self.code = code
        self.retry_after = retry_after
        self.status: dict[str, Any] = {
            "kind": "Status",
            "apiVersion": "v1",
            "metadata": {},
            "status": "Failure",
            "message": message,
            "reason": reason,
            **({"details": details} if details else {}),
            "code": code,
        }


def not_found(resource: Resource, name: str) -> Refusal:
    """There is no such object."""
    return Refusal(404, "NotFound", f'{resource.qualified} "{name}" not found', details=_details(resource, name))


def no_such_path() -> Refusal:
    """The resource, its group or the path does not exist."""
    return Refusal(404, "NotFound", "the server could not find the requested resource", details={})


def already_exists(resource: Resource, name: str) -> Refusal:
    """An object of that name is there."""
    message = f'{resource.qualified} "{name}" already exists'
    return Refusal(409, "AlreadyExists", message, details=_details(resource, name))


def conflict(resource: Resource, name: str, why: str = "") -> Refusal:
    """The object is not the one that the write was meant for."""
    why = why or "the object has been modified; please apply your changes to the latest version and try again"
    message = f'Operation cannot be fulfilled on {resource.qualified} "{name}": {why}'
    return Refusal(409, "Conflict", message, details=_details(resource, name))


def invalid(resource: Resource, name: str, field: str, why: str) -> Refusal:
    """The object cannot be as it was sent."""
    details = {
        "name": name,
        "group": resource.group,
        "kind": resource.kind,
        "causes": [{"reason": "FieldValueInvalid", "message": why, "field": field}],
    }
    kind = f"{resource.kind}.{resource.group}" if resource.group else resource.kind
    return Refusal(422, "Invalid", f'{kind} "{name}" is invalid: {field}: {why}', details=details)


def bad_request(why: str) -> Refusal:
    """The request makes no sense."""
    return Refusal(400, "BadRequest", why)


def denied_by_policy(resource: Resource, name: str, bound: tuple[str, str], why: str, reason: str) -> Refusal:
    """A ValidatingAdmissionPolicy denies it, with its binding and for one of `POLICY_REASONS`."""
    policy, binding = bound
    what = f"ValidatingAdmissionPolicy '{policy}' with binding '{binding}' denied request: {why}"
    details = {**_details(resource, name), "causes": [{"message": what}]}
    message = f'{resource.qualified} "{name}" is forbidden: {what}'
    return Refusal(POLICY_REASONS[reason], reason, message, details=details)


def exceeds_quota(resource: Resource, name: str, quota: str, counts: Iterable[tuple[str, int, int, str]]) -> Refusal:
    """A quota would be exceeded: of each resource what is requested, what is used, and what the limit is."""
    counts = tuple(counts)
    requested = ",".join(f"{each}={count}" for each, count, _, _ in counts)
    used = ",".join(f"{each}={count}" for each, _, count, _ in counts)
    limited = ",".join(f"{each}={count}" for each, _, _, count in counts)
    why = f"exceeded quota: {quota}, requested: {requested}, used: {used}, limited: {limited}"
    message = f'{resource.qualified} "{name}" is forbidden: {why}'
    return Refusal(403, "Forbidden", message, details=_details(resource, name))


def forbidden(user: str, verb: str, resource: Resource, namespace: str, name: str) -> Refusal:
    """The user may not do that."""
    what = f'User "{user}" cannot {verb} resource "{resource.plural}" in API group "{resource.group}"'
    where = f' in the namespace "{namespace}"' if namespace else " at the cluster scope"
    about = f'{resource.qualified} "{name}"' if name else resource.qualified
    return Refusal(403, "Forbidden", f"{about} is forbidden: {what}{where}", details=_details(resource, name))


def unauthorized() -> Refusal:
    """The request does not say who asks, or says it wrongly."""
    return Refusal(401, "Unauthorized", "Unauthorized")


def expired(why: str) -> Refusal:
    """The resourceVersion or the continue token is too old."""
    return Refusal(410, "Expired", why)


def unsupported_media_type(got: str) -> Refusal:
    """The body is of a type that is not understood here."""
    return Refusal(415, "UnsupportedMediaType", f"the body of the request was in an unknown format - got {got}")


def method_not_allowed() -> Refusal:
    """The resource exists, the verb does not."""
    return Refusal(405, "MethodNotAllowed", "the server does not allow this method on the requested resource")


def _details(resource: Resource, name: str) -> dict[str, Any]:
    return {"name": name, "group": resource.group, "kind": resource.plural}
