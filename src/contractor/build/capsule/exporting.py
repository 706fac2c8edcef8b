"""Make a capsule: a specification, its lock, and every input that the builds of it take."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Callable, Iterator
from typing import NamedTuple

from contractor import __version__
from contractor.build.capsule.layout import Item, Manifest, Writer, is_inside
from contractor.build.facts import custom_path
from contractor.build.options import Options
from contractor.build.prepare import Request, find_base, make_plans, read_files
from contractor.build.source.git_archive import archive_of
from contractor.build.source.obtain import Input, inputs, is_here, obtain
from contractor.core.digest import chunks
from contractor.core.errors import Broken, Rejected, Unavailable
from contractor.core.words import count
from contractor.plan.model import Plan
from contractor.sandbox.local import LocalSandbox
from contractor.spec import model
from contractor.store.compress import open_archive
from contractor.store.layout import Store
from contractor.store.results import artifact_path

_KINDS = ("project", "sources", "captured", "blobs", "git")
_MOST = 20

Open = Callable[[], Iterator[bytes]]


class Exported(NamedTuple):
    """sha256: of the whole file. left_out: steps whose downloads nobody has kept, in words."""

    manifest: Manifest
    sha256: str
    size: int
    left_out: tuple[str, ...]


def export(
    request: Request,
    store: Store,
    sandbox: LocalSandbox,
    options: Options,
    *,
    output: str,
    say: Callable[[str], object],
) -> Exported:
    """Write the capsule of a specification. Rejected: there is no lock, or one that does not cover it. Unavailable:
    what it names is not in the store. say: told what is being fetched."""
    plans = make_plans(request._replace(lock="require"), store, sandbox)
    _obtain([each for plan in plans for each in _all(plan)], request, (store, sandbox), options, say)
    found: dict[bytes, tuple[Item, Open]] = {}
    for item, open_ in (*_project(request, plans), *_inputs(plans, store)):
        found.setdefault(item.member, (item, open_))
    order = sorted(found.values(), key=lambda pair: (_KINDS.index(pair[0].kind), pair[0].name, pair[0].path))
    manifest = Manifest(
        name=plans[0].name,
        spec=os.path.basename(request.spec),
        items=tuple(item for item, _open in order),
        parameters=dict(request.parameters),
        only=dict(request.only),
        made_by=f"contractor {__version__}",
    )
    sha256, size = _write(manifest, [open_ for _item, open_ in order], output)
    return Exported(manifest, sha256, size, tuple(dict.fromkeys(_left_out(plans))))


def _all(plan: Plan) -> Iterator[Plan]:
    yield plan
    for base in plan.bases.values():
        yield from _all(base)


def _left_out(plans: list[Plan]) -> Iterator[str]:
    for plan in (each for top in plans for each in _all(top)):
        for action in plan.actions:
            if action.step.network:
                yield f"{action.step.name} ({', '.join(action.step.network)})"


def _obtain(
    plans: list[Plan],
    request: Request,
    local: tuple[Store, LocalSandbox],
    options: Options,
    say: Callable[[str], object],
) -> None:
    """Downloads and commits that are not in the store are fetched; packages that are not cannot be, by themselves."""
    store, sandbox = local
    lost = [
        fetch.url
        for plan in plans
        for fetches in plan.replays.values()
        for fetch in fetches
        if not os.path.exists(store.captured.path(fetch.sha256))
    ]
    wanted = [item for plan in plans for item in inputs(plan) if not is_here(item, store)]
    lost += [item.what for item in wanted if options.offline]
    if lost:
        raise Unavailable(
            f"{count(len(set(lost)), 'file')} that {request.lock_path} names are not in the store",
            details=tuple(dict.fromkeys(lost))[:_MOST],
            hint="export where the lock was made; or `contractor lock --update`, which fetches all of it anew",
        )
    for item in wanted:
        if not is_here(item, store):
            say(item.what)
            obtain(item, request.folder, store, sandbox, options)


def _project(request: Request, plans: list[Plan]) -> Iterator[tuple[Item, Open]]:
    """The specification, its lock, and what it and its bases name beside them."""
    yield _file(request.lock_path, os.path.basename(request.lock_path))
    for plan in plans:
        yield from _files_of(request, plan, "")


def _files_of(request: Request, plan: Plan, folder: str) -> Iterator[tuple[Item, Open]]:
    """Of one specification. folder: where it is in the capsule, with a slash at the end, or nothing."""
    for name in read_files(request.spec):
        if not is_inside(name):
            raise Rejected(f"{request.spec} names the file {name!r}, which no capsule can hold", hint="rename it")
        yield _file(os.path.join(request.folder, name), folder + name)
    for action in plan.actions:
        given, of_base = action.step.action, model.base_of(action.step.action)
        if isinstance(given, model.Custom):
            name = f".contractor/actions/{given.name}"
            yield _file(str(custom_path(request.folder, given.name)), folder + name, executable=True)
        elif of_base:
            path = find_base(of_base, request.bases())
            inner = request._replace(spec=str(path))
            yield from _files_of(inner, plan.bases[of_base], f"{folder}.contractor/bases/")


def _file(path: str, name: str, *, executable: bool = False) -> tuple[Item, Open]:
    try:
        with open(path, "rb") as file:
            data = file.read()
    except OSError as error:
        raise Rejected(f"{path} cannot be read: {error.strerror}") from error
    sha256 = hashlib.sha256(data).hexdigest()
    return Item("project", name, len(data), sha256, executable=executable), lambda: iter([data])


def _inputs(plans: list[Plan], store: Store) -> Iterator[tuple[Item, Open]]:
    for plan in plans:
        yield from _inputs_of(plan, store, "")


def _inputs_of(plan: Plan, store: Store, folder: str) -> Iterator[tuple[Item, Open]]:
    for base in plan.bases.values():
        yield from _inputs_of(base, store, f"{folder}.contractor/bases/")
    for fetches in plan.replays.values():
        for fetch in fetches:
            path = store.captured.path(fetch.sha256)
            yield Item("captured", fetch.sha256, os.path.getsize(path), fetch.sha256), _reading(path)
    for action in plan.actions:
        given = action.step.action
        if isinstance(given, model.Source) and given.path:
            digest = str(action.inputs["source"])
            path = os.path.normpath(folder + given.path)
            yield _archive("sources", digest, digest, store, path=path)
    for item in inputs(plan):
        yield _input(item, store)


def _input(item: Input, store: Store) -> tuple[Item, Open]:
    if item.sha256:
        path = str(store.blobs.path(item.sha256))
        return Item("blobs", item.sha256, os.path.getsize(path), item.sha256), _reading(path)
    return _archive("git", item.commit, archive_of(store, item.commit), store)


def _archive(kind: str, name: str, digest: str, store: Store, *, path: str = "") -> tuple[Item, Open]:
    """An archive of the store, as it is uncompressed: its size has to be counted."""

    def read() -> Iterator[bytes]:
        try:
            with open(artifact_path(store, digest), "rb") as file:
                yield from chunks(open_archive(file.fileno()))
        except FileNotFoundError as error:
            raise Broken(f"the archive sha256:{digest} is gone from the store", hint="run it again") from error

    return Item(kind, name, sum(map(len, read())), digest, path=path), read


def _reading(path: str) -> Open:
    def read() -> Iterator[bytes]:
        with open(path, "rb") as file:
            yield from chunks(file.read)

    return read


def _write(manifest: Manifest, contents: list[Open], output: str) -> tuple[str, int]:
    """Into a file beside the output, which gets its name when all of it is there."""
    temporary = f"{output}.part"
    try:
        with open(temporary, "wb") as file:
            writer = Writer(manifest, file.write)
            for item, open_ in zip(manifest.items, contents, strict=True):
                writer.add(item, open_())
            sha256 = writer.finish()
            file.flush()
            os.fsync(file.fileno())
            size = file.tell()
        os.rename(temporary, output)
    except OSError as error:
        _remove(temporary)
        raise Broken(f"{output} cannot be written: {error.strerror}", hint="choose another place with -o") from error
    except BaseException:
        _remove(temporary)
        raise
    return sha256, size


def _remove(path: str) -> None:
    if os.path.exists(path):
        os.unlink(path)
