"""Whatever sequence of things steps do to a workspace: every state saved between them comes back as it was."""

from __future__ import annotations

import os
import tempfile
from pathlib import Path

from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, precondition, rule
from statechain import ROOT, Chain, listing, opened

from contractor.core.errors import Broken
from contractor.store.remove import remove_tree
from contractor.store.scan import settle

NAMES = st.sampled_from([b"a", b"b", b"c\nd", b"\xff\xfe", b"e f"])
MODES = st.sampled_from([0o644, 0o000, 0o755, 0o400, 0o4755, 0o2750])
DATA = st.one_of(st.binary(max_size=40), st.integers(60_000, 150_000).map(lambda n: b"%d" % n * (n // 5)))


class Steps(RuleBasedStateMachine):
    """What build steps do to a workspace, with states saved between; in the end every prefix comes back."""

    @initialize()
    def start(self) -> None:
        self.chain = Chain(Path(tempfile.mkdtemp()))
        self.chain.save()

    def paths(self, *, directories: bool = False) -> list[bytes]:
        top = os.fsencode(self.chain.work)
        found = [top] if directories else []
        for where, below, files in os.walk(top):
            found += [where + b"/" + name for name in (below if directories else below + files)]
        usable = os.W_OK | os.X_OK
        found = [p for p in found if os.access(os.path.dirname(p), usable)]  # for an ordinary user
        if directories:
            found = [p for p in found if not os.path.islink(p) and os.access(p, usable)]
        return sorted(found)

    def pick(self, data: st.DataObject, *, directories: bool = False) -> bytes | None:
        paths = self.paths(directories=directories)
        return data.draw(st.sampled_from(paths)) if paths else None

    def free(self, data: st.DataObject, name: bytes) -> bytes | None:
        where = self.pick(data, directories=True)
        return None if where is None or os.path.lexists(where + b"/" + name) else where + b"/" + name

    @rule(data=st.data(), name=NAMES, content=DATA, mode=MODES)
    def create(self, data, name, content, mode):
        if path := self.free(data, name):
            Path(os.fsdecode(path)).write_bytes(content)
            os.chmod(path, mode)

    @rule(data=st.data(), name=NAMES)
    def directory(self, data, name):
        if path := self.free(data, name):
            os.mkdir(path)

    @rule(data=st.data(), name=NAMES, hole=st.integers(1, 300_000), content=DATA)
    def sparse(self, data, name, hole, content):
        if path := self.free(data, name):
            with open(path, "wb") as f:
                f.seek(hole)
                f.write(content)
                f.truncate(hole * 3 + len(content))

    @rule(data=st.data(), content=DATA, same_times=st.booleans())
    def overwrite(self, data, content, same_times):
        path = self.pick(data)
        if path and os.path.isfile(path) and not os.path.islink(path) and os.access(path, os.W_OK):
            was = os.stat(path)
            with open(path, "r+b") as f:
                f.write(content)
            if same_times:
                os.utime(path, ns=(was.st_atime_ns, was.st_mtime_ns))

    @rule(data=st.data(), name=NAMES, to=NAMES)
    def link(self, data, name, to):
        if path := self.free(data, name):
            os.symlink(to, path)

    @rule(data=st.data(), name=NAMES)
    def hard_link(self, data, name):
        source, path = self.pick(data), self.free(data, name)
        if source and path and not (os.path.isdir(source) and not os.path.islink(source)):
            os.link(source, path, follow_symlinks=False)

    @rule(data=st.data(), name=NAMES)
    def fifo(self, data, name):
        if path := self.free(data, name):
            os.mkfifo(path)

    @rule(data=st.data(), name=NAMES)
    def rename(self, data, name):
        source, path = self.pick(data), self.free(data, name)
        if source and path and not path.startswith(source + b"/"):
            try:
                os.rename(source, path)
            except PermissionError:
                assert not ROOT

    @rule(data=st.data())
    def swap(self, data):
        one, two = self.pick(data), self.pick(data)
        if one and two and not (two + b"/").startswith(one + b"/") and not (one + b"/").startswith(two + b"/"):
            spare = os.fsencode(tempfile.mktemp(dir=self.chain.work))  # an ordinary user may get no further than here
            try:
                os.rename(one, spare)
                os.rename(two, one)
                os.rename(spare, two)
            except PermissionError:
                assert not ROOT

    @rule(data=st.data(), mode=MODES)
    def chmod(self, data, mode):
        path = self.pick(data)
        if path and not os.path.islink(path):
            os.chmod(path, mode)

    @rule(data=st.data(), when=st.integers(0, 2**61))
    def touch(self, data, when):
        if path := self.pick(data):
            os.utime(path, ns=(when, when), follow_symlinks=False)

    @rule(data=st.data(), value=st.binary(max_size=9))
    def attribute(self, data, value):
        path = self.pick(data)
        if path and not os.path.islink(path) and os.path.isfile(path) and os.access(path, os.W_OK):
            os.setxattr(path, "user.x", value)

    @rule(data=st.data())
    def remove(self, data):
        path = self.pick(data)
        if path:
            where = opened(Path(os.fsdecode(os.path.dirname(path))))
            try:
                remove_tree(where, os.path.basename(path))
            except Broken:
                assert not ROOT
            os.close(where)

    @precondition(lambda self: ROOT)
    @rule(data=st.data(), owner=st.integers(0, 3))
    def chown(self, data, owner):
        if path := self.pick(data):
            os.chown(path, owner, owner + 1, follow_symlinks=False)

    @rule(at_rest=st.booleans())
    def save(self, at_rest):
        if at_rest:  # long enough for nothing to be racy: only then are moved inodes known again
            settle()
        self.chain.save()

    def teardown(self) -> None:
        if not hasattr(self, "chain"):
            return
        try:
            self.chain.save()
            for count in range(1, len(self.chain.names) + 1):
                got = self.chain.restore(count)
                assert listing(got) == self.chain.seen[count - 1]
        finally:
            self.chain.close()


TestSteps = Steps.TestCase
TestSteps.settings = settings(
    max_examples=60, stateful_step_count=25, deadline=None, suppress_health_check=list(HealthCheck), database=None
)
