"""contractor completion: the script that teaches a shell to complete this command line."""

from __future__ import annotations

import argparse
from pathlib import Path

from contractor.cli.options import Parser
from contractor.cli.output import put

SCRIPTS = Path(__file__).parent.parent.parent / "data" / "completion"
SHELLS = ("bash", "zsh", "fish")
_INSTALL = """to have it from now on:
  bash  contractor completion bash > ~/.local/share/bash-completion/completions/contractor
        (without the package bash-completion: add the line `eval "$(contractor completion bash)"` to ~/.bashrc)
  zsh   contractor completion zsh > ~/.zfunc/_contractor
        (once, in ~/.zshrc before compinit: `fpath=(~/.zfunc $fpath)`; then `autoload -U compinit && compinit`)
  fish  contractor completion fish > ~/.config/fish/completions/contractor.fish
make the folder first where it is missing, and start a new shell"""


class _Formatter(argparse.RawDescriptionHelpFormatter):
    """Keeps the lines of the hints; of a fixed width, as all help."""

    def __init__(self, prog: str) -> None:
        super().__init__(prog, max_help_position=30, width=100)


def parser() -> Parser:
    made = Parser("completion", "Print the script that completes commands, options, steps and builds in a shell.")
    made.formatter_class = _Formatter
    made.epilog = _INSTALL
    made.add_argument("shell", choices=SHELLS, help="for which shell")
    return made


def run(argv: list[str]) -> int:
    args = parser().parse_args(argv)
    put((SCRIPTS / f"contractor.{args.shell}").read_text(encoding="utf-8").splitlines())
    return 0
