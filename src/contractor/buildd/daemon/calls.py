"""The eight calls: which method takes how many parameters, and what becomes of what goes wrong in one."""

from __future__ import annotations

import asyncio
import inspect
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from functools import lru_cache
from typing import Any, TypeVar
from xmlrpc.client import Binary

from contractor.buildd.daemon import rpc
from contractor.buildd.daemon.builder import Builder
from contractor.buildd.daemon.diary import Diary
from contractor.core.errors import ContractorError

_SMALL = 512  # bytes of a request that is remembered: status() comes again and again
_LARGE = 32 << 10  # bytes of a request that is read, and answered, where nobody waits: the largest take seconds

_T = TypeVar("_T")


class Calls:
    """Answers requests, as bytes for bytes; it never raises but when it is cancelled."""

    def __init__(self, builder: Builder, diary: Diary) -> None:
        self._diary = diary
        self._aside = ThreadPoolExecutor(1, "large-request")
        self._methods: dict[str, tuple[Callable[..., Any], int]] = {  # with the number of parameters
            "echo": (lambda *params: list(params), -1),
            "info": (builder.info, 0),
            "status": (builder.status, 0),
            "proxy_info": (builder.proxy_info, 0),
            "ensurepresent": (builder.ensurepresent, 4),
            "build": (builder.build, 5),
            "abort": (builder.abort, 0),
            "clean": (builder.clean, 0),
        }

    async def answer(self, data: bytes) -> bytes:
        method = "request"
        try:
            call = _bare_call(data) if len(data) <= _SMALL else await self._do(len(data), rpc.parse, data)
            method = call.method
            return await self._do(len(data), rpc.answer, await self._call(call))
        except rpc.Fault as fault:
            return rpc.fault(fault)
        except ContractorError as error:
            self._diary.say("; ".join((f"{method}() refused: {error.message}", *error.details)))
        except Exception as error:
            self._diary.trouble(f"{method}() failed", error)
        return rpc.fault(rpc.failed())

    async def _do(self, size: int, work: Callable[[Any], _T], value: Any) -> _T:
        """What takes the longer, the larger the request is."""
        if size <= _LARGE:
            return work(value)
        return await asyncio.get_running_loop().run_in_executor(self._aside, work, value)

    async def _call(self, call: rpc.Call) -> Any:
        if call.method not in self._methods:
            raise rpc.unknown(call.method)
        function, count = self._methods[call.method]
        if count not in (-1, len(call.params)):
            raise rpc.Fault(rpc.FAILED, "error")
        if count == -1:
            return function(*call.params)
        found = function(*(_bytes(param) for param in call.params))
        return await found if inspect.isawaitable(found) else found


@lru_cache(maxsize=64)
def _bare(data: bytes) -> rpc.Call | None:
    """A small request without parameters, which is a value; others may hold secrets, and are not remembered."""
    call = rpc.parse(data)
    return None if call.params else call


def _bare_call(data: bytes) -> rpc.Call:
    return _bare(data) or rpc.parse(data)


def _bytes(value: Any) -> Any:
    """Binary values as bytes, wherever they are."""
    if isinstance(value, Binary):
        return value.data
    if isinstance(value, list):
        return [_bytes(item) for item in value]
    if isinstance(value, dict):
        return {key: _bytes(item) for key, item in value.items()}
    return value
