"""A CONNECT tunnel: bytes in both directions until both have ended. They are counted, not understood."""

from __future__ import annotations

import asyncio
import time

from contractor.network.transfer import Transfer
from contractor.network.wire import Lost, Wire


async def join(client: Wire, server: Wire, transfer: Transfer, idle: float) -> None:
    """Pump both ways, pass on each end as an end; raises Lost if a side breaks or both are silent `idle` seconds."""

    async def pump(source: Wire, sink: Wire) -> None:
        while True:
            try:
                data = await source.receive()
            except Lost as lost:
                if lost.timeout and time.monotonic() - max(source.active, sink.active) < idle:
                    continue  # a long download sends nothing up: one silent direction is no silent tunnel
                raise
            if not data:
                return sink.finish_sending()
            await sink.send(data)
            if source is server:
                transfer.size += len(data)
            else:
                transfer.sent += len(data)

    pumps = [asyncio.create_task(pump(client, server)), asyncio.create_task(pump(server, client))]
    try:
        await asyncio.gather(*pumps)
    finally:
        for task in pumps:
            task.cancel()
        await asyncio.gather(*pumps, return_exceptions=True)
