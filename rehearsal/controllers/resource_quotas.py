"""ResourceQuotas: what is used of each, in its status (k8s.io/kubernetes/pkg/controller/resourcequota)."""

from datetime import datetime

from rehearsal.api import quotas
from rehearsal.api.patches import MERGE_PATCH
from rehearsal.api.resources import PODS, QUOTAS
from rehearsal.api.storage import Key
from rehearsal.api.verbs import Verbs
from rehearsal.controllers.pods import MANAGER
from rehearsal.objects import name_of, namespace_of


class ResourceQuotaController:
    """Writes down what is used of every ResourceQuota."""

    watches = (QUOTAS, PODS)

    def __init__(self, api: Verbs) -> None:
        self._api = api

    def run(self, _: datetime) -> None:
        """Write each status that differs."""
        for quota in tuple(self._api.storage.all(QUOTAS).values()):
            status = quotas.status(self._api.storage, quota)
            if quota.get("status") != status:
                key = Key(namespace_of(quota), name_of(quota))
                self._api.patch(QUOTAS, key, {"status": status}, MERGE_PATCH, MANAGER, subresource="status")
