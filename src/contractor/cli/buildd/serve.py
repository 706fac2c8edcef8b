"""contractor buildd serve: be a builder."""

from __future__ import annotations

import argparse
import gc
import ipaddress
import sys
from pathlib import Path

import contractor
from contractor.build.facts import host_arch
from contractor.buildd.daemon.configuration import PORT, Configuration, load
from contractor.cli import config
from contractor.cli.output import put, talk
from contractor.network.allow import join_authority
from contractor.store.layout import Store

_NEXT = "Ctrl-C ends it, and aborts what it builds; in another terminal: contractor buildd status"
_UNIT = "contractor-buildd.service"


def run(args: argparse.Namespace) -> int:
    if args.unit:
        put((Path(contractor.__file__).parent / "data" / _UNIT).read_text().splitlines())
        return 0
    from contractor.buildd.daemon.serve import serve

    gc.enable()  # commands that live for seconds do without
    found = configuration_of(args, config.load())

    def ready(addresses: list[tuple[str, int]]) -> None:
        places = ", ".join(f"http://{join_authority(host, port)}/rpc" for host, port in addresses)
        put([f"builder for {found.architecture}: {places}", f"file cache: {found.cache}"])
        sys.stdout.flush()
        if sys.stdout.isatty():
            talk(_NEXT + (f" {join_authority(*addresses[0])}" if addresses[0][1] != PORT else ""))
        if not all(ipaddress.ip_address(host).is_loopback for host, _port in addresses):
            talk("warning: whoever reaches this port may build here and read every result: there is no password")

    return serve(found, ready)


def configuration_of(args: argparse.Namespace, settings: config.Settings) -> Configuration:
    """Of the ini file and the options, which win. Raises Rejected."""
    store = Store(args.store or settings.store).root
    path = args.config or settings.builder
    cache = args.filecache or ("" if path else f"{store}/filecache")
    options = {"host": args.bindhost, "port": args.bindport, "cache": cache or None, "architecture": args.architecture}
    return load(path, options, architecture=host_arch(), store=store)
