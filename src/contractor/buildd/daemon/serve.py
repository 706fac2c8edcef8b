"""`contractor buildd serve`: one builder and its server, from the configuration to a signal.

SIGTERM and SIGINT end it: what is running is ended within limits, and the state on disk is true. SIGHUP opens the
daemon's own log anew.
"""

from __future__ import annotations

import asyncio
import signal
from collections.abc import Callable, Sequence

from contractor import __version__
from contractor.buildd.daemon.builder import Builder
from contractor.buildd.daemon.calls import Calls
from contractor.buildd.daemon.configuration import Configuration
from contractor.buildd.daemon.diary import Diary
from contractor.buildd.daemon.running import WORKER
from contractor.buildd.daemon.server import Server
from contractor.core.errors import Unavailable


def serve(
    configuration: Configuration,
    ready: Callable[[list[tuple[str, int]]], None] | None = None,
    command: Sequence[str] = WORKER,
) -> int:
    """Run until a signal comes; an exit code. ready: called with the addresses once it listens. command: the worker.

    Raises ContractorError, OSError where it cannot begin.
    """
    return asyncio.run(_serve(configuration, ready, command))


async def _serve(
    configuration: Configuration, ready: Callable[[list[tuple[str, int]]], None] | None, command: Sequence[str]
) -> int:
    diary = Diary(configuration.log)
    diary.hear(["aiohttp", "asyncio"])
    loop = asyncio.get_running_loop()
    stop = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stop.set)
    loop.add_signal_handler(signal.SIGHUP, _reopen, diary)
    builder = Builder(configuration, diary, command)
    server = Server(Calls(builder, diary), builder.cache)
    await builder.start()
    try:
        addresses = await server.listen(configuration.host, configuration.port)
    except OSError as error:
        await builder.stop()
        raise Unavailable(
            f"cannot listen on {configuration.host} port {configuration.port}: {error.strerror or error}",
            hint="another builder may run here; --bindport chooses another port, and 0 any free one",
        ) from error
    diary.say(f"contractor {__version__} listens on {', '.join(f'{host}:{port}' for host, port in addresses)}")
    if ready is not None:
        ready(addresses)
    await stop.wait()
    diary.say("ends")
    await server.close()
    await builder.stop()
    return 0


def _reopen(diary: Diary) -> None:
    try:
        diary.reopen()
    except OSError as error:
        diary.trouble("the log cannot be opened anew", error)
