"""The page's view to HTML, with Jinja; everything that is put in is escaped. Pure.

A card's HTML is remembered by the card's value: of a thousand workloads, those are rendered anew that changed.
"""

from functools import lru_cache
from typing import Any, Protocol, cast

import jinja2
from markupsafe import Markup

from exporter.status_page import assets
from exporter.status_page.cards import Card
from exporter.status_page.view import MAX_CARDS, View, view


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


def page(document: dict[str, Any]) -> str:
    """Return the page of a status document, as of the instant at which that was made."""
    return html(view(document))


def html(shown: View) -> str:
    """Return the HTML of a view."""
    few = sum(card.is_problem for card in shown.cards) <= OPEN_AT_MOST
    cards = Markup("").join(_card(card, opened=few and card.is_problem) for card in shown.cards)
    return _TEMPLATES.get_template("page.html").render(page=shown, cards=cards, assets=_PATHS)


@lru_cache(maxsize=MAX_CARDS)
def _card(card: Card, *, opened: bool) -> Markup:
    return _macros().article(card, opened=opened)


@lru_cache(maxsize=1)
def _macros() -> _Macros:
    return cast("_Macros", _TEMPLATES.get_template("card.html").module)
