"""Unpack a hostile tar archive below a directory: nothing outside it is read, written or linked.

`tarread` says what the archive claims, this module decides whether that may be, `landing` does it through descriptors.
Directories get their mode and time at the end, deepest first, so that read-only ones can be filled. After an error the
directory holds a part of the archive, with temporary modes: throw it away.
"""

from __future__ import annotations

import errno
import os
from collections.abc import Callable
from typing import Literal

from contractor.core.errors import Broken, ContractorError, Unavailable
from contractor.core.values import Value
from contractor.store import tarformat
from contractor.store.landing import Landing, Obstacle, Parts
from contractor.store.tarformat import MAX_DEPTH, MAX_PATH, Member
from contractor.store.tarread import Stream, members, refused

_MAX_COMPONENT = 255  # bytes: Linux's NAME_MAX


class UnpackOptions(Value, frozen=True):
    """What an archive may do.

    max_bytes: of the uncompressed archive, and so of its contents. max_files: members and the directories they imply.
    max_path: bytes of a name. links: "inside" refuses symbolic links that lead out of the root (absolute ones, or more
    ".." than directories above; ".." after a name too, since that name may be a link); "any" makes them as they are.
    tree: True for a system tree: numeric owners, all mode bits, fifos, capabilities and user.* attributes are restored.
    False: no setuid, setgid, sticky or attributes. owner: (uid, gid) given to everything; None: the archive's numbers
    for a tree, else who unpacks. strip_components: leading directories that are taken off every name; a member with no
    more than those is left out. tops: of these names, the first that has something in the archive is what is unpacked,
    without that name; every other member is left out, and so are devices. bare: an archive that begins with one of
    these is unpacked as it is, without devices. Rejected when nothing has one of all these names.
    """

    max_bytes: int
    max_files: int
    max_path: int = MAX_PATH
    links: Literal["any", "inside"] = "inside"
    tree: bool = False
    owner: tuple[int, int] | None = None
    strip_components: int = 0
    tops: tuple[bytes, ...] = ()
    bare: frozenset[bytes] = frozenset()


class UnpackResult(Value, frozen=True):
    """files: members that are not directories; size: bytes of the uncompressed archive; dropped: names of attributes
    that were left out."""

    files: int
    size: int
    dropped: tuple[bytes, ...] = ()


def unpack(read: Callable[[int], bytes], root_fd: int, options: UnpackOptions) -> UnpackResult:
    """Unpack what `read` gives (uncompressed: see compress.open_archive) below root_fd, a directory's descriptor.

    A later member replaces an earlier file; a directory joins one that is there; file and directory never replace each
    other. The root keeps its own mode, owner and time. Rejected: anything wrong with the archive, with its offset.
    Unavailable: a system tree's owners or capabilities need more rights. Broken: the disk said no.
    """
    stream = Stream(read, options.max_bytes)
    with Landing(root_fd, options.owner) as landing:
        unpacker = _Unpacker(stream, landing, options)
        for member in members(stream):
            unpacker.add(member)
        unpacker.finish()
    return UnpackResult(unpacker.files, stream.offset, tuple(sorted(unpacker.dropped)))


class _Unpacker:
    def __init__(self, stream: Stream, landing: Landing, options: UnpackOptions) -> None:
        self._stream = stream
        self._landing = landing
        self._options = options
        self._mode_bits = 0o7777 if options.tree else 0o777
        self._made: set[Parts] = set()  # regular files of this archive: what a hard link may name
        self._directories: dict[Parts, Member] = {}
        self._top: Parts | None = None
        self._count = 0
        self.files = 0
        self.dropped: set[bytes] = set()

    def add(self, member: Member) -> None:
        options = self._options
        self._count += 1
        if self._count + self._landing.implied > options.max_files:
            raise refused(f"it has more than {options.max_files} members", member.offset, member.name)
        parts = checked_parts(member.name, member, options.max_path)
        if not parts and member.kind != tarformat.DIRECTORY:
            raise refused("only a directory can be the root", member.offset, member.name)
        parts = self._inside(parts)
        if not parts or (options.tops and member.kind in (tarformat.CHARACTER, tarformat.BLOCKDEV)):
            return
        try:
            self._place(member, parts)
        except Obstacle as obstacle:
            raise refused(str(obstacle), member.offset, member.name) from obstacle
        except OSError as error:
            raise _failure(member, error, tree=self._options.tree) from error
        self.files += member.kind != tarformat.DIRECTORY

    def _inside(self, parts: Parts) -> Parts:
        """The name below what is unpacked; () for what is not."""
        if not self._options.tops:
            return parts[self._options.strip_components :]
        if self._top is None and parts and parts[0] in self._options.tops:
            self._top = parts[:1]
        elif self._top is None and parts and parts[0] in self._options.bare:
            self._top = ()
        if self._top is None or parts[: len(self._top)] != self._top:
            return ()
        return parts[len(self._top) :]

    def finish(self) -> None:
        """Directories last and deepest first: what is below needs them writable, and would change their times."""
        if self._options.tops and self._top is None:
            names = " nor ".join(f"{top.decode()}/" for top in self._options.tops)
            raise refused(f"it has neither {names}" if len(self._options.tops) > 1 else f"it has no {names}", 0)
        for parts in sorted(self._directories, reverse=True):
            member = self._directories[parts]
            try:
                self._finish_open(self._landing.enter(parts), member)
            except Obstacle as obstacle:
                raise refused(str(obstacle), member.offset, member.name) from obstacle
            except OSError as error:
                raise _failure(member, error, tree=self._options.tree) from error

    def _place(self, member: Member, parts: Parts) -> None:
        kind = member.kind
        if kind == tarformat.FILE:
            self._place_file(member, parts)
        elif kind == tarformat.DIRECTORY:
            self._landing.directory(parts)
            self._directories[parts] = member
        elif kind == tarformat.SYMLINK:
            self._check_target(member, parts)
            self._made.discard(parts)
            self._finish_named(self._landing.symlink(parts, member.link), parts[-1], member)
        elif kind == tarformat.LINK:
            target = self._inside(checked_parts(member.link, member, self._options.max_path))
            if target not in self._made or target == parts:
                raise refused(f"no earlier file is named {member.link[:200]!r}", member.offset, member.name)
            self._landing.link(parts, target)
            self._made.add(parts)
        elif kind == tarformat.FIFO and self._options.tree:
            self._made.discard(parts)
            self._finish_named(self._landing.fifo(parts), parts[-1], member)
        else:  # a 0:0 character device would be a whiteout to overlayfs, and needs no rights
            raise refused("devices and fifos are not allowed", member.offset, member.name)

    def _place_file(self, member: Member, parts: Parts) -> None:
        fd = self._landing.file(parts)
        try:
            for view in self._stream.pieces(member.size):
                written = os.write(fd, view)
                while written < len(view):
                    written += os.write(fd, view[written:])
            self._finish_open(fd, member)
        finally:
            os.close(fd)
        self._made.add(parts)

    def _finish_open(self, fd: int, member: Member) -> None:
        """Owner, mode, attributes, time, in this order: each of the first three can undo what follows it."""
        owner = self._owner(member)
        if owner is not None:
            os.fchown(fd, *owner)
        os.fchmod(fd, member.mode & self._mode_bits)
        for name, value in member.xattrs.items():
            if self._options.tree and tarformat.kept_xattr(name) and b"\0" not in name:
                os.setxattr(fd, name, value)
            else:
                self.dropped.add(name)
        os.utime(fd, ns=(member.mtime, member.mtime))

    def _finish_named(self, parent: int, name: bytes, member: Member) -> None:
        """The same for what must not be opened: a link, or a fifo. A link's mode is the kernel's business."""
        owner = self._owner(member)
        if owner is not None:
            os.chown(name, *owner, dir_fd=parent, follow_symlinks=False)
        if member.kind == tarformat.FIFO:
            os.chmod(name, member.mode & self._mode_bits, dir_fd=parent)
        self.dropped.update(member.xattrs)
        os.utime(name, ns=(member.mtime, member.mtime), dir_fd=parent, follow_symlinks=False)

    def _owner(self, member: Member) -> tuple[int, int] | None:
        if self._options.owner is None and self._options.tree:
            return member.uid, member.gid
        return self._options.owner

    def _check_target(self, member: Member, parts: Parts) -> None:
        """Refuse a symbolic link that is none, or that leads outside.

        ".." is fine at the start only: there it climbs real directories, for no member lies below a link. After a name
        it would climb from wherever that name leads. So, by induction, a chain of such links stays inside.
        """
        target = member.link
        if not target or b"\0" in target or len(target) >= MAX_PATH:
            raise refused("its target is empty or too long", member.offset, member.name)
        if self._options.links == "any":
            return
        steps = [step for step in target.split(b"/") if step not in (b"", b".")]
        climbs = steps.count(b"..")
        if target.startswith(b"/") or climbs >= len(parts) or b".." in steps[climbs:]:
            raise refused(f"it links to {target[:200]!r}, which leads outside", member.offset, member.name)


def checked_parts(name: bytes, member: Member, max_path: int) -> Parts:
    """The components of a member's name, or of a hard link's target; () for the root. Rejected: anything but plain."""
    if len(name) > max_path:
        raise refused(f"a name of more than {max_path} bytes", member.offset, name)
    if b"\0" in name:
        raise refused("a name with a NUL", member.offset, name)
    plain = name.removeprefix(b"./")
    if member.kind == tarformat.DIRECTORY:
        plain = plain.removesuffix(b"/")
        if name in (b".", b"./"):
            return ()
    parts = tuple(plain.split(b"/"))
    if len(parts) > MAX_DEPTH:
        raise refused(f"a name with more than {MAX_DEPTH} directories", member.offset, name)
    for part in parts:
        if part in (b"", b".", b"..") or len(part) > _MAX_COMPONENT:
            raise refused(f"{part[:40]!r} in a name: absolute, climbing, empty or too long", member.offset, name)
    return parts


def _failure(member: Member, error: OSError, *, tree: bool) -> ContractorError:
    """Whose turn it is: the archive asks for what cannot be, this machine may not do it, or its disk said no."""
    if error.errno in (errno.ERANGE, errno.E2BIG, errno.ENAMETOOLONG):
        return refused(
            f"a name or an attribute is too long for this file system: {error.strerror}", member.offset, member.name
        )
    what = f"cannot unpack {member.name[:200]!r}: {error.strerror}"
    if error.errno == errno.EPERM or (tree and error.errno == errno.EINVAL):  # chown to a number that is not mapped
        return Unavailable(what, hint="owners and capabilities need root, or root of a user namespace that maps them")
    return Broken(what)
