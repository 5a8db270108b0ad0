"""The page's view to HTML, with Jinja; everything that is put in is escaped. Touches nothing but its own templates.

A card's HTML is remembered by the card's value: of a thousand workloads, those are rendered again that changed.
"""

from typing import Protocol, cast

import jinja2
from markupsafe import Markup

from exporter.status import Status
from exporter.status_page import assets
from exporter.status_page.cards import Card
from exporter.status_page.view import View, view


class _Macros(Protocol):
    """What `card.html` defines."""

    def article(self, card: Card, *, opened: bool) -> Markup:
        """Render one card, its pods shown or folded."""
        ...


_TEMPLATES = jinja2.Environment(
    loader=jinja2.PackageLoader("exporter.status_page"),
    autoescape=True,
    undefined=jinja2.StrictUndefined,
    trim_blocks=True,
    lstrip_blocks=True,
)
OPEN_AT_MOST = 12
"""With more problems than that, the pods of each are folded, so that more of them are seen at once."""
_PATHS = {"style": assets.STYLE.path, "script": assets.SCRIPT.path, "icon": assets.ICON.path}


class Renderer:
    """Renders pages, one after the other, and remembers the cards of the last one."""

    def __init__(self) -> None:
        self._cards: dict[tuple[Card, bool], Markup] = {}

    def page(self, status: Status) -> str:
        """Return the page of a status."""
        return self.html(view(status))

    def html(self, shown: View) -> str:
        """Return the HTML of a view."""
        few = sum(card.is_problem for card in shown.cards) <= OPEN_AT_MOST
        keys = [(card, few and card.is_problem) for card in shown.cards]
        before = self._cards
        self._cards = {key: before.get(key) or _card(*key) for key in keys}
        cards = Markup("").join(self._cards[key] for key in keys)
        return _TEMPLATES.get_template("page.html").render(page=shown, cards=cards, assets=_PATHS)


def _card(card: Card, opened: bool) -> Markup:  # noqa: FBT001 - a key of the cards that are remembered
    return cast("_Macros", _TEMPLATES.get_template("card.html").module).article(card, opened=opened)
