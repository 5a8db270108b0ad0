"""The command `certlag-exporter`: reads options, wires the parts, ends with an exit code. Decides nothing else.

Exit codes: 0 ended when asked to, 1 unexpected, 2 usage or configuration.
"""

import json
import logging
import random
import signal
import sys
from typing import NoReturn

import click

from certlag import logs
from certlag.clock import SystemClock
from certlag.config import schema
from certlag.config.release import Release
from certlag.config.shard import Shard
from certlag.errors import ClusterConfigError
from certlag.kube.client import ClusterClient
from certlag.version import REVISION, VERSION
from exporter import memory
from exporter.http.routes import pages
from exporter.http.server import Server
from exporter.http.web_config import WebConfigError, WebConfigFile
from exporter.probe_schedule import INTERVAL
from exporter.snapshot import Snapshot
from exporter.supervisor import Supervisor

log = logging.getLogger("certlag")


class Address(click.ParamType[tuple[str, int]]):
    """HOST:PORT as exporter-toolkit writes it; `:9871` listens on all addresses, IPv6 goes in brackets."""

    name = "host:port"

    def convert(self, value: object, param: click.Parameter | None, ctx: click.Context | None) -> tuple[str, int]:
        """Split it."""
        if isinstance(value, tuple):
            return value
        host, colon, port = str(value).rpartition(":")
        if not colon or not port.isdecimal() or int(port) > 65535:
            self.fail(f"{value!r} is not HOST:PORT, as in :9871 or 127.0.0.1:9871", param, ctx)
        return host.strip("[]"), int(port)


class ShardOption(click.ParamType[Shard]):
    """INDEX/COUNT."""

    name = "index/count"

    def convert(self, value: object, param: click.Parameter | None, ctx: click.Context | None) -> Shard:
        """Read it."""
        if isinstance(value, Shard):
            return value
        try:
            return Shard.parse(str(value))
        except ValueError as error:
            self.fail(str(error), param, ctx)


@click.command(name="certlag-exporter", context_settings={"help_option_names": ["-h", "--help"]})
@click.option(
    "--config", metavar="FILE", help="Configuration; default: $CERTLAG_CONFIG, else OpsChain's build service."
)
@click.option("--kubeconfig", metavar="FILE", help="Default: in a pod its own account, else as kubectl.")
@click.option("--context", metavar="NAME", help="Context of the kubeconfig.")
@click.option("--namespace", "-n", metavar="NAME", help="Namespace of targets that name none.")
@click.option(
    "--web.listen-address",
    "listen",
    type=Address(),
    default=":9871",
    show_default=True,
    help="Where to serve.",
)
@click.option(
    "--web.config.file", "web_config", metavar="FILE", help="TLS, client CA and basic auth (exporter-toolkit)."
)
@click.option(
    "--probe-interval",
    type=click.FloatRange(min=1.0),
    default=INTERVAL,
    show_default=True,
    metavar="SECONDS",
    help="Time between two handshakes with the same container.",
)
@click.option(
    "--shard",
    type=ShardOption(),
    default="0/1",
    show_default=True,
    metavar="INDEX/COUNT",
    help="Look at one of COUNT parts of the cluster; each namespace is in one of them.",
)
@click.option(
    "--release",
    metavar="NAMESPACE/NAME",
    callback=lambda _context, _parameter, text: None if text is None else _release(text),
    help="Release of the chart that configures this exporter: shown in commands.",
)
@click.option("--log-format", type=click.Choice(["text", "json"]), default="text", show_default=True)
@click.option(
    "--log-level", type=click.Choice(["debug", "info", "warning", "error"]), default="info", show_default=True
)
@click.option(
    "--print-schema",
    is_flag=True,
    is_eager=True,
    expose_value=False,
    callback=lambda context, _parameter, asked: _print_schema(context) if asked else None,
    help="Print the JSON Schema of the configuration, and end.",
)
@click.version_option(VERSION, prog_name="certlag-exporter")
def main(
    *,
    config: str | None,
    kubeconfig: str | None,
    context: str | None,
    namespace: str | None,
    listen: tuple[str, int],
    web_config: str | None,
    probe_interval: float,
    shard: Shard,
    release: Release | None,
    log_format: str,
    log_level: str,
) -> None:
    """Show which certificates were renewed and never loaded by the pods that serve them."""
    memory.set_allocator()
    memory.tune_gc()
    logs.configure(log_format, log_level)
    try:
        client = ClusterClient.connect(kubeconfig=kubeconfig, context=context)
        configuration = schema.load(config, default_namespace=namespace or client.namespace)
        web = WebConfigFile(web_config)
    except (ClusterConfigError, schema.ConfigurationError, WebConfigError) as error:
        _refuse(str(error))
    clock = SystemClock()
    snapshot = Snapshot(clock, version=VERSION, revision=REVISION, server=client.server, release=release)
    jitter = random.Random()  # noqa: S311 - spreads load, and is asked for each probe
    service = Supervisor(configuration, client, snapshot, clock, interval=probe_interval, jitter=jitter, shard=shard)
    server = Server(pages(snapshot), web)
    try:
        host, port = server.start(*listen)
    except OSError as error:
        _refuse(f"cannot listen on {listen[0]}:{listen[1]}: {error.strerror or error}")
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: service.stop())
    log.info("listening", extra={"address": f"{host}:{port}", "server": client.server, "version": VERSION})
    try:
        service.run()
    except MemoryError:
        memory.abort_out_of_memory()
    finally:
        server.close()
    log.info("ended")


def _release(text: str) -> Release:
    try:
        return Release.parse(text)
    except ValueError as error:
        raise click.BadParameter(str(error)) from error


def _print_schema(context: click.Context) -> NoReturn:
    click.echo(json.dumps(schema.json_schema(), indent=2))
    context.exit()


def _refuse(message: str) -> NoReturn:
    click.echo(f"certlag-exporter: {message}", err=True)
    sys.exit(2)
