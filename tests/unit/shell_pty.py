"""An interactive shell at a terminal of its own, with `contractor` completed: what a person types, and what arrives.

On its PATH, `contractor` is a script: completion goes to the real program, any other call only writes its words down.
"""

from __future__ import annotations

import os
import pty
import select
import shutil
import signal
import sys
import time
from pathlib import Path

_SCRIPT = """#!/bin/sh
case $1 in
__complete|completion) exec {python} -c 'import sys
from contractor.cli.main import run
sys.argv[0] = "contractor"
run()' "$@" ;;
esac
{{ printf '%s\\0' "$@"; }} > "$HOME/words.new"
mv "$HOME/words.new" "$HOME/words"
"""
_START = {
    "bash": ["bash", "--noprofile", "--norc", "-i"],
    "zsh": ["zsh", "-f", "-i"],
    "fish": ["fish", "--no-config", "-i"],
}
_SET_UP = {
    "bash": 'PS1="> "; eval "$(contractor completion bash)"; bind "set bell-style none"; set +H',
    "zsh": 'PS1="> "; autoload -U compinit; compinit -D -u; eval "$(contractor completion zsh)"; unsetopt BEEP',
    "fish": "function fish_prompt; echo '> '; end; contractor completion fish | source",
}
_PATIENCE = 10.0  # seconds


class Shell:
    """To be entered. home: a folder of its own, where it starts."""

    def __init__(self, kind: str, home: Path, store: str) -> None:
        self._kind = kind
        self._home = home
        program = home / "bin" / "contractor"
        program.parent.mkdir(parents=True)
        program.write_text(_SCRIPT.format(python=sys.executable))
        program.chmod(0o755)
        self._env = {
            "HOME": str(home), "PATH": f"{program.parent}:/usr/bin:/bin", "TERM": "xterm", "LC_ALL": "C.UTF-8",
            "CONTRACTOR_STORE": store, "XDG_CONFIG_HOME": f"{home}/c", "XDG_DATA_HOME": f"{home}/d",
        }  # fmt: skip

    @staticmethod
    def there(kind: str) -> bool:
        return shutil.which(kind) is not None

    def __enter__(self) -> Shell:
        self._pid, self._fd = pty.fork()
        if self._pid == 0:
            os.chdir(self._home)
            os.execvpe(_START[self._kind][0], _START[self._kind], self._env)
        self._read()
        self._type(_SET_UP[self._kind] + "\r")
        self._arrives("contractor ready\r")
        return self

    def __exit__(self, *_error: object) -> None:
        os.kill(self._pid, signal.SIGKILL)
        os.close(self._fd)
        os.waitpid(self._pid, 0)

    def completes(self, line: str) -> list[str]:
        """The words that `contractor` gets when a line is typed, completed with a tab, and sent."""
        return self._arrives(f"{line}\t\r")

    def offers(self, line: str) -> str:
        """What the terminal shows after two tabs; the line is thrown away."""
        self._type(line)
        self._read()
        self._type("\t")
        text = self._read(wait=True)
        self._type("\t")
        text += self._read(wait=True)
        self._type("\x03")
        self._read()
        return text.decode(errors="replace")

    def _arrives(self, keys: str) -> list[str]:
        words = self._home / "words"
        self._type(keys)
        until = time.monotonic() + _PATIENCE
        seen = b""
        while not words.exists():
            seen += self._read(0.01)
            assert time.monotonic() < until, f"nothing arrived: {seen!r}"
        found = words.read_bytes().decode("utf-8", "surrogateescape").split("\0")[:-1]
        words.unlink()
        self._read(0.04)  # the next prompt
        return found

    def _type(self, keys: str) -> None:
        os.write(self._fd, keys.encode())

    def _read(self, quiet: float = 0.12, *, wait: bool = False) -> bytes:
        """What comes until nothing has come for so many seconds; wait: for something, at first."""
        found = b""
        while select.select([self._fd], [], [], 1.0 if wait and not found else quiet)[0]:
            try:
                data = os.read(self._fd, 1 << 16)
            except OSError:  # the shell has gone
                break
            found += data
        return found
