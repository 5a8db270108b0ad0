"""The walk: from event to event through simulated time, looking after each whether all is as it must be.

An event is whatever is due next: the cluster's controllers, the exporter, an effect of a command, something on the
agenda. Time stands still between two. Once in a season all faults are healed and no more happen: then the operators
must be able to bring everything to rest, by the commands that they are told.
"""

import heapq
import itertools
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import timedelta
from functools import partial
from typing import TypeVar

from certlag.kube.client import ClusterClient
from certlag.model import Target
from runbook.outcomes import Outcome
from tests.simulation import gauges, truth
from tests.simulation.figures import Figures
from tests.simulation.incidents import DEEDS, EXPORTER, MEDDLING, MISFORTUNES, Deed, Misfortune, heal_everything
from tests.simulation.line import Line
from tests.simulation.operators import Command, Order
from tests.simulation.place import Place, found
from tests.simulation.promises import Promises
from tests.simulation.stepped_exporter import SteppedExporter

Happening = TypeVar("Happening", bound=Deed | Misfortune)

ON_CALL_OPEN = timedelta(minutes=20)
"""How often somebody looks after a run that is open, on average."""
DIARY = 40
"""What happened last, that is told of a walk that fails."""
LONGEST = 160
"""Effects within which misfortunes befall a command; a whole run has about as many."""
WHIM = 0.2
"""How often somebody who looks restarts although the gauges do not ask for it."""
UNCHANGED = 60.0
"""Seconds after which it is looked again though nothing was written and no text published: time changes things too."""
MOST_WRITES = 12
"""Writes to workloads within which they do: a run with two workers has eleven."""
REST = timedelta(hours=34)
"""How long all is healed before it is asked of anybody: cert-manager waits up to 32 hours after failures."""
COMMANDS_TO_REST = 8
"""Commands within which all must be at rest once nothing goes wrong any more."""


@dataclass(frozen=True, slots=True)
class Pace:
    """How much happens: time from rest to rest, between two deeds, between two looks of anyone who is on call."""

    season: timedelta
    between_deeds: timedelta
    on_call: timedelta


CALM = Pace(season=timedelta(days=180), between_deeds=timedelta(days=10), on_call=timedelta(days=8))
"""As it is: what is long takes long, and years pass quickly."""
BUSY = Pace(season=timedelta(days=20), between_deeds=timedelta(hours=15), on_call=timedelta(hours=8))
"""As it never is: misfortunes meet."""


class Walk:
    """One world, one seed."""

    def __init__(self, seed: int, pace: Pace) -> None:
        self.seed = seed
        self.diary: deque[str] = deque(maxlen=DIARY)
        self._pace = pace
        self.place: Place = found(seed)
        self.figures = Figures()
        self.ledger = truth.Ledger(self.place)
        self.commands: list[Command] = []
        self.promises = Promises(self.place, self.ledger, self.commands)
        self._exporter_line = Line(self.place.cluster.api, EXPORTER, self.place.clock)
        self._pids = itertools.count(100)
        self._agenda: list[tuple[float, int, Callable[[], None]]] = []
        self._numbers = itertools.count()
        self._news: object = None
        self._looked_at = 0.0
        self.restart_exporter()

    # --- what incidents can do -----------------------------------------------------------------------------

    def later(self, after: timedelta, what: Callable[[], None]) -> None:
        """Put something on the agenda."""
        at = self.place.clock.monotonic() + after.total_seconds()
        heapq.heappush(self._agenda, (at, next(self._numbers), what))

    def cut_off(self, *, is_cut_off: bool) -> None:
        """Cut the exporter off from the API server, or let it in again."""
        self._exporter_line.down = is_cut_off

    def restart_exporter(self) -> None:
        """Have the exporter begin again, with no memory."""
        self.exporter = SteppedExporter(self.place, ClusterClient(self._exporter_line))
        self.known = truth.Acquaintance(self.place)

    # --- seasons -------------------------------------------------------------------------------------------

    def live(self, length: timedelta) -> Figures:
        """Live through so much time, season by season, each with its rest at the end; return what that was.

        Raises:
            AssertionError: a gauge is wrong, or a promise is broken.
        """
        until = self.place.clock.now() + length
        try:
            while self.place.clock.now() < until:
                self._live_a_season()
        except Exception as error:
            error.add_note("\n".join(("", *self.diary, f"seed {self.seed}, at {self.place.clock.now()}")))
            raise
        self.figures.promises = self.promises.checked
        return self.figures

    def _live_a_season(self) -> None:
        started = self.place.clock.now()
        self.later(self._exponential(self._pace.between_deeds), self._do_something)
        self.later(self._exponential(self._pace.on_call), self._be_on_call)
        self._pass(self._pace.season)
        self._note("all is healed")
        self._rest()
        self.figures.days += (self.place.clock.now() - started) / timedelta(days=1)

    def _rest(self) -> None:
        """Heal everything; then operators can bring all to rest."""
        self._agenda.clear()
        heal_everything(self.place)
        self.cut_off(is_cut_off=False)
        self.place.cluster.nudge()
        self._finish_commands()
        self._pass(REST)
        for target in self.place.configuration.targets:
            self._settle(target)
        for target in self.place.configuration.targets:
            shown = gauges.shown(self.exporter.published.metrics, target)
            assert shown.runbook_state == "idle"
            assert self.promises.is_done(target), f"something of a run of {target.name} is left"

    def _settle(self, target: Target) -> None:
        """Do what an operator is told to, until nothing is left to do."""
        verb = "resume" if self.promises.is_open(target) else "restart"
        told: list[str] = []
        for _ in range(COMMANDS_TO_REST):
            command = self._begin(Order(verb, target, force=True, take_over=True), fated=False)
            self._finish_commands()
            assert command.ending is not None
            told.append(f"{verb}: {command.ending.outcome}: {command.ending.message}")
            if command.ending.outcome is Outcome.DONE and verb == "restart":
                return
            stuck = command.ending.outcome in (Outcome.REFUSED, Outcome.CONTESTED)
            verb = "restart" if not self.promises.is_open(target) else "abort" if stuck else "resume"
        raise AssertionError(f"promise 7: {target.name} does not come to rest: {told}")

    def _finish_commands(self) -> None:
        """Let time pass until no command is at work."""
        for _ in range(100):
            if all(command.over for command in self.commands):
                return
            self._pass(timedelta(hours=1), until=lambda: all(command.over for command in self.commands))
        raise AssertionError(f"commands do not end: {[command.what for command in self.commands if not command.over]}")

    # --- from event to event -----------------------------------------------------------------------------------

    def _pass(self, length: timedelta, until: Callable[[], bool] = lambda: False) -> None:
        """Let time pass, event by event."""
        end = self.place.clock.monotonic() + length.total_seconds()
        while self.place.clock.monotonic() < end and not until():
            self._advance(min(end, self._next_at()))
            self._look()
            self.place.cluster.step()
            self._act()
            self.place.cluster.step()
            self._look()
            self.figures.events += 1

    def _next_at(self) -> float:
        """Return when the next event is, by the monotonic clock."""
        now = self.place.clock.monotonic()
        instants = [now + self.exporter.due_in]
        if (due := self.place.cluster.due_at) is not None:
            instants.append(now + (due - self.place.clock.now()).total_seconds())
        if self._agenda:
            instants.append(self._agenda[0][0])
        instants.extend(command.goes_on_at for command in self.commands)
        return max(now, min(instants))

    def _advance(self, at: float) -> None:
        self.place.clock.advance(at - self.place.clock.monotonic())

    def _act(self) -> None:
        """Do what is due: what is on the agenda, and the next effect of each command."""
        now = self.place.clock.monotonic()
        while self._agenda and self._agenda[0][0] <= now:
            heapq.heappop(self._agenda)[2]()
            self.place.cluster.nudge()  # a fault may have healed
        for command in tuple(self.commands):
            if not command.over and command.goes_on_at <= now:
                command.go_on()
            if command.over:
                self._bury(command)

    def _look(self) -> None:
        """Hold what is so against the promises, and what is shown against what is so."""
        self.exporter.step()
        if not self._has_news():
            return
        self.promises.hold_now()
        if self.exporter.sees:
            self.known.look(self.ledger)
            self._compare()

    def _has_news(self) -> bool:
        """Tell whether anything could be otherwise than at the last look."""
        exporter, now = self.exporter, self.place.clock.monotonic()
        versions = (self.place.cluster.api.storage.version, self.place.network.version)
        news = (exporter, exporter.sees, exporter.published.text, versions)
        if news == self._news and now - self._looked_at < UNCHANGED:
            return False
        self._news, self._looked_at = news, now
        return True

    def _compare(self) -> None:
        for target in self.place.configuration.targets:
            shown = gauges.shown(self.exporter.published.metrics, target)
            right = truth.gauges(self.place, self.ledger, self.known, target)
            expected = "\n or ".join(map(str, right))
            assert shown in right, f"gauges of {target.name}:\n shown {shown}\n truth {expected}"
        self.figures.compared += 1

    # --- people -----------------------------------------------------------------------------------------------

    def _do_something(self) -> None:
        """Have one deed done, and the next one later."""
        deed = self._drawn(DEEDS)
        self.figures.deeds[deed.name] += 1
        self._note(deed.name)
        self._do(deed)
        self.later(self._exponential(self._pace.between_deeds), self._do_something)

    def _do(self, deed: Deed, _: Command | None = None) -> None:
        """Have something happen, and the cluster notice."""
        deed.do(self)
        self.place.cluster.nudge()

    def _be_on_call(self) -> None:
        """Have somebody look now, and again later."""
        self._look_after()
        is_open = any(self.promises.is_open(each) for each in self.place.configuration.targets)
        self.later(self._exponential(ON_CALL_OPEN if is_open else self._pace.on_call), self._be_on_call)

    def _look_after(self) -> None:
        """Have somebody look at the gauges, and do what they say, more or less."""
        chance, target = self.place.chance, self.place.chance.choice(self.place.configuration.targets)
        at_work = [command for command in self.commands if not command.over]
        shown = gauges.shown(self.exporter.published.metrics, target)
        if self.promises.is_open(target):
            verb = chance.choice(("resume", "resume", "resume", "abort", "restart"))
        else:
            verb = "restart" if shown.needs_restart == 1 or chance.random() < WHIM else "check"
        if len(at_work) < 2 and (not at_work or chance.random() < 0.4):
            user, host = chance.choice((("ann", "laptop"), ("ann", "laptop"), ("ben", "desk")))
            order = Order(
                verb,
                target,
                user,
                host,
                force=chance.random() < 0.3,
                take_over=chance.random() < 0.5,
                accept=chance.random() < 0.8,
            )
            self._begin(order, fated=True)

    def _begin(self, order: Order, *, fated: bool) -> Command:
        command = Command(order, next(self._pids), self.place, self.promises, self._runs)
        if fated:
            self._draw_fate(command)
        command.wake_at = self.place.clock.monotonic()
        self.commands.append(command)
        self.figures.commands[order.verb] += 1
        self._note(f"{command.what} begins")
        return command

    def _runs(self, pid: int) -> bool:
        """Tell whether a process exists."""
        return any(command.pid == pid for command in self.commands)

    def _draw_fate(self, command: Command) -> None:
        """Say what will befall a command, and when: at any of its effects, or right before one of its writes."""
        chance = self.place.chance
        for _ in range(chance.choice((0, 0, 1, 1, 2, 3))):
            if chance.random() < 0.5:
                befalls, at = command.before_effects, chance.randrange(1, LONGEST)
            else:
                befalls, at = command.before_writes, chance.randrange(1, MOST_WRITES)
            befalls[at] = self._fate()

    def _fate(self) -> Callable[[Command], None]:
        """Draw a misfortune, a deed of others, or one that gets in the way of a run: each a third."""
        drawn = self._drawn(self.place.chance.choice((MISFORTUNES, DEEDS, MEDDLING)))
        return self._counted(drawn.name, drawn.befall if isinstance(drawn, Misfortune) else partial(self._do, drawn))

    def _drawn(self, table: Sequence[Happening]) -> Happening:
        """Draw from a table, by its weights."""
        return self.place.chance.choices(table, [each.weight for each in table])[0]

    def _counted(self, name: str, befall: Callable[[Command], None]) -> Callable[[Command], None]:
        def befallen(command: Command) -> None:
            self.figures.misfortunes[name] += 1
            self._note(f"{name}, before effect {command.effects} of {command.what}")
            befall(command)

        return befallen

    def _bury(self, command: Command) -> None:
        """Take a command that is over off the list; where it was to change something, somebody looks after it soon."""
        self.commands.remove(command)
        outcome, message = "killed", ""
        if command.ending is not None and not command.killed:
            outcome, message = str(command.ending.outcome), command.ending.message
        self.figures.endings[outcome] += 1
        self._note(f"{command.what} ends: {outcome} {message}")
        if command.order.verb != "check":
            self.later(self._exponential(ON_CALL_OPEN), self._look_after)

    def _note(self, text: str) -> None:
        self.diary.append(f"{self.place.clock.now():%Y-%m-%d %H:%M:%S.%f} {text}")

    def _exponential(self, mean: timedelta) -> timedelta:
        return timedelta(seconds=1 + self.place.chance.expovariate(1 / mean.total_seconds()))
