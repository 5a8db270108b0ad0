"""The API server without its sockets: one request in, one answer out. Pure but for the clock it asks.

What cannot be answered at once is handed back as what it is: a watch, or a connection to a pod's port.
"""

import itertools
import json
from collections import OrderedDict
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from email.utils import format_datetime
from functools import partial
from typing import Any

from certlag.clock import Clock
from rehearsal.api import discovery, printing, refusals
from rehearsal.api.access import Access, Attempt
from rehearsal.api.patches import MERGE_PATCH
from rehearsal.api.paths import Paths, Place
from rehearsal.api.refusals import Refusal
from rehearsal.api.resources import PODS, Resource
from rehearsal.api.reviews import REVIEWS
from rehearsal.api.scale import patch_of, scale_of
from rehearsal.api.selectors import Selects, selects
from rehearsal.api.storage import Key, Storage
from rehearsal.api.verbs import Deletion, Verbs
from rehearsal.api.watching import Shows, Watching
from rehearsal.objects import Document, namespace_of, uid_of

WATCH_SECONDS = 1800.0
"""How long a watch lives whose client does not say (kube-apiserver's --min-request-timeout)."""
PAGED_LISTS = 64
"""How many lists that were begun in pages can be gone on with."""


@dataclass(frozen=True, slots=True)
class Request:
    """One request: header names in lower case, the body as parsed JSON."""

    method: str
    path: str
    parameters: Mapping[str, str] = field(default_factory=dict)
    headers: Mapping[str, str] = field(default_factory=dict)
    body: Any = None

    @property
    def dry_run(self) -> bool:
        """Tell whether nothing is to be stored."""
        return self.parameters.get("dryRun") == "All"

    @property
    def manager(self) -> str:
        """The field manager: as it says, else what its user agent begins with."""
        agent = self.headers.get("user-agent", "unknown").partition("/")[0]
        return self.parameters.get("fieldManager") or agent


@dataclass(frozen=True, slots=True)
class Answer:
    """One whole answer; `body` is a JSON value or text."""

    code: int
    body: Any
    headers: tuple[tuple[str, str], ...] = ()


@dataclass(frozen=True, slots=True)
class Forwarding:
    """A connection to a port of a pod is to be made (pods/portforward)."""

    pod: Document
    ports: tuple[int, ...]


class Api:
    """One API server. `objects` are its verbs, for controllers of our own too; `fault` may answer instead of it."""

    def __init__(self, verbs: Verbs, resources: tuple[Resource, ...], clock: Clock, access: Access) -> None:
        self.objects = verbs
        self.storage: Storage = verbs.storage
        self.access = access
        self.fault: Callable[[Request], Refusal | None] = lambda _request: None
        self.watches: list[Watching] = []
        self._paths = Paths(resources)
        self._clock = clock
        self._tokens = itertools.count(1)
        self._pages: OrderedDict[str, tuple[int, list[Document]]] = OrderedDict()

    def handle(self, request: Request) -> Answer | Watching | Forwarding:
        """Do what a request asks for; refusals are answers."""
        try:
            if refusal := self.fault(request):
                raise refusal
            answered = self._handle(request)
        except Refusal as refusal:
            wait = () if refusal.retry_after is None else (("Retry-After", str(refusal.retry_after)),)
            answered = Answer(refusal.code, refusal.status, wait)
        if isinstance(answered, Answer):
            return Answer(answered.code, answered.body, (*answered.headers, ("Date", self.date())))
        return answered

    def date(self) -> str:
        """Return the Date header (RFC 9110 §6.6.1)."""
        return format_datetime(self._clock.now(), usegmt=True)

    def drop_watches(self) -> None:
        """End every open watch."""
        for watch in self.watches:
            watch.end()
        self.storage.notify()

    # --- who and where ----------------------------------------------------------------------------

    def _handle(self, request: Request) -> Answer | Watching | Forwarding:
        if request.path in ("/readyz", "/livez", "/healthz"):
            return Answer(200, "ok")
        user = self.access.user(request.headers.get("authorization", ""))
        if user is None:
            raise refusals.unauthorized()
        if request.method == "GET" and (found := discovery.document(request.path, self._paths.resources)):
            return Answer(200, found)
        if review := REVIEWS.get(request.path):
            return Answer(201, {**request.body, "status": review(self.access, user, request.body.get("spec") or {})})
        place = self._paths.place(request.path)
        if place is None:
            return Answer(404, "404 page not found\n")
        return self._at(place, user, request)

    def _at(self, place: Place, user: str, request: Request) -> Answer | Watching | Forwarding:
        if place.subresource == "portforward" and place.resource is PODS:
            for needed in ("get", "create"):
                self._allow(needed, place, user)
            pod = self.objects.get(PODS, Key(place.namespace or "", place.name))
            ports = request.parameters.get("ports", "").split(",")
            return Forwarding(pod, tuple(int(port) for port in ports if port.isdecimal()))
        if place.subresource and place.subresource not in place.resource.subresources:
            raise refusals.no_such_path()
        watches = request.parameters.get("watch") in ("1", "true") and not place.name
        verb = "watch" if watches else _VERBS.get((request.method, bool(place.name)))
        if verb is None:
            raise refusals.method_not_allowed()
        self._allow(verb, place, user)
        if watches:
            return self._watch(place, request)
        perform = {
            "get": self._get,
            "list": self._list,
            "create": self._create,
            "update": self._update,
            "patch": self._patch,
            "delete": self._delete,
            "deletecollection": self._deletecollection,
        }
        return perform[verb](place, request)

    def _allow(self, verb: str, place: Place, user: str) -> None:
        resource = f"{place.resource.plural}/{place.subresource}" if place.subresource else place.resource.plural
        attempt = Attempt(verb, place.resource.group, resource, place.namespace or "", place.name)
        if not self.access.allows(user, attempt):
            raise refusals.forbidden(user, verb, place.resource, place.namespace or "", place.name)

    # --- reading ----------------------------------------------------------------------------------

    def _get(self, place: Place, request: Request) -> Answer:
        found = self.objects.get(place.resource, _key(place))
        if place.subresource == "scale":
            return Answer(200, scale_of(found))
        return Answer(200, printing.one(place.resource, request.headers.get("accept", ""), found, self._clock.now()))

    def _list(self, place: Place, request: Request) -> Answer:
        parameters = request.parameters
        token = parameters.get("continue", "")
        if token:
            if token not in self._pages:
                raise refusals.expired("The provided continue parameter is too old")
            version, remaining = self._pages.pop(token)
        else:
            selected = _selected(place, request)
            version = self.storage.version
            objects = self.storage.all(place.resource)
            remaining = [document for _, document in sorted(objects.items()) if selected(document)]
        limit = int(parameters.get("limit") or 0) or len(remaining)
        page, rest = remaining[:limit], remaining[limit:]
        metadata: Document = {"resourceVersion": str(version)}
        if rest:
            metadata["continue"] = self._page(version, rest)
            if not parameters.get("labelSelector") and not parameters.get("fieldSelector"):
                metadata["remainingItemCount"] = len(rest)
        accept = request.headers.get("accept", "")
        return Answer(200, printing.many(place.resource, accept, page, metadata, self._clock.now()))

    def _page(self, version: int, rest: list[Document]) -> str:
        token = f"page-{next(self._tokens)}"
        self._pages[token] = (version, rest)
        if len(self._pages) > PAGED_LISTS:
            self._pages.popitem(last=False)
        return token

    def _watch(self, place: Place, request: Request) -> Watching:
        parameters = request.parameters
        version = parameters.get("resourceVersion", "")
        accept, now = request.headers.get("accept", ""), self._clock.now
        shows: Shows = partial(_shown, place.resource, accept, now)
        watching = Watching(
            self.storage,
            place.resource,
            _selected(place, request),
            shows,
            since=None if version in ("", "0") else int(version),
            bookmarks=parameters.get("allowWatchBookmarks") in ("1", "true"),
            seconds=float(parameters.get("timeoutSeconds") or WATCH_SECONDS),
        )
        self.watches = [each for each in self.watches if not each.ended]
        self.watches.append(watching)
        return watching

    # --- writing ----------------------------------------------------------------------------------

    def _create(self, place: Place, request: Request) -> Answer:
        created = self.objects.create(
            place.resource, place.namespace or "", _object(request), request.manager, dry_run=request.dry_run
        )
        return Answer(201, created)

    def _update(self, place: Place, request: Request) -> Answer:
        if place.subresource == "scale":
            return self._rescale(place, request, _object(request))
        return Answer(
            200,
            self.objects.update(
                place.resource,
                _key(place),
                _object(request),
                request.manager,
                subresource=place.subresource,
                dry_run=request.dry_run,
            ),
        )

    def _patch(self, place: Place, request: Request) -> Answer:
        if place.subresource == "scale":
            return self._rescale(place, request, request.body)
        changed = self.objects.patch(
            place.resource,
            _key(place),
            request.body,
            request.headers.get("content-type", ""),
            request.manager,
            subresource=place.subresource,
            dry_run=request.dry_run,
        )
        return Answer(200, changed)

    def _rescale(self, place: Place, request: Request, scale: Any) -> Answer:
        """Write the number of replicas: of a Scale, or of a patch of one."""
        changed = self.objects.patch(
            place.resource,
            _key(place),
            patch_of(scale),
            MERGE_PATCH,
            request.manager,
            subresource="scale",
            dry_run=request.dry_run,
        )
        return Answer(200, scale_of(changed))

    def _delete(self, place: Place, request: Request) -> Answer:
        deleted = self.objects.delete(place.resource, _key(place), _deletion(request), dry_run=request.dry_run)
        if self.storage.get(place.resource, _key(place)) is not None:
            return Answer(200, deleted)
        details = {"name": place.name, "kind": place.resource.plural, "uid": uid_of(deleted)}
        if place.resource.group:
            details["group"] = place.resource.group
        status = {"kind": "Status", "apiVersion": "v1", "metadata": {}, "status": "Success", "details": details}
        return Answer(200, status)

    def _deletecollection(self, place: Place, request: Request) -> Answer:
        selected, deletion = _selected(place, request), _deletion(request)
        meant = [key for key, document in self.storage.all(place.resource).items() if selected(document)]
        deleted = [self.objects.delete(place.resource, key, deletion, dry_run=request.dry_run) for key in meant]
        metadata = {"resourceVersion": str(self.storage.version)}
        return Answer(200, printing.many(place.resource, "", deleted, metadata, self._clock.now()))


_VERBS = {
    ("GET", True): "get",
    ("GET", False): "list",
    ("POST", False): "create",
    ("PUT", True): "update",
    ("PATCH", True): "patch",
    ("DELETE", True): "delete",
    ("DELETE", False): "deletecollection",
}


def _shown(resource: Resource, accept: str, now: Callable[[], Any], document: Document) -> Document:
    return printing.one(resource, accept, document, now())


def _key(place: Place) -> Key:
    return Key(place.namespace or "", place.name)


def _selected(place: Place, request: Request) -> Selects:
    asked = selects(request.parameters.get("labelSelector", ""), request.parameters.get("fieldSelector", ""))
    if not place.namespace:
        return asked
    return lambda document: namespace_of(document) == place.namespace and asked(document)


def _object(request: Request) -> Document:
    if not isinstance(request.body, dict):
        raise refusals.bad_request("the body of the request is no object")
    return request.body


def _deletion(request: Request) -> Deletion:
    options = request.body if isinstance(request.body, dict) else {}
    preconditions = options.get("preconditions") or {}
    grace = request.parameters.get("gracePeriodSeconds", options.get("gracePeriodSeconds"))
    return Deletion(
        grace=None if grace is None else int(grace),
        resource_version=preconditions.get("resourceVersion"),
        uid=preconditions.get("uid"),
        orphan=request.parameters.get("propagationPolicy", options.get("propagationPolicy")) == "Orphan",
    )


def parsed(body: bytes, content_type: str) -> Any:
    """Read a request's body.

    Raises:
        Refusal: it is not JSON (400), or of another type (415).
    """
    if not body:
        return None
    if "json" not in content_type and content_type:
        raise refusals.unsupported_media_type(content_type)
    try:
        return json.loads(body)
    except (ValueError, RecursionError) as error:
        raise refusals.bad_request(f"the body of the request is not JSON: {error}") from error
