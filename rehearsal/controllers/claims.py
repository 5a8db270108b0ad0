"""The volume claims of StatefulSets: made from templates with the pods, kept or let go by their retention policy.

After k8s.io/kubernetes/pkg/controller/statefulset/stateful_set_utils.go: what goes with a scale-down is owned by the
pod that goes, what goes with the set by the set; garbage collection does the rest (KEP-1847). None is ever bound.
"""

from collections.abc import Iterator

from rehearsal.api.patches import MERGE_PATCH
from rehearsal.api.resources import PERSISTENT_VOLUME_CLAIMS
from rehearsal.api.storage import Key
from rehearsal.api.verbs import Verbs
from rehearsal.controllers.pods import MANAGER
from rehearsal.objects import Document, name_of, namespace_of, owner_reference


def claim_name(stateful_set: Document, template: Document, ordinal: int) -> str:
    """Return the name of one pod's claim of a template."""
    return f"{name_of(template)}-{name_of(stateful_set)}-{ordinal}"


def volumes(stateful_set: Document, ordinal: int) -> list[Document]:
    """Return the volumes by which a pod has its claims."""
    return [
        {
            "name": name_of(template),
            "persistentVolumeClaim": {"claimName": claim_name(stateful_set, template, ordinal)},
        }
        for template in _templates(stateful_set)
    ]


def create_claims(api: Verbs, stateful_set: Document, ordinal: int) -> None:
    """Create what is missing of one pod's claims."""
    for template in _templates(stateful_set):
        name = claim_name(stateful_set, template, ordinal)
        if api.storage.get(PERSISTENT_VOLUME_CLAIMS, Key(namespace_of(stateful_set), name)) is None:
            labels = stateful_set["spec"]["selector"].get("matchLabels") or {}
            metadata = {**template["metadata"], "name": name, "labels": labels}
            document = {"metadata": metadata, "spec": template.get("spec") or {}}
            api.create(PERSISTENT_VOLUME_CLAIMS, namespace_of(stateful_set), document, MANAGER)


def set_owners(api: Verbs, stateful_set: Document, pod: Document, ordinal: int) -> None:
    """Have one pod's claims owned by whatever they are to go with, if anything."""
    spec = stateful_set["spec"]
    policy = spec["persistentVolumeClaimRetentionPolicy"]
    wanted = (spec.get("ordinals") or {}).get("start", 0) + spec["replicas"] > ordinal
    owner = stateful_set if policy["whenDeleted"] == "Delete" else None
    if policy["whenScaled"] == "Delete" and not wanted:
        owner = pod
    references = [owner_reference(owner)] if owner else None
    for template in _templates(stateful_set):
        key = Key(namespace_of(stateful_set), claim_name(stateful_set, template, ordinal))
        claim = api.storage.get(PERSISTENT_VOLUME_CLAIMS, key)
        if claim is not None and claim["metadata"].get("ownerReferences") != references:
            patch = {"metadata": {"ownerReferences": references}}
            api.patch(PERSISTENT_VOLUME_CLAIMS, key, patch, MERGE_PATCH, MANAGER)


def _templates(stateful_set: Document) -> Iterator[Document]:
    yield from stateful_set["spec"].get("volumeClaimTemplates") or ()
