"""Print what makes a shell complete gmmseg's commands, options and files.

    gmmseg completion bash > ~/.local/share/bash-completion/completions/gmmseg
    gmmseg completion zsh > ~/.zfunc/_gmmseg        # with ~/.zfunc in fpath
    gmmseg completion fish > ~/.config/fish/completions/gmmseg.fish

Needs the extra "completion": pip install 'gmmseg[completion]'. The file does not need it: it may be
made on one machine and used on another.
"""

from __future__ import annotations

from argparse import Action, ArgumentParser, Namespace
from types import ModuleType

from gmmseg._optional import import_optional
from gmmseg.cli.console import print_lines

__all__ = ["SHELLS", "add_arguments", "run"]

SHELLS = ("bash", "zsh", "fish")

#: What stands for a file or a folder in the help.
_PATHS = frozenset(
    ("FILE", "FIGURE", "FOLDER", "IMAGE", "INPUT", "LABELS", "MODEL", "OUT", "ROWS", "TABLE")
)


def add_arguments(parser: ArgumentParser) -> None:
    """What ``gmmseg completion`` takes."""
    parser.add_argument("shell", choices=SHELLS, help="the shell that shall complete")


def run(args: Namespace) -> int:
    """Print the shell's script."""
    shtab = import_optional("shtab")
    print_lines([shtab.complete(_whole_parser(shtab), shell=args.shell)])
    return 0


def _whole_parser(shtab: ModuleType) -> ArgumentParser:
    """All commands in one parser, which the program itself never builds: it would be slow."""
    from gmmseg.cli.parser import COMMANDS, command_parser

    whole = ArgumentParser(prog="gmmseg")
    whole.add_argument("--version", action="store_true", help="the version")
    commands = whole.add_subparsers()
    for name, summary in COMMANDS.items():
        own = command_parser(name, add_help=False)
        for action in own._actions:
            if _is_path(action):
                action.complete = shtab.FILE  # type: ignore[attr-defined]
        commands.add_parser(name, help=summary, parents=[own])
    return whole


def _is_path(action: Action) -> bool:
    names = action.metavar if isinstance(action.metavar, tuple) else (action.metavar or "",)
    return any(name in _PATHS for name in names)
