"""A whole build on a builder: files there, build, log, results here and checked, builder clean again."""

from __future__ import annotations

from typing import Any, NamedTuple

from contractor.buildd.client.answers import Presence, Status
from contractor.buildd.client.builder import TIMEOUT, Builder, Fault
from contractor.buildd.client.files import LOG
from contractor.buildd.client.folder import Folder
from contractor.buildd.client.link import Lost
from contractor.buildd.client.results import End, take
from contractor.buildd.client.watch import PATIENCE, Watch, Watcher
from contractor.buildd.model import BuilderState, BuildStatus
from contractor.core.errors import Broken, ContractorError, Rejected, Unavailable
from contractor.core.values import Value

ABORT_PATIENCE = 180.0  # seconds, as Launchpad's manager waits
_DISPATCHES = 3


class Upload(NamedTuple):
    """A file that the builder must have. url None: it should be there already. what: how people call it."""

    name: str
    url: str | None
    what: str = ""
    user: str = ""
    password: str = ""


class Wish(Value, frozen=True):
    """What build() is told. files: name in the build -> name in the cache."""

    build: str
    tag: str
    image: str
    files: dict[str, str]
    arguments: dict[str, Any]


def send(builder: Builder, uploads: list[Upload], watcher: Watcher) -> None:
    """Have the builder fetch what it does not have; raises Broken, Rejected when it cannot."""
    for upload in uploads:

        def ensure(url: str | None, upload: Upload = upload) -> Presence:
            return builder.patiently(lambda: _ensure(builder, upload, url), TIMEOUT)

        if ensure(None).present:
            if upload.url is not None:
                watcher.say(f"the builder has {upload.what} already")
            continue
        if upload.url is None:
            raise Rejected(
                f"the builder at {builder.url} does not have {upload.name}",
                hint="give the file itself with --image, or where it can be fetched with --image-url",
            )
        watcher.say(f"the builder fetches {upload.what}")
        found = ensure(upload.url)
        if not found.present:
            raise Broken(f"the builder could not fetch {upload.what}", details=(found.info,), hint=_SEND_HINT)


def _ensure(builder: Builder, upload: Upload, url: str | None) -> Presence:
    return builder.ensure_present(upload.name, url, upload.user, upload.password)


_SEND_HINT = "can it reach this machine? --offer ADDRESS[:PORT] names another address, --image-url another server"


class Run:
    """One build. folder: where the log and the results go."""

    def __init__(
        self, builder: Builder, wish: Wish, folder: Folder, watcher: Watcher, patience: float = PATIENCE
    ) -> None:
        self._builder = builder
        self._wish = wish
        self._folder = folder
        self._watcher = watcher
        self._patience = patience
        self._asked = False  # the builder may have the build

    def run(self, *, clean: bool = True) -> End:
        """Raises KeyboardInterrupt when the build was aborted because the caller's tick raised it, and what else may
        go wrong; where results may be lost by it, the builder is not cleaned."""
        log = ""
        with self._folder.growing() as file:
            watch = Watch(self._builder, self._wish.build, self._watcher, file, self._patience)
            try:
                self._start()
                status = watch.until_end()
            except KeyboardInterrupt:
                if not self._asked:
                    raise
                status = self._abort(watch)
            except Lost:
                self._left("the build may go on there")
                raise
            finally:
                if file.size:
                    file.publish(LOG)
                    log = f"{self._folder.path}/{LOG}"
        end = take(self._builder, status, self._folder, log, self._watcher)
        if clean:
            clean_up(self._builder)
        else:
            self._left("it was not cleaned, as asked")
        return end

    def _left(self, why: str) -> None:
        self._watcher.say(f"{why}: `contractor buildd fetch {self._builder.url}`, then `clean`")

    def _start(self) -> None:
        """Raises Unavailable when the builder is not free, or does not know the type; Broken, Rejected, Lost."""
        for attempt in range(_DISPATCHES):
            require_idle(self._builder)
            if self._dispatch(last=attempt == _DISPATCHES - 1):
                return
            self._builder.sleep(1)

    def _dispatch(self, *, last: bool) -> bool:
        """Ask for the build; False when the question was lost. An answer that was lost may still mean that it runs."""
        wish = self._wish
        self._asked = True
        try:
            state, text = self._builder.build(wish.build, wish.tag, wish.image, wish.files, wish.arguments)
        except Fault as fault:
            raise self._refused(fault) from None
        except Lost as lost:
            if not lost.sent and last:
                raise
            status = self._builder.patiently(self._builder.status, self._patience)
            if status.build == wish.build and not status.is_idle:
                self._watcher.say("the answer to build() was lost, but the builder has the build")
                return True
            if last:
                raise
            return False
        if state == "UNKNOWNBUILDER":
            raise Unavailable(f"the builder does not build {wish.tag}", details=(text,), hint=_TYPES_HINT)
        if state != BuilderState.BUILDING:
            raise Broken(f"the builder did not begin: {state}", details=tuple(text.splitlines()[:3]), hint=_SUM_HINT)
        self._watcher.say(f"the builder builds {wish.build}")
        return True

    def _refused(self, fault: Fault) -> ContractorError:
        """What a fault of build() means: launchpad-buildd tells nobody."""
        from contractor.buildd.arguments_check import check

        status = self._builder.status()
        details: list[str] = []
        hint = "is an argument missing? what a build type needs is in the builder's documentation"
        try:
            check(self._wish.tag, self._wish.arguments, self._wish.files, "any")
        except Rejected as found:
            details += found.details
            hint = "mend these arguments: --arg NAME=VALUE"
        except KeyError:
            pass
        if status.build == self._wish.build and not status.is_idle:
            details.append(f"it says that it is {status.words} all the same")
            hint = "launchpad-buildd hangs then: `contractor buildd abort`, or restart it"
        return Rejected(fault.message, details=tuple(details), hint=hint)

    def _abort(self, watch: Watch) -> Status:
        """Stop the build, on the builder; its status when it has ended. A second Ctrl-C ends the waiting."""
        builder = self._builder
        builder.tick = lambda: None
        before = builder.patiently(builder.status, self._patience)
        if before.build != self._wish.build or before.is_idle:
            self._watcher.say("nothing was begun")
            raise KeyboardInterrupt
        self._watcher.say(
            f"aborting {self._wish.build} on the builder, which may take two minutes; Ctrl-C: do not wait"
        )
        try:
            ask_abort(builder, self._wish.build, self._patience)
            status = watch.until_end(ABORT_PATIENCE)
        except KeyboardInterrupt:
            self._left("not waited for")
            raise
        if status.state is not BuilderState.WAITING:
            self._left(f"after {ABORT_PATIENCE:g} s it is still {status.state.value}")
            raise KeyboardInterrupt
        if status.ended is not BuildStatus.ABORTED:
            self._watcher.say(f"{self._wish.build} ended before it was aborted")
        return status


_TYPES_HINT = "`contractor buildd info` lists what it builds"
_SUM_HINT = "the file went out of the builder's cache meanwhile: try again"


def require_idle(builder: Builder) -> None:
    """Raises Unavailable when the builder has something to do."""
    status = builder.status()
    if not status.is_idle:
        raise Unavailable(
            f"the builder at {builder.url} is not free: it is {status.words}",
            hint=f"`contractor buildd fetch {builder.url}` and `clean`, when that build is yours; or wait",
        )


def ask_abort(builder: Builder, build: str, patience: float) -> None:
    """Ask for an abort; a build that has ended by itself meanwhile is fine. Raises Fault, Lost."""
    try:
        builder.patiently(builder.abort, patience)
    except Fault:
        status = builder.patiently(builder.status, patience)
        if status.build == build and status.state is BuilderState.BUILDING:
            raise


def clean_up(builder: Builder, patience: float = PATIENCE) -> None:
    """Make a builder free again, also when the first answer is lost. Raises Fault, Lost."""
    try:
        builder.patiently(builder.clean, patience)
    except Fault:
        if not builder.patiently(builder.status, patience).is_idle:
            raise
