"""A run of the engine in memory, what is done to it at one of its effects, and what must hold of it however it ended.

A run asks for some 200 effects. The engine does no I/O, so each fault can be tried at each of them.
"""

import itertools
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

from runbook.effects import Change, Effect, Get, Interrupted, List, Wait
from runbook.outcomes import Outcome
from runbook.run.engine import Ending
from tests.memory_api import failure
from tests.memory_cluster import PODS, REPLICAS, SCALED_OBJECT, Driver, Fault, Killed, MemoryCluster, Perform, engine
from tests.sampling import Dice

# --- what is done and what must hold ------------------------------------------------------------------


def undisturbed() -> tuple[Effect, ...]:
    driver = Driver(MemoryCluster())
    assert driver.drive(engine(driver.cluster).restart()).outcome is Outcome.DONE
    return tuple(driver.effects)


EFFECTS = undisturbed()
POINTS = range(len(EFFECTS))


def point(wanted: Callable[[Effect], bool], *, nth: int = 0, after: int = 0) -> int:
    """Return the number of the first effect (or the nth after) in an undisturbed run that is so."""
    return [number for number, effect in enumerate(EFFECTS) if wanted(effect)][nth] + after


def writing(what: str) -> int:
    """Return the number of the first write whose name begins so."""
    return point(lambda effect: isinstance(effect, Change) and effect.what.startswith(what))


DICE = Dice()


@dataclass(frozen=True)
class Share:
    """How many cells of a matrix are tried: some, drawn in each run, or all."""

    size: int | None = None

    def of(self, *sides: Iterable[Any]) -> list[tuple[Any, ...]]:
        """Return the cells of the matrix with these sides that are tried."""
        cells = list(itertools.product(*sides))
        return cells if self.size is None else DICE.sample(cells, self.size)

    def __str__(self) -> str:
        return "all" if self.size is None else str(DICE)


@contextmanager
def named(number: int, what: object = "") -> Iterator[None]:
    """Name the point in whatever fails there, what was done there, and how it is drawn again."""
    try:
        yield
    except BaseException as error:
        error.add_note(f"at effect {number}: {EFFECTS[number] if number in POINTS else 'after the end'}")
        error.add_note(f"{getattr(what, '__name__', what)}; CERTLAG_SEED={DICE.seed} draws it again")
        raise


def restart(cluster: MemoryCluster, number: int | None = None, fault: Fault | None = None, **driver: Any) -> Ending:
    at = {} if number is None or fault is None else {number: fault}
    return Driver(cluster, at, **driver).drive(engine(cluster).restart())


def assert_clean(cluster: MemoryCluster) -> None:
    """Nothing is left of any run: workers at their counts, no marks, no lock, nothing paused, no open record."""
    assert cluster.replicas() == REPLICAS
    assert cluster.record.run is None
    assert cluster.marks() == set()
    assert cluster.held() == set()
    assert cluster.api.documents[SCALED_OBJECT]["metadata"]["annotations"] == {"mine": "stays"}


def assert_done(cluster: MemoryCluster, ending: Ending) -> None:
    assert ending.outcome is Outcome.DONE, ending
    assert cluster.status().verified, "done, and not every pod presents the issued certificate"
    assert_clean(cluster)


def assert_told(cluster: MemoryCluster, ending: Ending) -> None:
    """However it ended, the workers are back at their counts, or the record and the command say that they are not."""
    if cluster.replicas() != REPLICAS:
        assert cluster.record.run is not None, "workers are not back, and no record says so"
        assert ending.run is not None, "workers are not back, and no command is printed"
        assert cluster.record.run.ended is ending.outcome, "nobody works on it, and the record does not say so"


# --- faults ---------------------------------------------------------------------------------------------


def killed_before(_: Perform, __: Effect) -> Any:
    raise Killed


def killed_after(perform: Perform, effect: Effect) -> Any:
    perform(effect)
    raise Killed


def lost_answer(perform: Perform, effect: Effect) -> Any:
    perform(effect)
    raise failure(None, "the answer was lost")


def lost_request(_: Perform, __: Effect) -> Any:
    raise failure(None, "the request was lost")


def unavailable(_: Perform, __: Effect) -> Any:
    raise failure(503)


def forbidden(perform: Perform, effect: Effect) -> Any:
    if isinstance(effect, Wait):
        return perform(effect)
    raise failure(403)


def unsteady(perform: Perform, effect: Effect) -> Any:
    """The lock can just be renewed, and nothing read."""
    if isinstance(effect, Get | List):
        raise failure(None)
    return perform(effect)


def unlisted_while_draining(cluster: MemoryCluster) -> Fault:
    """Pods may not be listed while the drain goes on; all else may."""

    def fault(perform: Perform, effect: Effect) -> Any:
        run = cluster.record.run
        if isinstance(effect, List) and effect.path == PODS and run is not None and run.put_back is None:
            raise failure(403)
        return perform(effect)

    return fault


def refused_for_ever(status: int, *writes: str) -> dict[int, Fault]:
    """The API server refuses the writes whose names begin so, each time."""

    def fault(perform: Perform, effect: Effect) -> Any:
        if isinstance(effect, Change) and effect.what.startswith(writes):
            raise failure(status, f"HTTP {status}: not this one")
        return perform(effect)

    return dict.fromkeys(range(100_000), fault)


DENIAL = "deployments.apps \"x\" is forbidden: ValidatingAdmissionPolicy 'p' with binding 'b' denied request: not now"


def denied_for_ever(status: int, *writes: str) -> dict[int, Fault]:
    """Admission denies the writes whose names begin so, each time."""

    def fault(perform: Perform, effect: Effect) -> Any:
        if isinstance(effect, Change) and effect.what.startswith(writes):
            raise failure(status, message=DENIAL)
        return perform(effect)

    return dict.fromkeys(range(100_000), fault)


def interrupted(_: Perform, __: Effect) -> Any:
    raise Interrupted


def after(write: Callable[..., object], *arguments: object) -> Fault:
    """Something is done by somebody else, and then the effect."""

    def fault(perform: Perform, effect: Effect) -> Any:
        write(*arguments)
        return perform(effect)

    return fault
