"""Who asks, and what they may: bearer tokens, and rights that were taken away. Pure.

Everybody who is known may do everything, except what is denied: a rehearsal is about what happens when a right is
missing, not about granting each of them.
"""

from dataclasses import dataclass, field
from typing import NamedTuple

GROUPS = ("system:authenticated",)


class Attempt(NamedTuple):
    """One thing that somebody wants to do, in RBAC's words; `resource` has its subresource after a slash."""

    verb: str
    group: str
    resource: str
    namespace: str = ""
    name: str = ""


class Denial(NamedTuple):
    """What a user may not do. An empty field means any."""

    user: str = ""
    verb: str = ""
    resource: str = ""
    namespace: str = ""
    name: str = ""

    def covers(self, user: str, attempt: Attempt) -> bool:
        """Tell whether an attempt of a user is meant."""
        asked = (user, attempt.verb, attempt.resource, attempt.namespace, attempt.name)
        return all(not denied or denied == wanted for denied, wanted in zip(self, asked, strict=True))


@dataclass
class Access:
    """The users by token, and the denials that hold at the moment."""

    users: dict[str, str] = field(default_factory=dict)
    denials: set[Denial] = field(default_factory=set)

    def user(self, authorization: str) -> str | None:
        """Return who an Authorization header speaks for, None if nobody."""
        scheme, _, token = authorization.partition(" ")
        return self.users.get(token.strip()) if scheme.lower() == "bearer" else None

    def allows(self, user: str, attempt: Attempt) -> bool:
        """Tell whether a user may do that."""
        return not any(denial.covers(user, attempt) for denial in self.denials)
