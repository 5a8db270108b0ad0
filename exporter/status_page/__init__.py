"""The status page for people: `/api/v1/status` at one instant, as HTML. Pure; only its templates and assets are files.

    document ──▶ cards, sight ──▶ headline ──▶ view ──▶ render ──▶ HTML
    (JSON)       (per workload)   (in big)     (page)   (Jinja)

Whoever opens it at three in the morning is to know whether anything must be done, by when, and which command does it.
"""
