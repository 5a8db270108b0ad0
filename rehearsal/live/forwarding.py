"""pods/portforward over a WebSocket: the subprotocol `v4.channel.k8s.io` (k8s.io/kubelet, portforward/websocket.go).

Each binary message begins with its channel: for the n-th port 2n carries the data, 2n+1 what went wrong. The first
message of each channel is the port. Touches sockets.
"""

import asyncio
from contextlib import suppress

import h11
from wsproto import ConnectionType, WSConnection
from wsproto.connection import ConnectionState
from wsproto.events import AcceptConnection, BytesMessage, CloseConnection, Event, Ping
from wsproto.frame_protocol import CloseReason

from rehearsal.api.server import Forwarding

SUBPROTOCOLS = ("v4.channel.k8s.io", "portforward.k8s.io")
CHUNK = 65536


async def forward(
    head: h11.Request,
    received: bytes,
    forwarding: Forwarding,
    reader: asyncio.StreamReader,
    writer: asyncio.StreamWriter,
) -> None:
    """Upgrade a connection and carry bytes between it and a pod's ports until either side ends.

    Args:
        head: the request that asked for it.
        received: what came behind it.
        forwarding: which pod, which ports.
        reader: the connection to the client.
        writer: the same.
    """
    await _Forward(forwarding, reader, writer).run(head, received)


class _Forward:
    def __init__(self, forwarding: Forwarding, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._ports = forwarding.ports
        self._address: str = forwarding.pod["status"].get("podIP", "")
        self._reader = reader
        self._writer = writer
        self._websocket = WSConnection(ConnectionType.SERVER)

    async def run(self, head: h11.Request, received: bytes) -> None:
        self._websocket.initiate_upgrade_connection(list(head.headers), head.target.decode("ascii"))
        asked = next(iter(self._websocket.events()))
        offered = getattr(asked, "subprotocols", [])
        await self._send(AcceptConnection(subprotocol=next((name for name in SUBPROTOCOLS if name in offered), None)))
        streams: list[asyncio.StreamWriter] = []
        from_pod: list[asyncio.Task[None]] = []
        try:
            for index, port in enumerate(self._ports):
                for channel in (2 * index, 2 * index + 1):
                    await self._say(channel, port.to_bytes(2, "little"))
                said, stream = await asyncio.open_connection(self._address, port)
                streams.append(stream)
                from_pod.append(asyncio.create_task(self._carry(index, said)))
            await self._listen(received, streams)
        except ConnectionRefusedError:
            port = self._ports[len(streams)]
            why = f"error forwarding port {port}: dial tcp {self._address}:{port}: connect: connection refused"
            await self._say(2 * len(streams) + 1, why.encode())
            await self._send(CloseConnection(CloseReason.NORMAL_CLOSURE))
        finally:
            for task in from_pod:
                task.cancel()
            await asyncio.gather(*from_pod, return_exceptions=True)
            for stream in streams:
                stream.transport.abort()

    async def _carry(self, index: int, said: asyncio.StreamReader) -> None:
        """Carry what a pod says to the client, and end the WebSocket when it has said all."""
        with suppress(OSError):
            while data := await said.read(CHUNK):
                await self._say(2 * index, data)
            await self._send(CloseConnection(CloseReason.NORMAL_CLOSURE))

    async def _listen(self, received: bytes, streams: list[asyncio.StreamWriter]) -> None:
        """Carry what the client says to the pod, until it ends."""
        if received:
            self._websocket.receive_data(received)
        while True:
            for event in self._websocket.events():
                if isinstance(event, CloseConnection):
                    if self._websocket.state is ConnectionState.REMOTE_CLOSING:
                        await self._send(event.response())
                    return
                if isinstance(event, Ping):
                    await self._send(event.response())
                elif isinstance(event, BytesMessage) and event.data and event.data[0] // 2 < len(streams):
                    stream = streams[event.data[0] // 2]
                    stream.write(bytes(event.data[1:]))
                    await stream.drain()
            self._websocket.receive_data(await self._reader.read(CHUNK) or None)

    async def _say(self, channel: int, data: bytes) -> None:
        await self._send(BytesMessage(data=bytes([channel]) + data))

    async def _send(self, event: Event) -> None:
        self._writer.write(self._websocket.send(event))
        await self._writer.drain()
