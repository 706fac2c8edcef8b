"""What a build was made of, as resolvedDependencies: out of its plan, its record, and the results of its bases."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from typing import NamedTuple
from urllib.parse import quote, unquote, urlsplit

from contractor.core.digest import canonical, is_digest
from contractor.core.fetch import Fetch
from contractor.network.ledger import redact
from contractor.plan.model import Action, Checkout, Plan
from contractor.plan.planner import base_artifact
from contractor.proof.statement import Descriptor
from contractor.spec import model
from contractor.store.records import Record
from contractor.store.results import Results

_PLAIN = re.compile(
    r"[a-z]+://[a-z0-9.:-]+/[A-Za-z0-9/._~+:%-]*\Z"
)  # nothing in it to be taken out or written otherwise
_DEB = re.compile(r"/(?P<name>[a-z0-9][a-z0-9+.-]+)_(?P<version>[^_/]+)_(?P<arch>[a-z0-9-]+)\.deb\Z")


class _Installed(NamedTuple):
    """What was installed and what was fetched, of the build's own steps and of the bases below it."""

    packages: set[str]
    fetches: list[Fetch]


def materials(record: Record, plan: Plan, results: Results) -> tuple[Descriptor, ...]:
    """Every input with its digest, where it is known; sorted, each once."""
    installed = _Installed(set(), [])
    for step in record.steps:
        installed.packages.update(step.packages)
        installed.fetches.extend(step.fetches)
    found = [*_specification(plan), *_inputs(plan), *_bases(plan, results, installed)]
    known = {item.uri for item in found if item.uri}
    debs: dict[tuple[str, ...], Fetch] = {}
    for fetch in filter(_is_material, installed.fetches):
        if (deb := _DEB.search(unquote(fetch.url))) is not None:
            debs[deb.groups()] = fetch
        elif (item := _fetched(fetch)).uri not in known:
            found.append(item)
    return unique([*found, *(_package(text, debs) for text in installed.packages)])


def unique(found: Iterable[Descriptor]) -> tuple[Descriptor, ...]:
    """Sorted by what they say, each once."""
    return tuple(dict(sorted((canonical(item), item) for item in found)).values())


def _specification(plan: Plan) -> Iterator[Descriptor]:
    if plan.specification:
        yield Descriptor(
            name=file_name(plan.file), digest={"sha256": plan.specification}, annotations={"role": "specification"}
        )


def file_name(path: str) -> str:
    """The last part of a path: where somebody's home is, is nobody's business."""
    return path.rpartition("/")[2]


def _inputs(plan: Plan) -> Iterator[Descriptor]:
    for position, action in enumerate(plan.actions):
        match action.step.action:
            case model.Source(path=path) if path:
                yield from _folder(action, plan.checkouts.get(str(position)))
            case model.Source(git=url, ref=ref) if url:
                commit = {"gitCommit": str(action.inputs["source"])}
                yield Descriptor(name=action.step.name, uri=_git_uri(url, ref), digest=commit, annotations=_SOURCE)
            case model.Source(url=url, sha256=sha256) | model.Fetch(url=url, sha256=sha256):
                yield Descriptor(uri=_uri(url), digest={"sha256": sha256}, annotations=_SOURCE)
            case model.Custom(name=name):
                yield Descriptor(
                    name=f".contractor/actions/{name}",
                    digest={"sha256": str(action.inputs["executable"])},
                    annotations={"role": "custom action"},
                )
        if is_digest(action.artifact) and _is_given(action):
            yield Descriptor(digest={"sha256": action.artifact}, annotations={"role": "artifact"})


_SOURCE = {"role": "source"}


def _is_given(action: Action) -> bool:
    """Whether the artifact was named by its digest, and not by the step that makes it."""
    match action.step.action:
        case model.UnpackArtifact(digest=given) | model.CreateSystree(artifact=given):
            return is_digest(given)
    return False


def _folder(action: Action, checkout: Checkout | None) -> Iterator[Descriptor]:
    """A folder's archive; of a git checkout also the commit, and how far the folder is from it."""
    name = action.step.name
    yield Descriptor(name=name, digest={"sha256": str(action.inputs["source"])}, annotations=_SOURCE)
    if checkout is None:
        return
    state: dict[str, object] = {"role": "commit", "folder": checkout.folder, "dirty": checkout.changed > 0}
    if checkout.changed:
        state |= {"changedFiles": checkout.changed, "patchSha256": checkout.patch}
    uri = _git_uri(checkout.url, checkout.commit)
    yield Descriptor(name=name, uri=uri, digest={"gitCommit": checkout.commit}, annotations=state)


def _bases(plan: Plan, results: Results, installed: _Installed) -> Iterator[Descriptor]:
    """A base is its artifact; what was installed into it counts as the build's."""
    for name, base in plan.bases.items():
        result = results.read(base_artifact(base).key)
        made = result.artifact if result is not None else None  # gone, when all that was made of it is still there
        if result is not None:
            installed.packages.update(result.packages)
            installed.fetches.extend(result.fetches)
        yield Descriptor(
            name=name,
            uri=f"urn:contractor:base:{quote(name)}",
            digest={"sha256": made.digest} if made is not None else {},
            annotations={"role": "base", "plan": base.digest},
        )
        yield from _inputs(base)
        yield from _bases(base, results, installed)


def _is_material(fetch: Fetch) -> bool:
    """What the build was given: with its digest, but for a tunnel, whose bytes nobody saw."""
    known = fetch.method == "CONNECT" or (fetch.status == 200 and bool(fetch.sha256))
    return known and fetch.verdict == "allowed"


def _fetched(fetch: Fetch) -> Descriptor:
    if fetch.method == "CONNECT":  # what went through TLS has no digest
        host = fetch.url.removesuffix(":443")
        return Descriptor(uri=f"https://{quote(host, safe=':.[]-')}", annotations={"role": "tunnel"})
    return Descriptor(uri=_uri(fetch.url), digest={"sha256": fetch.sha256}, annotations={"role": "fetch"})


def _package(text: str, debs: dict[tuple[str, ...], Fetch]) -> Descriptor:
    """name:arch=version as a package URL, with the digest of the file that it was installed from, when it is known."""
    name, _, rest = text.partition(":")
    arch, _, version = rest.partition("=")
    uri = f"pkg:deb/debian/{quote(name)}@{quote(version, safe=':')}?arch={quote(arch)}"
    fetch = debs.get((name, version.partition(":")[2] or version, arch))
    if fetch is None:
        return Descriptor(uri=uri)
    return Descriptor(uri=uri, digest={"sha256": fetch.sha256}, downloadLocation=_uri(fetch.url))


def _uri(url: str) -> str:
    """A URL without credentials, its scheme and host in small letters (RFC 3986, section 6.2.2.1)."""
    if _PLAIN.match(url):
        return url
    parts = urlsplit(redact(url).replace("//***@", "//", 1))
    return quote(parts._replace(netloc=parts.netloc.lower()).geturl(), safe=":/?#[]@!$&'()*+,;=%-._~")


def _git_uri(url: str, ref: str) -> str:
    """As SPDX names a download from git: git+https://host/path@reference; a path has no URI of its own."""
    return f"git+{_uri(url)}@{quote(ref, safe='/')}" if "://" in url else ""
