"""A connection to the embedded API server without HTTP, for the real client and driver; and how a line can fail.

It answers with urllib3's own responses, so that everything above a connection is what is shipped.
"""

import io
import json
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from datetime import timedelta
from enum import Enum, auto

import urllib3

from certlag.clock import Clock
from certlag.errors import ClusterError, ClusterErrorReason
from certlag.kube import transport
from certlag.kube.credential import Credential, CredentialKind
from certlag.kube.deadline import Deadline
from certlag.kube.transport import ANSWER_TIMEOUT, Connection
from rehearsal.api.server import Answer, Api, Request
from rehearsal.api.watching import Watching
from tests.simulation.place import NAMESPACE, TOKEN

REASONS = {
    403: ClusterErrorReason.FORBIDDEN,
    404: ClusterErrorReason.NOT_FOUND,
    410: ClusterErrorReason.EXPIRED,
    429: ClusterErrorReason.THROTTLED,
}


class Loss(Enum):
    """What becomes of the next request."""

    REQUEST = auto()
    """It does not arrive."""
    ANSWER = auto()
    """It is done, and nobody hears of it."""


class Line(Connection):
    """One client's way to the API server. `down`: nothing gets through; `loses`: the next request, or its answer."""

    def __init__(self, api: Api, agent: str, clock: Clock) -> None:
        """Connect as the one user that there is. The base class has nothing to load."""
        self._api = api
        self._agent = agent
        self.clock = clock
        self.server = "https://simulation"
        self.namespace = NAMESPACE
        self.context = self.user = None
        self.in_cluster = True
        self.clock_skew = timedelta(0)
        self.down = False
        self.loses: Loss | None = None

    @property
    def credential(self) -> Credential:
        """A token that does not run out."""
        return Credential(CredentialKind.TOKEN, None, refreshable=False)

    @contextmanager
    def request(
        self,
        method: str,
        path: str,
        parameters: Mapping[str, str],
        *,
        accept: str = "application/json",
        body: bytes | None = None,
        content_type: str | None = None,
        timeout: float,
    ) -> Iterator[transport.Answer]:
        """Ask once; a watch is all that there is to say now."""
        loss, self.loses = self.loses, None
        if self.down or loss is Loss.REQUEST:
            raise ClusterError(ClusterErrorReason.UNREACHABLE, f"{path}: the line is dead")
        headers = {"authorization": f"Bearer {TOKEN}", "accept": accept, "content-type": content_type or ""}
        headers["user-agent"] = self._agent
        answered = self._api.handle(Request(method, path, parameters, headers, json.loads(body) if body else None))
        if loss is Loss.ANSWER:
            raise ClusterError(ClusterErrorReason.TIMEOUT, f"{path}: no answer came")
        if isinstance(answered, Watching):
            said = "".join(f"{json.dumps(event)}\n" for event in answered.poll())
            answered.end()
        else:
            assert isinstance(answered, Answer), "nobody forwards ports here"
            said = json.dumps(answered.body)
            _raise_if_refused(path, answered, said)
        response = urllib3.HTTPResponse(io.BytesIO(said.encode()), status=200, preload_content=False)
        yield transport.Answer(path, response, Deadline(self.clock, ANSWER_TIMEOUT))

    def close(self) -> None:
        """Nothing is open."""


def _raise_if_refused(path: str, answer: Answer, said: str) -> None:
    if answer.code >= 300:
        wait = next((float(value) for name, value in answer.headers if name == "Retry-After"), None)
        reason = REASONS.get(answer.code, ClusterErrorReason.SERVER_ERROR)
        detail = f"{path}: HTTP {answer.code}: {said[:500]}"
        message = answer.body["message"] if isinstance(answer.body, dict) else ""
        raise ClusterError(reason, detail, status=answer.code, retry_after=wait, message=message)
