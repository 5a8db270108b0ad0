"""The status page for people: the status at one instant, as HTML. Pure; only its templates and assets are files.

    status ──▶ cards, health ──▶ headline ──▶ view ──▶ render ──▶ HTML
               (per workload)   (in big)     (page)   (Jinja)

Anyone who opens it at three in the morning is to know whether anything must be done, by when, and which command does
it.
"""
