"""The verbs of the API on stored objects: create, get, update, patch, delete. Pure but for the clock it asks.

Anyone who writes, a client or a controller of our own, goes through here: defaults, validation, optimistic concurrency
(resourceVersion and UID), generation, managedFields, graceful deletion, finalizers, dry run.
"""

import random
import uuid
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

from certlag.clock import Clock
from rehearsal.api import refusals
from rehearsal.api.admission import defaults, policies, quotas
from rehearsal.api.admission.ownership import Writer, managed_fields
from rehearsal.api.admission.policies import Write
from rehearsal.api.patches import patched
from rehearsal.api.resources import NAMESPACES, PODS, Resource
from rehearsal.api.storage import Key, Storage
from rehearsal.objects import Document, clone, is_ending, name_of, timestamp

_SUFFIX = "bcdfghjklmnpqrstvwxz2456789"
"""What generated names end with (k8s.io/apimachinery/pkg/util/rand): no vowels, so no words."""

_KEPT = (
    "name",
    "namespace",
    "uid",
    "creationTimestamp",
    "generation",
    "deletionTimestamp",
    "deletionGracePeriodSeconds",
)
"""Metadata that no write changes."""


ORPHAN = "orphan"
"""The finalizer of an object whose dependents are to be left behind; the garbage collector removes it."""


@dataclass(frozen=True, slots=True)
class Deletion:
    """How a deletion was asked for (DeleteOptions). `orphan`: what the object owns is to be left behind."""

    grace: int | None = None
    resource_version: str | None = None
    uid: str | None = None
    orphan: bool = False


class Verbs:
    """What may be done to stored objects. All methods raise `Refusal`; what they return must not be changed."""

    def __init__(self, storage: Storage, clock: Clock, chance: random.Random) -> None:
        self.storage = storage
        self._clock = clock
        self._chance = chance

    def get(self, resource: Resource, key: Key) -> Document:
        """Return an object."""
        found = self.storage.get(resource, key)
        if found is None:
            raise refusals.not_found(resource, key.name)
        return found

    def create(
        self, resource: Resource, namespace: str, document: Mapping[str, Any], manager: str, *, dry_run: bool = False
    ) -> Document:
        """Create an object; its name may be left to `generateName`."""
        new = clone(document)
        metadata = new.setdefault("metadata", {})
        if metadata.get("namespace", namespace) != namespace:
            raise refusals.bad_request(
                "the namespace of the provided object does not match the namespace sent on the request"
            )
        if metadata.get("resourceVersion"):
            raise refusals.bad_request("resourceVersion should not be set on objects to be created")
        key = Key(namespace, metadata.get("name") or self._generated(metadata.get("generateName")))
        if not key.name:
            raise refusals.invalid(resource, "", "metadata.name", "Required value: name or generateName is required")
        if namespace and self.storage.get(NAMESPACES, Key("", namespace)) is None:
            raise refusals.not_found(NAMESPACES, namespace)
        if self.storage.get(resource, key) is not None:
            raise refusals.already_exists(resource, key.name)
        for name in ("deletionTimestamp", "deletionGracePeriodSeconds", "managedFields", "generation"):
            metadata.pop(name, None)
        metadata |= {"name": key.name, **({"namespace": namespace} if namespace else {})}
        metadata |= {"uid": self.new_uid(), "creationTimestamp": timestamp(self._clock.now())}
        if resource.generation:
            metadata["generation"] = 1
        self._complete(resource, None, new)
        if resource.status:
            new["status"] = {"phase": "Pending"} if resource is PODS else {}
        if resource is PODS and (refusal := quotas.denial(self.storage, new)):
            raise refusal
        return self._store(resource, None, new, Writer(manager), dry_run=dry_run)

    def update(
        self,
        resource: Resource,
        key: Key,
        document: Mapping[str, Any],
        manager: str,
        *,
        subresource: str = "",
        dry_run: bool = False,
    ) -> Document:
        """Replace an object, or with the subresource `status` only its status."""
        metadata = document.get("metadata") or {}
        if resource.group not in ("", "apps", "autoscaling", "batch", "policy") and not metadata.get("resourceVersion"):
            why = "Invalid value: 0: must be specified for an update"
            raise refusals.invalid(resource, key.name, "metadata.resourceVersion", why)
        if metadata.get("name", key.name) != key.name:
            raise refusals.bad_request("the name of the object does not match the name on the URL")
        old = self.get(resource, key)
        if metadata.get("uid", old["metadata"]["uid"]) != old["metadata"]["uid"]:
            uids = f"UID in precondition: {metadata['uid']}, UID in object meta: {old['metadata']['uid']}"
            raise refusals.conflict(resource, key.name, f"Precondition failed: {uids}")
        return self._replace(resource, old, clone(document), Writer(manager, subresource), dry_run=dry_run)

    def patch(
        self,
        resource: Resource,
        key: Key,
        patch: Any,
        content_type: str,
        manager: str,
        *,
        subresource: str = "",
        dry_run: bool = False,
    ) -> Document:
        """Change an object by a patch; a resourceVersion or UID in it is a precondition."""
        old = self.get(resource, key)
        new = patched(old, patch, content_type)
        return self._replace(resource, old, new, Writer(manager, subresource), dry_run=dry_run)

    def delete(
        self, resource: Resource, key: Key, deletion: Deletion = Deletion(), *, dry_run: bool = False
    ) -> Document:
        """Ask for an object's end: at once, or when its grace period is over or its finalizers are gone."""
        old = self.get(resource, key)
        metadata = old["metadata"]
        if deletion.uid not in (None, metadata["uid"]):
            why = f"Precondition failed: UID in precondition: {deletion.uid}, UID in object meta: {metadata['uid']}"
            raise refusals.conflict(resource, key.name, why)
        if deletion.resource_version not in (None, metadata["resourceVersion"]):
            why = (
                f"Precondition failed: ResourceVersion in precondition: {deletion.resource_version}, "
                f"ResourceVersion in object meta: {metadata['resourceVersion']}"
            )
            raise refusals.conflict(resource, key.name, why)
        grace = _grace(resource, old, deletion.grace)
        if dry_run:
            return old
        if deletion.orphan:
            finalizers = list(dict.fromkeys((*(metadata.get("finalizers") or ()), ORPHAN)))
            old = {**old, "metadata": {**metadata, "finalizers": finalizers}}
        if grace or deletion.orphan or metadata.get("finalizers"):
            return self._mark(resource, old, grace)
        return self.storage.remove(resource, key)

    def new_uid(self) -> str:
        """Make a UID."""
        return str(uuid.UUID(int=self._chance.getrandbits(128), version=4))

    def _replace(self, resource: Resource, old: Document, new: Document, writer: Writer, *, dry_run: bool) -> Document:
        metadata = new.setdefault("metadata", {})
        name = name_of(old)
        if metadata.get("uid", old["metadata"]["uid"]) != old["metadata"]["uid"]:
            why = f'Invalid value: "{metadata["uid"]}": field is immutable'
            raise refusals.invalid(resource, name, "metadata.uid", why)
        if metadata.get("resourceVersion", old["metadata"]["resourceVersion"]) != old["metadata"]["resourceVersion"]:
            raise refusals.conflict(resource, name)
        if writer.subresource == "status":
            new = {**old, "status": new.get("status") or {}}
        else:
            new["metadata"] = metadata | {part: old["metadata"][part] for part in _KEPT if part in old["metadata"]}
            new.pop("status", None) if resource.status else None
            if resource.status and "status" in old:
                new["status"] = old["status"]
            self._complete(resource, old, new)
            if resource.generation and new.get("spec") != old.get("spec"):
                new["metadata"]["generation"] = old["metadata"]["generation"] + 1
        return self._store(resource, old, new, writer, dry_run=dry_run)

    def _complete(self, resource: Resource, old: Document | None, new: Document) -> None:
        new["apiVersion"], new["kind"] = resource.api_version, resource.kind
        defaults.fill_in(resource, new)
        if refusal := defaults.refusal(resource, old, new):
            raise refusal

    def _store(
        self, resource: Resource, old: Document | None, new: Document, writer: Writer, *, dry_run: bool
    ) -> Document:
        if not writer.subresource and (refusal := policies.denial(self.storage, Write(resource, old, new))):
            raise refusal
        if old is not None and _same(old, new):
            return old
        now = timestamp(self._clock.now())
        new = {**new, "metadata": {**new["metadata"], "managedFields": managed_fields(old, new, writer, now)}}
        if dry_run:
            version = {} if old is None else {"resourceVersion": old["metadata"]["resourceVersion"]}
            return {**new, "metadata": {**new["metadata"], **version}}
        if (
            is_ending(new)
            and not new["metadata"].get("finalizers")
            and not new["metadata"].get("deletionGracePeriodSeconds")
        ):
            return self.storage.remove(resource, Key(new["metadata"].get("namespace", ""), name_of(new)))
        return self.storage.put(resource, new)

    def _mark(self, resource: Resource, old: Document, grace: int) -> Document:
        """Write into an object when it ends. A second deletion may shorten a grace period, never lengthen it."""
        until = timestamp(self._clock.now() + timedelta(seconds=grace))
        metadata = old["metadata"]
        if is_ending(old) and metadata["deletionTimestamp"] <= until:
            return old
        generation = {"generation": metadata["generation"] + 1} if resource.generation and not is_ending(old) else {}
        marked = {**metadata, **generation, "deletionTimestamp": until, "deletionGracePeriodSeconds": grace}
        return self.storage.put(resource, {**old, "metadata": marked})

    def _generated(self, prefix: str | None) -> str:
        return prefix + "".join(self._chance.choices(_SUFFIX, k=5)) if prefix else ""


def _grace(resource: Resource, document: Document, asked: int | None) -> int:
    """Return the seconds that an object has left: only pods have any, and only those that a node may be running."""
    if resource is not PODS:
        return 0
    spec, phase = document["spec"], document["status"].get("phase")
    if not spec.get("nodeName") or phase in ("Succeeded", "Failed"):
        return 0
    return int(spec["terminationGracePeriodSeconds"]) if asked is None else max(0, asked)


def _same(old: Document, new: Document) -> bool:
    """Tell whether a write changes nothing: then nothing is written, and no version is used."""
    if old.keys() != new.keys():
        return False
    ignored = ("managedFields", "resourceVersion")
    return all(old[name] == new[name] for name in old if name != "metadata") and {
        name: value for name, value in old["metadata"].items() if name not in ignored
    } == {name: value for name, value in new["metadata"].items() if name not in ignored}
