"""From the arguments to a command that is ready to run.

Only the module of the command that was typed is imported, so that ``gmmseg --help`` needs
neither NumPy nor anything that takes longer.
"""

from __future__ import annotations

import sys
from argparse import ArgumentParser, Namespace, RawDescriptionHelpFormatter
from collections.abc import Callable, Sequence
from functools import partial
from importlib import import_module
from inspect import cleandoc

import gmmseg
from gmmseg.cli.config import configured
from gmmseg.cli.startup import load_ahead, one_thread_of_blas

__all__ = ["COMMANDS", "command_parser", "parse"]

#: Every command is the module of its name: `add_arguments(parser)` and `run(args) -> int`.
COMMANDS = {
    "segment": "segment images into k classes: label maps, overlays, soft masks",
    "batch": "segment many images in several processes, and go on after a crash",
    "tissue": "cerebrospinal fluid, grey and white matter of a head, with volumes",
    "apply": "label images by a model: a label means the same in all of them",
    "fit": "fit one model to many images",
    "anomaly": "find what does not fit in images or tables",
    "cluster": "cluster the rows of tables",
    "select": "compare numbers of classes by BIC, AIC, ICL",
    "info": "what an image or a model file holds",
    "describe": "classes of a model: spreads, correlations, axes, overlaps",
    "export": "label maps to COCO, contours, masks, polygons, tables of areas",
    "convert": "models to and from OpenCV, GRASS, ArcGIS",
    "report": "a page to look at, of a folder that batch wrote",
    "plot": "draw a model: histograms, ellipses, how the fit went",
    "sample": "draw rows from a model",
    "doctor": "look whether this installation is sound",
    "completion": "print what makes a shell complete commands and options",
    "warmup": "compile the kernels now, so that no later run has to wait",
}

#: Those that hardly ever do without kernels.
_COMPUTING = {"segment", "apply", "fit", "anomaly", "cluster", "select", "tissue"}

#: Those of images, which have few bands: tables may have columns enough for threads of BLAS.
_SMALL_MATRICES = {"segment", "batch", "tissue", "apply", "fit", "select"}

_USAGE = 2

#: Options whose value may be left out, and the values that they take.
_OPTIONAL_VALUES = {
    "--probabilities": ("tif", "npz", "png"),
    "--posteriors": ("tif", "npz", "png"),
}

#: Options whose value, a number, may be left out, and what then stands for it.
_OPTIONAL_NUMBERS = {"--bias": "usual"}


def parse(argv: Sequence[str]) -> tuple[Callable[[Namespace], int], Namespace]:
    """The command that `argv` asks for, and its arguments.

    Help, version and wrong usage end in `SystemExit`.
    """
    if not argv:
        _top_parser().print_help(sys.stderr)
        raise SystemExit(_USAGE)
    if argv[0] not in COMMANDS:
        top = _top_parser()
        top.parse_args(argv)
        top.error(f"the command comes first: gmmseg {{{','.join(COMMANDS)}}} ...")
    name, *rest = argv
    if name in _SMALL_MATRICES:
        one_thread_of_blas()
    if name in _COMPUTING:
        load_ahead()
    parser = command_parser(name)
    makers = {command: partial(command_parser, command) for command in COMMANDS}
    words = configured(name, parser, rest, makers) + _plain(rest)
    args = parser.parse_intermixed_args(words)
    return import_module(f"gmmseg.cli.{name}").run, args


def command_parser(name: str, *, add_help: bool = True) -> ArgumentParser:
    """The parser of one command."""
    command = import_module(f"gmmseg.cli.{name}")
    parser = ArgumentParser(
        prog=f"gmmseg {name}",
        description=cleandoc(command.__doc__ or ""),
        formatter_class=RawDescriptionHelpFormatter,
        allow_abbrev=False,
        add_help=add_help,
    )
    command.add_arguments(parser)
    return parser


def _top_parser() -> ArgumentParser:
    listed = "\n".join(f"  {name:10} {summary}" for name, summary in COMMANDS.items())
    parser = ArgumentParser(
        prog="gmmseg",
        usage="gmmseg COMMAND ...",
        description="Image segmentation by Gaussian mixtures fitted by EM.\n\n"
        f"commands:\n{listed}\n\nexample:\n  gmmseg segment photo.jpg -k 3",
        epilog="gmmseg COMMAND --help tells the options of a command.",
        formatter_class=RawDescriptionHelpFormatter,
        allow_abbrev=False,
    )
    parser.add_argument("command", choices=COMMANDS, metavar="COMMAND", help="one of the above")
    parser.add_argument("--version", action="version", version=f"gmmseg {gmmseg.__version__}")
    return parser


def _plain(arguments: Sequence[str]) -> list[str]:
    """The same arguments without what argparse would take amiss.

    - All operands are paths, so that what follows ``--`` can be written as one that does not look
      like an option; argparse before 3.13 cannot mix options and operands with ``--``.
    - It takes ``-3.4e38`` for an option, and any word for the value of an option whose value
      may be left out.
    """
    end = arguments.index("--") if "--" in arguments else len(arguments)
    plain: list[str] = []
    for word in arguments[:end]:
        before = plain[-1] if plain else ""
        if before in _OPTIONAL_VALUES and word not in _OPTIONAL_VALUES[before]:
            plain[-1] = f"{before}={_OPTIONAL_VALUES[before][0]}"
            plain.append(word)
        elif before in _OPTIONAL_NUMBERS and not _is_number(word):
            plain[-1] = f"{before}={_OPTIONAL_NUMBERS[before]}"
            plain.append(word)
        elif before.startswith("--") and "=" not in before and _is_negative_number(word):
            plain[-1] = f"{before}={word}"
        else:
            plain.append(word)
    return plain + [_as_operand(word) for word in arguments[end + 1 :]]


def _is_number(word: str) -> bool:
    try:
        float(word)
    except ValueError:
        return False
    return True


def _is_negative_number(word: str) -> bool:
    return word.startswith("-") and _is_number(word)


def _as_operand(word: str) -> str:
    return f"./{word}" if word.startswith("-") and word != "-" else word
