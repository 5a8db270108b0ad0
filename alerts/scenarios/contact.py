"""Who has a say, for every alert alike: what is fine somewhere does not silence what is bad elsewhere. Pure."""

from collections.abc import Iterator

from alerts.scenario import Check, Firing, Scenario, World, fires, quiet

Moment = tuple[int, tuple[Firing, ...]]
"""A minute, and what fires then."""


def another_without_contact(world: World) -> Iterator[tuple[str, World]]:
    """Yield a world as told by another exporter that has lost contact: in the namespace, and everywhere."""
    yield "", world.out_of_contact().told_by_another()
    yield " everywhere", world.out_of_contact().told_by_another().watched_everywhere()


def of_contact(alert: str, bad: World, fine: World, first: Moment, later: Moment) -> Iterator[Scenario]:
    """Yield what holds of an alert where an exporter has lost contact with the API server.

    Args:
        alert: its name.
        bad: a world in which it fires.
        fine: a world of the same objects in which it does not.
        first: when it fires first, and what.
        later: a later minute; the alert is remembered until then when nothing is told after `first`.
    """

    def firing(*moments: Moment) -> tuple[Check, ...]:
        return tuple(check for minute, of in moments for check in fires(alert, minute, *of))

    fine_elsewhere = fine.out_of_contact().told_by_another()
    yield Scenario(
        "is not silenced by a replica that has lost contact", bad.and_also(fine_elsewhere), firing(first, later)
    )
    for where, bad_elsewhere in another_without_contact(bad):
        yield Scenario(
            f"is not kept up by a replica that has lost contact{where}",
            fine.and_also(bad_elsewhere),
            quiet(alert, first[0], later[0]),
        )
    yield Scenario(
        "is not begun by a replica that has lost contact when the other one ends",
        fine.ended(first[0]).and_also(bad.out_of_contact().told_by_another()),
        quiet(alert, first[0], later[0]),
    )
    yield Scenario(
        "holds where the only exporter has lost contact",
        bad.out_of_contact(),
        firing(first, later),
    )
    yield Scenario(
        "is not ended by a replica that has lost contact",
        bad.ended(first[0] + 1).and_also(fine_elsewhere),
        firing(later),
    )
