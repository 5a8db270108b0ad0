"""What completes a command line: contexts of the kubeconfig, names of targets. Reads files and the named release."""

from contextlib import suppress

import click
from click.shell_completion import CompletionItem

from certlag.alert_pages import alert_pages
from certlag.config.schema import ConfigurationError
from certlag.errors import ClusterConfigError, ClusterError
from runbook.session.options import Options
from runbook.session.session import Time, target_names


def complete_contexts(_ctx: click.Context, _param: click.Parameter, incomplete: str) -> list[CompletionItem]:
    """Offer the contexts of the kubeconfig."""
    from certlag.kube.kubeconfig import contexts  # noqa: PLC0415 - as in `certlag.kube.transport`

    with suppress(ClusterConfigError):
        return [CompletionItem(name) for name in contexts(_ctx.params.get("kubeconfig")) if name.startswith(incomplete)]
    return []


def complete_alerts(_ctx: click.Context, _param: click.Parameter, incomplete: str) -> list[CompletionItem]:
    """Offer the names of alerts."""
    return [CompletionItem(name) for name in alert_pages() if name.startswith(incomplete)]


def complete_targets(ctx: click.Context, _param: click.Parameter, incomplete: str) -> list[CompletionItem]:
    """Offer the targets, from wherever the command would take them."""
    given = {**(ctx.parent.params if ctx.parent else {}), **ctx.params}
    known = {"config", "release", "kubeconfig", "context", "namespace"}
    named = Options(**{name: value for name, value in given.items() if name in known and value is not None})
    with suppress(ConfigurationError, ClusterConfigError, ClusterError):
        return [CompletionItem(name) for name in target_names(named, Time()) if name.startswith(incomplete)]
    return []
