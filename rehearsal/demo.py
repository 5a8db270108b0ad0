"""`make demo`: the story's cluster and an exporter that watches it, until Ctrl-C. Touches sockets, files, a process.

Run as `python -m rehearsal.demo`. The kubeconfig and the configuration are written to a folder, so that kubectl and the
runbook can be tried in another terminal.
"""

import asyncio
import contextlib
import signal
import sys
import tempfile
import time
from collections.abc import AsyncIterator
from datetime import timedelta
from pathlib import Path

import click

from rehearsal import story
from rehearsal.clock import ago
from rehearsal.exporter_process import ExporterFailedError, ExporterProcess
from rehearsal.live.cluster import LiveCluster

_WELCOME = """\
A cluster is running: no Kubernetes, all of it is this process. Ready after {seconds:.1f} s; Ctrl-C ends it.

  build-service  renewed ten days ago and never restarted: it presents the old certificate, twenty days are left
  registry       renewed, and restarted since: nothing to do
  vault          its renewal is ten days overdue: a restart would not help
  cache          nothing answers on its port: nobody can tell

What to look at:

  http://{address}/  (the status page: keep it open, it follows what you do)
  http://{address}/metrics
  http://{address}/api/v1/status

What to type next, in a second terminal:

  export KUBECONFIG={kubeconfig} CERTLAG_CONFIG={configuration}
  curl -s http://{address}/metrics | grep -E '^certlag_(needs_restart|restart_deadline)'
  {bin}/runbook check-build-service
  {bin}/runbook restart-build-service
  {bin}/runbook rehearse --list       (practise it on a cluster of its own, in which something fails)
  kubectl get deployments,statefulsets,pods,certificates
"""


@click.command(name="demo")
@click.option("--directory", metavar="DIR", help="Where kubeconfig and configuration are written; default: a new one.")
@click.option("--port", default=9871, show_default=True, help="The exporter's port on 127.0.0.1; 0 takes a free one.")
@click.option("--change", default=story.CHANGE.total_seconds(), show_default=True, help="Seconds of a worker's change.")
def main(*, directory: str | None, port: int, change: float) -> None:
    """Run a cluster with a certificate that was renewed and never loaded, and an exporter that sees it."""
    started = time.monotonic()
    with contextlib.ExitStack() as stack:
        folder = Path(directory or stack.enter_context(tempfile.TemporaryDirectory(prefix="certlag-demo-"))).resolve()
        folder.mkdir(parents=True, exist_ok=True)
        try:
            asyncio.run(_run(folder, port, timedelta(seconds=change), started))
        except ExporterFailedError as error:
            click.echo(f"demo: the exporter has ended: {error}", err=True)
            sys.exit(1)


async def _run(folder: Path, port: int, change: timedelta, started: float) -> None:
    stop = asyncio.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        asyncio.get_running_loop().add_signal_handler(number, stop.set)
    kubeconfig, configuration = folder / "kubeconfig", folder / "certlag.yaml"
    async with _cluster(change) as live:
        live.write_kubeconfig(kubeconfig, story.NAMESPACE)
        configuration.write_text(story.configuration(), encoding="utf-8")
        exporter = await ExporterProcess.start(kubeconfig, configuration, folder / "exporter.log", port)
        try:
            where = {"address": exporter.address, "kubeconfig": kubeconfig, "configuration": configuration}
            click.echo(_WELCOME.format(seconds=time.monotonic() - started, bin=Path(sys.executable).parent, **where))
            ended = asyncio.create_task(exporter.wait())
            stopped = asyncio.create_task(stop.wait())
            await asyncio.wait({ended, stopped}, return_when=asyncio.FIRST_COMPLETED)
            stopped.cancel()
        finally:
            await exporter.end()
        if not stop.is_set():
            raise ExporterFailedError(f"its log is {folder / 'exporter.log'}")


@contextlib.asynccontextmanager
async def _cluster(change: timedelta) -> AsyncIterator[LiveCluster]:
    """Have the story happen, and go on from its present in real time."""
    clock = ago(story.PAST)
    live = LiveCluster(clock, programs=story.programs(change=change))
    try:
        story.tell(live.cluster, clock)
        clock.let_go()
        await live.start()
        yield live
    finally:
        await live.close()


if __name__ == "__main__":
    main()
