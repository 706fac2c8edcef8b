"""A person's keys on disk: the own private ones, the one that signs, and the public ones of others that are trusted.

    <folder>/keys/NAME.pem      a private key: 0600, in a folder that is 0700
    <folder>/keys/NAME.pub      its public key, in the trust file's form
    <folder>/keys/default       the name of the key that signs
    <folder>/trusted-keys       the trust file: public keys of others (keys.py has its form)

<folder> is $XDG_CONFIG_HOME/contractor. Own keys are trusted without being in the trust file. What others could read
(a private key) or write (anything here) is refused, never used with a warning.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import re
import stat
import time
from collections.abc import Iterator, Sequence

from contractor.core.errors import Broken, Rejected
from contractor.proof.keys import (
    PublicKey,
    by_id,
    parse,
    private_text,
    public_text,
    read_private,
    require_day,
    require_name,
)
from contractor.proof.signing import Signer

_LARGEST = 1 << 20  # bytes of a key file or a trust file
_SECRET, _OWN, _GIVEN = 0o077, 0o022, 0  # mode bits that a file must not have


class Keyring:
    """Nothing is read, made or checked before it is asked for."""

    def __init__(self, folder: str) -> None:
        self.folder = folder
        self.keys = f"{folder}/keys"
        self.trust_file = f"{folder}/trusted-keys"

    def own(self) -> list[PublicKey]:
        """The own keys, by name."""
        try:
            names = sorted(name[:-4] for name in os.listdir(self.keys) if name.endswith(".pem") and name[0] != ".")
        except FileNotFoundError:
            return []
        except OSError as error:
            raise Rejected(f"{self.keys} cannot be read: {error.strerror}") from error
        self._require_private_folder()
        return [self._public(name) for name in names]

    def others(self) -> list[PublicKey]:
        """The keys of the trust file."""
        return read_keys(self.trust_file, own=True) if os.path.lexists(self.trust_file) else []

    def trusted(self) -> dict[str, PublicKey]:
        """Every trusted key by id: the own ones, and those of the trust file."""
        return by_id([*self.others(), *self.own()])

    def default(self) -> str:
        """The name of the key that signs; "" when there is none yet. Rejected when it cannot be told."""
        try:
            with open(f"{self.keys}/default", encoding="ascii") as file:
                name = file.read(1000).strip()
        except FileNotFoundError:
            names = [key.name for key in self.own()]
            if len(names) > 1:
                raise Rejected(
                    f"no key is chosen to sign, of {', '.join(names)}", hint=f"contractor keys use {names[0]}"
                ) from None
            return names[0] if names else ""
        except (OSError, UnicodeDecodeError) as error:
            raise Rejected(f"{self.keys}/default cannot be read") from error
        return require_name(name)

    def signer(self) -> Signer:
        """The key that signs; made when there is none at all."""
        name = self.default()
        if name:
            return self._load(name)
        with self._changing():
            name = self.default()  # another process may have made it meanwhile
            if name:
                return self._load(name)
            return Signer(*self._make(own_name(), use=True), made=True)

    def signer_with(self, ids: Sequence[str]) -> Signer | None:
        """The own key that has one of these ids, ready to sign; None when it is none of ours, or signs no more."""
        name = next((key.name for key in self.own() if key.id in ids and key.counts_at(_today())), None)
        return self._load(name) if name is not None else None

    def new(self, name: str, *, use: bool = False) -> PublicKey:
        """Make a key. use: it signs from now on; the first one does anyway."""
        require_name(name)
        with self._changing():
            if os.path.lexists(f"{self.keys}/{name}.pem"):
                raise Rejected(f"there is a key {name} already", hint="choose another name: a key is never replaced")
            return Signer(*self._make(name, use=use or not self.default())).key

    def use(self, name: str) -> PublicKey:
        """Let an own key sign from now on."""
        with self._changing():
            key = self._load(require_name(name)).key
            _write(f"{self.keys}/default", f"{name}\n", 0o600)
        return key

    def until(self, what: str, day: str) -> PublicKey:
        """Say until when (a day, "" for always) what a key signs counts, of an own or a trusted one."""
        import msgspec

        day = day and require_day(day)
        with self._changing():
            own, others = self.own(), self.others()
            key = find([*own, *others], what, "your keys")
            changed = msgspec.structs.replace(key, until=day)
            if key in own:
                _write(f"{self.keys}/{key.name}.pub", public_text(changed), 0o644)
            if key in others:
                self._write_trust([changed if other == key else other for other in others])
        return changed

    def trust(self, keys: Sequence[PublicKey]) -> list[PublicKey]:
        """Add keys to the trust file; returns those that were not trusted before. Rejected when a name is taken."""
        with self._changing():
            known = self.trusted()
            added = [key for key in keys if key.id not in known]
            taken = {key.name: key.id for key in known.values()}
            for key in added:
                if key.name in taken:
                    raise Rejected(
                        f"the name {key.name} is that of another trusted key",
                        details=(f"trusted: {taken[key.name]}", f"new:     {key.id}"),
                        hint="give it another name: contractor keys trust FILE --name NAME",
                    )
                taken[key.name] = key.id
            if added:
                self._write_trust([*self.others(), *added])
        return added

    def untrust(self, what: str) -> PublicKey:
        """Take a key, by name or id (or its beginning), from the trust file."""
        with self._changing():
            others = self.others()
            key = find(others, what, self.trust_file)
            self._write_trust([other for other in others if other != key])
        return key

    def _write_trust(self, keys: Sequence[PublicKey]) -> None:
        head = "# Public keys that are trusted besides your own: see `contractor keys`.\n"
        _write(self.trust_file, "\n".join([head, *map(public_text, keys)]), 0o644)

    def _make(self, name: str, *, use: bool) -> tuple[str, bytes]:
        private = os.urandom(32)  # RFC 8032, section 5.1.5
        _write(f"{self.keys}/{name}.pem", private_text(private), 0o600)
        self._public(name)
        if use:
            _write(f"{self.keys}/default", f"{name}\n", 0o600)
        return name, private

    def _load(self, name: str) -> Signer:
        self._require_private_folder()
        path = f"{self.keys}/{name}.pem"
        signer = Signer(name, read_private(_read(path, _SECRET), path))
        public = self._public(name)
        if public.data != signer.key.data:
            raise Rejected(f"{self.keys}/{name}.pub is not the public key of {path}", hint="remove the .pub file")
        if not public.counts_at(_today()):
            raise Rejected(
                f"the key {name} was valid until {public.until}: nobody would trust what it signs now",
                hint="make another: contractor keys new NAME --use; or contractor keys until NAME DAY",
            )
        return signer

    def _public(self, name: str) -> PublicKey:
        """The public key beside a private one; written when it is not there."""
        path = f"{self.keys}/{name}.pub"
        if os.path.lexists(path):
            found = _only(read_keys(path, own=True), path)
            return PublicKey(name, found.data, found.until)
        private = f"{self.keys}/{name}.pem"
        key = Signer(name, read_private(_read(private, _SECRET), private)).key
        _write(path, public_text(key), 0o644)
        return key

    def _require_private_folder(self) -> None:
        _require_mode(self.keys, os.stat(self.keys), _SECRET)

    @contextlib.contextmanager
    def _changing(self) -> Iterator[None]:
        """One process at a time; the folders are made."""
        try:
            os.makedirs(self.folder, 0o700, exist_ok=True)
            with contextlib.suppress(FileExistsError):
                os.mkdir(self.keys, 0o700)
            fd = os.open(self.keys, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        except OSError as error:
            raise _unwritable(self.keys, error) from error
        try:
            self._require_private_folder()
            fcntl.flock(fd, fcntl.LOCK_EX)
            yield
        finally:
            os.close(fd)


def _today() -> str:
    return time.strftime("%Y-%m-%d", time.gmtime())


def own_name() -> str:
    """What the first key is called: the user and the machine."""
    import pwd

    try:
        user = pwd.getpwuid(os.geteuid()).pw_name
    except KeyError:
        user = str(os.geteuid())
    user, machine = (re.sub(r"[^A-Za-z0-9._+-]", "-", text) for text in (user, os.uname().nodename))
    return require_name(f"{user}@{machine}".lstrip("@._+-")[:64] or "default")


def read_keys(path: str, *, own: bool = False) -> list[PublicKey]:
    """The public keys of a trust file, or of an exported key. own: of this folder, where nobody else may write."""
    return parse(_read(path, _OWN if own else _GIVEN), path)


def find(keys: Sequence[PublicKey], what: str, where: str) -> PublicKey:
    """The key with this name or id, or whose id begins so."""
    found = [key for key in keys if what in (key.name, key.id)] or [
        key for key in keys if len(what) >= 8 and key.id.startswith(what)
    ]
    if len(found) == 1:
        return found[0]
    names = ", ".join(key.name for key in keys) or "none"
    why = "there is no key" if not found else f"{len(found)} keys are"
    raise Rejected(f"{why} {what} in {where}", details=(f"keys: {names}",), hint="`contractor keys` lists them all")


def _only(keys: list[PublicKey], path: str) -> PublicKey:
    if len(keys) != 1:
        raise Rejected(f"{path} has {len(keys)} public keys, not one", hint="remove it: it is made anew")
    return keys[0]


def _read(path: str, forbidden: int) -> str:
    try:
        with open(path, "rb") as file:
            _require_mode(path, os.fstat(file.fileno()), forbidden)
            return file.read(_LARGEST).decode()
    except FileNotFoundError as error:
        raise Rejected(f"there is no key file {path}", hint="`contractor keys` lists the keys") from error
    except UnicodeDecodeError as error:
        raise Rejected(f"{path} is not a key file") from error
    except OSError as error:
        raise Rejected(f"{path} cannot be read: {error.strerror}") from error


def _require_mode(path: str, found: os.stat_result, forbidden: int) -> None:
    """forbidden: mode bits that must not be set; of a secret nobody else may be the owner, either."""
    mode = stat.S_IMODE(found.st_mode)
    if forbidden == _SECRET and found.st_uid != os.geteuid():
        raise Rejected(f"{path} belongs to another user", hint="each user has keys of their own")
    if forbidden == _SECRET and mode & _SECRET:
        raise Rejected(
            f"others can read {path} (its mode is {mode:04o})",
            hint=f"chmod go= {path}; if somebody may have read it, make another: contractor keys new NAME --use",
        )
    if mode & forbidden:
        raise Rejected(f"others can write {path}: what is in it cannot be trusted", hint=f"chmod go-w {path}")


def _write(path: str, text: str, mode: int) -> None:
    """Under another name first, synced, then renamed."""
    folder, _, name = path.rpartition("/")
    temporary = f"{folder}/.{name}.{os.getpid()}"
    try:
        fd = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_NOFOLLOW | os.O_CLOEXEC, mode)
        try:
            os.write(fd, text.encode())
            os.fchmod(fd, mode)
            os.fsync(fd)
        finally:
            os.close(fd)
        os.rename(temporary, path)
    except OSError as error:
        raise _unwritable(path, error) from error


def _unwritable(path: str, error: OSError) -> Broken:
    return Broken(f"{path} cannot be written: {error.strerror}", hint="keys are below $XDG_CONFIG_HOME/contractor")
