"""What somebody can ask about himself: who he is, and what he may do. Pure."""

from rehearsal.api.access import GROUPS, Access, Attempt
from rehearsal.objects import Document


def _access_review(access: Access, user: str, spec: Document) -> Document:
    asked = spec.get("resourceAttributes") or {}
    resource = "/".join(filter(None, (asked.get("resource", ""), asked.get("subresource", ""))))
    attempt = Attempt(
        asked.get("verb", ""), asked.get("group", ""), resource, asked.get("namespace", ""), asked.get("name", "")
    )
    return {"allowed": access.allows(user, attempt)}


def _self_review(_access: Access, user: str, _spec: Document) -> Document:
    return {"userInfo": {"username": user, "groups": list(GROUPS)}}


REVIEWS = {
    "/apis/authorization.k8s.io/v1/selfsubjectaccessreviews": _access_review,
    "/apis/authentication.k8s.io/v1/selfsubjectreviews": _self_review,
}
"""The review at each path: from who asks, and what, to the status."""
