"""What is used of each ResourceQuota, in its status."""

from datetime import datetime

from rehearsal.api.admission import quotas
from rehearsal.api.resources import PODS, QUOTAS
from rehearsal.api.verbs import Verbs
from rehearsal.controllers.pods import MANAGER


class QuotaController:
    """Counts what quotas limit."""

    watches = (QUOTAS, PODS)

    def __init__(self, api: Verbs) -> None:
        self._api = api

    def run(self, _now: datetime) -> datetime | None:
        """Write the status of each quota."""
        for key, quota in tuple(self._api.storage.all(QUOTAS).items()):
            status = {"status": quotas.status(self._api.storage, quota)}
            self._api.update(QUOTAS, key, status, MANAGER, subresource="status")
        return None
