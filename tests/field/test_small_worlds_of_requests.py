"""Which certificate was issued: every small world of CertificateRequests, against what the cluster's own dates say.

Anyone may create a CertificateRequest, give it any owner and write any certificate into its status, so requests are
hearsay. A world is a Certificate of revision 2, up to three requests, and what the exporter saw before. Each is told
to the exporter as API documents, and pods load each leaf that there is. `right` says which verdicts are right:
nothing that a request says may make a pod stale, or hide that it is, against the dates in the Certificate's status.
It knows which leaf was issued and nothing of how the exporter decides. Two worlds that look alike have equal answers,
so where the truth is known to nobody but us (a forged request beside no genuine one), only `unknown` is right.
"""

import itertools
import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from enum import Enum, unique
from functools import cache
from typing import Any

import pytest
import yaml

from certlag.assess import assess_certificate
from certlag.assessment import AssessmentInput, CertificateUse, Verdict
from certlag.config.schema import parse
from certlag.kube.reflector import Changed, Listed
from certlag.kube.resources import CERTIFICATE_REQUESTS, CERTIFICATES, PODS, Resource, Watch
from certlag.model import ObjectKey, Presented, Probe
from certlag.store.world import World as Exporter
from certlag.x509.certificates import read_chain
from tests.field import documents
from tests.field.documents import CERTIFICATE_UID
from tests.field.exporter import NAMESPACE, NOW
from tests.figures import Figures
from tests.pki import Issued, authority
from tests.sampling import Dice

DAY = timedelta(days=1)
BEFORE, REVISION, NEXT = 1, 2, 3
NAME = "svc.shop.svc"
CERTIFICATE = ObjectKey(NAMESPACE, "svc")
CONFIGURATION = parse(
    f"targets: [{{name: svc, namespace: {NAMESPACE}, workload: statefulset/svc, certificate: svc, port: 8443}}]",
    source="test",
    default_namespace=NAMESPACE,
)
CURRENT, STALE, UNKNOWN = Verdict.CURRENT, Verdict.STALE, Verdict.UNKNOWN
MOST_REQUESTS = 3
SAMPLE = 2000


@unique
class Leaf(Enum):
    """The leaves there are: from when, for how long, and its names."""

    ISSUED = (NOW - 10 * DAY, 90 * DAY, NAME)
    """What cert-manager issued for revision 2."""
    TWIN = (NOW - 10 * DAY, 90 * DAY, NAME, "other")
    """Another one with its dates, and one more name: somebody else's."""
    SAME_SECOND = (NOW - 10 * DAY, 30 * DAY, NAME)
    OLDER = (NOW - 70 * DAY, 90 * DAY, NAME)
    NEWER = (NOW - DAY, 90 * DAY, NAME)
    FOREIGN = (NOW - 70 * DAY, 90 * DAY, "other")
    TEMPORARY = (NOW - 10 * DAY, 90 * DAY, NAME, "temporary")
    """A temporary certificate of cert-manager's, which nobody else signs."""

    @property
    def dates(self) -> tuple[datetime, timedelta]:
        """Not-before and lifetime."""
        not_before, lifetime, *_ = self.value
        return not_before, lifetime

    @property
    def not_before(self) -> datetime:
        """From when it is valid."""
        return self.dates[0]


FORGEABLE = tuple(leaf for leaf in Leaf if leaf not in (Leaf.FOREIGN, Leaf.TEMPORARY))


class Owner(Enum):
    """Whom a request names as its owner."""

    CERTIFICATE = f"{{kind: Certificate, name: svc, uid: {CERTIFICATE_UID}, controller: true}}"
    """The Certificate, whether or not cert-manager wrote that."""
    ANOTHER = "{kind: Certificate, name: svc, uid: 00000000-0000-4000-8000-00000000000a, controller: true}"
    """One of the same name that was deleted."""
    NOT_THE_CONTROLLER = f"{{kind: Certificate, name: svc, uid: {CERTIFICATE_UID}}}"
    NOBODY = ""


@dataclass(frozen=True)
class Request:
    """A CertificateRequest with the annotations of the Certificate: the leaf in its status, its owner, its revision."""

    leaf: Leaf
    owner: Owner
    revision: int


EVERY_REQUEST = tuple(Request(*each) for each in itertools.product(FORGEABLE, Owner, (BEFORE, REVISION, NEXT)))


@dataclass(frozen=True)
class Status:
    """What the Certificate's status says: the dates of which leaf, which revision, whether another is on its way."""

    dates: Leaf | None
    revision: int | None = REVISION
    issuing: bool = False
    ready: str = "{status: 'True', reason: Ready}"


EXPIRED = "{status: 'False', reason: Expired}"
MISMATCH = "{status: 'False', reason: IncorrectIssuer}"
AHEAD = Status(Leaf.NEWER, issuing=True)
"""cert-manager has stored revision 3 and written its dates, and not yet its number."""
ADOPTED = Status(Leaf.ISSUED, revision=None)
"""The Secret was there before: no revision, and nothing to do."""
BEFORE_THE_FIRST = tuple(Status(Leaf.ISSUED, None, issuing=True, ready=ready) for ready in (ADOPTED.ready, MISMATCH))
"""The Secret has a temporary certificate until revision 1 is there, or was adopted and is renewed for the first time.

With a temporary certificate, Ready depends on the kind of the issuer: it is True for an Issuer.
"""
EVERY_STATUS = (
    Status(Leaf.ISSUED),
    Status(Leaf.ISSUED, issuing=True),
    Status(Leaf.ISSUED, ready=EXPIRED),
    Status(None),
    AHEAD,
    ADOPTED,
    *BEFORE_THE_FIRST,
)


@dataclass(frozen=True)
class Memory:
    """Which leaf the exporter saw with the dates of the status at revision 1 and at 2, None: it was not there."""

    before: Leaf | None = None
    now: Leaf | None = None


EVERY_MEMORY = (
    Memory(),
    Memory(now=Leaf.ISSUED),
    Memory(now=Leaf.TWIN),
    *(Memory(leaf, Leaf.ISSUED) for leaf in (Leaf.OLDER, Leaf.SAME_SECOND, Leaf.TWIN, Leaf.NEWER)),
)
"""The third: the genuine request was replaced before the exporter saw it."""


@dataclass(frozen=True)
class World:
    """All that there is to see."""

    requests: tuple[Request, ...]
    status: Status
    memory: Memory

    def __str__(self) -> str:
        requests = [f"{each.leaf.name} of revision {each.revision}, owner {each.owner.name}" for each in self.requests]
        status, memory = self.status, self.memory
        dates, seen = status.dates and status.dates.name, [leaf and leaf.name for leaf in (memory.before, memory.now)]
        return f"status {replace(status, dates=None)} with dates of {dates}, seen before {seen}, requests {requests}"

    def owned(self, revision: int) -> frozenset[Leaf]:
        """The leaves of the requests of a revision that name the Certificate as their controller."""
        return frozenset(
            each.leaf for each in self.requests if each.owner is Owner.CERTIFICATE and each.revision == revision
        )


# --- what is right --------------------------------------------------------------------------------------


def right(world: World, loaded: Leaf) -> frozenset[Verdict]:
    """Return the verdicts that are right for a container which has loaded a leaf."""
    if loaded is Leaf.FOREIGN:
        return frozenset({UNKNOWN})
    if world.status.dates is None:
        return frozenset(_without_dates(world, loaded))
    if world.status in BEFORE_THE_FIRST:
        return frozenset(_before_the_first(loaded, world.status.dates))
    if loaded is Leaf.TEMPORARY:
        return frozenset({CURRENT, STALE, UNKNOWN})
    if _may_be_ahead(world):
        return frozenset(_while_ahead(world, loaded, world.status.dates))
    return frozenset(_by_dates(world, loaded, world.status.dates))


def _by_dates(world: World, loaded: Leaf, issued: Leaf) -> set[Verdict]:
    """The dates are those of what was issued."""
    memory = world.memory
    if loaded.dates == issued.dates:
        if loaded is memory.before:
            return {CURRENT, STALE, UNKNOWN}  # two revisions of one second: nothing can tell
        known = {leaf for leaf in (*world.owned(REVISION), memory.now) if leaf and leaf.dates == issued.dates}
        return {CURRENT} if loaded in known or not known else {CURRENT, UNKNOWN}
    if loaded is memory.before:
        return {STALE}
    if loaded.not_before < issued.not_before:
        return {STALE}
    if loaded.not_before == issued.not_before:
        return {STALE, UNKNOWN}
    hearsay = loaded in world.owned(BEFORE) and not world.status.issuing
    return {STALE, UNKNOWN} if hearsay else {UNKNOWN}


def _before_the_first(loaded: Leaf, in_secret: Leaf) -> set[Verdict]:
    """Only a temporary certificate that is loaded shows that the Secret has one."""
    if loaded is Leaf.TEMPORARY:
        return {UNKNOWN}
    if loaded.dates == in_secret.dates:
        return {CURRENT, UNKNOWN}
    return {UNKNOWN} if loaded.not_before > in_secret.not_before else {STALE, UNKNOWN}


def _may_be_ahead(world: World) -> bool:
    """Tell whether the dates may be those of the next revision: one is on its way, and a request says so.

    Tools that write the status by hand leave the condition Issuing out: then a request of the revision must be there.
    """
    dates, memory = world.status.dates, world.memory.now
    if dates is None or (memory is not None and memory.dates == dates.dates):
        return False
    if not (world.status.issuing or (world.status.revision is not None and world.owned(REVISION))):
        return False
    return any(leaf.dates == dates.dates for leaf in world.owned(NEXT))


def _while_ahead(world: World, loaded: Leaf, ahead: Leaf) -> set[Verdict]:
    """What was issued is older than the dates. Only who saw it knows it; for others there is what requests say."""
    memory = world.memory
    if loaded.dates == ahead.dates:
        return {CURRENT, UNKNOWN} | ({STALE} if loaded is memory.before else set())
    if loaded is memory.now:
        return {CURRENT, UNKNOWN}
    if memory.now is None:
        known = world.owned(REVISION)
        # Requests of both revisions may have the dates: then it is older than what the Secret has, in any case.
        is_certain = loaded in known and not any(leaf.dates == ahead.dates for leaf in known)
        return {UNKNOWN, CURRENT if is_certain else STALE} | ({CURRENT} if loaded in known else set())
    return {STALE} if loaded.not_before < memory.now.not_before else {STALE, UNKNOWN}


def _without_dates(world: World, loaded: Leaf) -> set[Verdict]:
    """Nothing holds hearsay to anything, so it may make nothing stale."""
    memory, verdicts = world.memory, {UNKNOWN}
    if loaded in world.owned(REVISION) | {memory.now}:
        verdicts.add(CURRENT)
    if memory.now is not None and loaded is not memory.now and loaded.not_before <= memory.now.not_before:
        verdicts.add(STALE)
    if loaded is memory.before:
        verdicts.add(STALE)
    return verdicts


# --- what the exporter says -------------------------------------------------------------------------------


@cache
def leaves() -> dict[Leaf, Issued]:
    """Make every leaf."""
    authorities = {leaf: authority("cert-manager.local" if leaf is Leaf.TEMPORARY else "root") for leaf in Leaf}
    return {
        leaf: authorities[leaf].leaf(*names, not_before=begins, not_after=begins + lifetime, common_name=names[-1])
        for leaf in Leaf
        for begins, lifetime, *names in [leaf.value]
    }


@cache
def certificate(status: Status) -> Any:
    """A Certificate as the exporter reads it."""
    document = yaml.safe_load(
        documents.certificate(leaves()[status.dates] if status.dates else None, revision=status.revision, ready=None)
    )
    conditions = [{"type": "Ready", **yaml.safe_load(status.ready)}]
    conditions += [{"type": "Issuing", "status": "True", "reason": "Renewing"}] * status.issuing
    document["status"] = {**(document["status"] or {}), "conditions": conditions}
    return decoded(CERTIFICATES, document)


@cache
def request(position: int, made: Request) -> Any:
    """A CertificateRequest as the exporter reads it; position makes its name."""
    text = documents.request(leaves()[made.leaf], name=f"svc-{position}", revision=made.revision, owner_uid=None)
    document = yaml.safe_load(text)
    if made.owner is not Owner.NOBODY:
        document["metadata"]["ownerReferences"] = [yaml.safe_load(made.owner.value)]
    return decoded(CERTIFICATE_REQUESTS, document)


def decoded(resource: Resource, document: str | dict[str, Any]) -> Any:
    """Read a document from JSON as the API sends it."""
    read = yaml.safe_load(document) if isinstance(document, str) else document
    return resource.decode(json.dumps(read).encode())


@cache
def pods() -> dict[ObjectKey, tuple[Leaf, Any]]:
    """A pod for each leaf, which loads it."""
    made = {
        leaf: decoded(PODS, documents.pod(name=f"svc-{number}", address=f"10.88.0.{number + 1}"))
        for number, leaf in enumerate(Leaf)
    }
    return {pod.key: (leaf, pod) for leaf, pod in made.items()}


@cache
def uses() -> tuple[CertificateUse, ...]:
    """The workload of these pods, each of which presents its leaf."""
    exporter = Exporter(CONFIGURATION)
    tell(exporter, CERTIFICATES, certificate(Status(None)))
    tell(exporter, PODS, *(pod for _, pod in pods().values()))
    for view in subject(exporter).uses[0].pods:
        (observed,) = view.endpoints or ()
        chain = read_chain(leaves()[pods()[view.pod.key][0]].chain)
        exporter.observe(Probe(observed.endpoint, Presented(chain), NOW, timedelta(milliseconds=2)))
    return subject(exporter).uses


def subject(exporter: Exporter) -> AssessmentInput:
    """All that an exporter knows of the Certificate."""
    found = exporter.subject(CERTIFICATE)
    assert found is not None
    return found


def tell(exporter: Exporter, resource: Resource, *objects: Any) -> None:
    """Hand over the complete list of a watch, without what decoding left out."""
    exporter.apply(Listed(Watch(resource, NAMESPACE), tuple(filter(None, objects)), frozenset()), NOW)


def told(world: World) -> Exporter:
    """Return an exporter that has seen a world, and before that what it remembers."""
    exporter = Exporter(CONFIGURATION)
    for revision, leaf in ((BEFORE, world.memory.before), (REVISION, world.memory.now)):
        if leaf is not None:
            tell(exporter, CERTIFICATES, certificate(Status(leaf, revision)))
            tell(exporter, CERTIFICATE_REQUESTS, request(revision, Request(leaf, Owner.CERTIFICATE, revision)))
    exporter.apply(Changed(Watch(CERTIFICATES, NAMESPACE), certificate(world.status)), NOW)
    tell(exporter, CERTIFICATE_REQUESTS, *itertools.starmap(request, enumerate(world.requests)))
    return exporter


def said(world: World) -> dict[Leaf, Verdict]:
    """Return what the exporter says of a container that has loaded a leaf, of each."""
    assessment = assess_certificate(replace(subject(told(world)), uses=uses()), NOW)
    return {pods()[pod.pod][0]: pod.verdict for use in assessment.uses for pod in use.pods}


# --- the walk -----------------------------------------------------------------------------------------------


def worlds() -> Iterator[World]:
    """Yield every world: all pairs of requests, with either name first, and all threes of two owners, in one order."""
    two_owners = [each for each in EVERY_REQUEST if each.owner in (Owner.CERTIFICATE, Owner.ANOTHER)]
    sets = itertools.chain(
        *(itertools.product(EVERY_REQUEST, repeat=size) for size in range(MOST_REQUESTS)),
        itertools.combinations_with_replacement(two_owners, MOST_REQUESTS),
    )
    for requests in sets:
        for status, memory in itertools.product(EVERY_STATUS, EVERY_MEMORY):
            if status.revision is not None or memory == Memory():
                yield World(requests, status, memory)


@cache
def every_world() -> Sequence[World]:
    return tuple(worlds())


def takes_an_issuer(world: World, loaded: Leaf) -> bool:
    """Tell whether it takes more than creating requests: a leaf that is loaded was written into another's status.

    A request that is only created gets a new leaf from its signer, which nobody has loaded.
    """
    revisions = {Leaf.OLDER: BEFORE, Leaf.ISSUED: REVISION, Leaf.NEWER: NEXT, world.memory.before: BEFORE}
    is_new = loaded in (Leaf.TWIN, Leaf.SAME_SECOND) or world.memory.now is loaded is not Leaf.ISSUED
    return is_new or any(
        each.leaf is loaded and (each.owner is not Owner.CERTIFICATE or each.revision != revisions.get(loaded))
        for each in world.requests
    )


def walk(size: int | None, figures: Figures, *, issuers: bool) -> None:
    """Hold the exporter to what is right in so many worlds, or in all, where the forger can do so much."""
    dice = Dice()
    walked = every_world() if size is None else dice.sample(every_world(), size)
    verdicts, wrong = 0, []
    for world in walked:
        for loaded, verdict in said(world).items():
            if takes_an_issuer(world, loaded) is issuers:
                verdicts += 1
                expected = right(world, loaded)
                if verdict not in expected:
                    wrong.append(f"{loaded.name} loaded is {verdict}, not {' or '.join(sorted(expected))}: {world}")
    figures(f"{len(walked)} of {len(every_world())} worlds, {verdicts} verdicts, wrong: {len(wrong)}; {dice}")
    assert not wrong, "\n".join(sorted(wrong, key=len)[:10])


SIZES = pytest.mark.parametrize("size", [SAMPLE, pytest.param(None, marks=pytest.mark.proof)])


@pytest.mark.field_case("A1")
@pytest.mark.field_case("A2")
@SIZES
@pytest.mark.thorough
def test_who_creates_requests_makes_nothing_stale_and_hides_nothing(size: int | None, figures: Figures) -> None:
    walk(size, figures, issuers=False)
