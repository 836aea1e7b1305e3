"""Options from a configuration file and from the environment, as words of a command line.

They are put before the words that were typed, so that argparse checks them all alike and the last
one wins: command line over environment over file over the default.
"""

from __future__ import annotations

import os
from argparse import Action, ArgumentParser, BooleanOptionalAction
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from gmmseg._files import printable
from gmmseg.errors import InvalidParameterError

__all__ = ["CONFIG_VARIABLE", "add_config", "configured"]

#: Names the configuration file where the command line does not.
CONFIG_VARIABLE = "GMMSEG_CONFIG"

#: Before the upper-case name of an option: GMMSEG_MIN_AREA is ``--min-area``.
_PREFIX = "GMMSEG_"

_TRUTH = {"1": True, "true": True, "yes": True, "on": True}
_TRUTH |= {"0": False, "false": False, "no": False, "off": False}

_MOST_BYTES = 1 << 20

#: What belongs to one run, not to a configuration.
_NOT_CONFIGURED = frozenset(("help", "config"))


def add_config(parser: ArgumentParser) -> None:
    """The option that names the file."""
    group = parser.add_argument_group("configuration")
    group.add_argument(
        "--config",
        metavar="FILE",
        help="options from a TOML file: name = value, for all commands or in a table [segment]; "
        f"also by the variable {CONFIG_VARIABLE}. Single options by variables, as "
        "GMMSEG_MIN_AREA. The command line wins over variables, these over the file",
    )


def configured(
    command: str,
    parser: ArgumentParser,
    typed: Sequence[str],
    commands: Mapping[str, Callable[[], ArgumentParser]],
    environment: Mapping[str, str] = os.environ,
) -> list[str]:
    """Words for what the file and the environment say, to stand before those `typed`.

    Parameters
    ----------
    command : str
        The name of the command.
    parser : ArgumentParser
        Its parser.
    typed : sequence of str
        What the user typed after the command's name.
    commands : dict of callable
        What makes the parser of every command: options of others are no mistakes.
    environment : dict of str

    Raises
    ------
    InvalidParameterError
        When the file cannot be read or names an option that there is not.
    """
    if "--config" not in parser._option_string_actions:
        return []
    options = _options_of(parser)
    path = _typed_config(typed) or environment.get(CONFIG_VARIABLE)
    chosen: dict[str, Any] = {}
    if path:
        chosen |= _entries_for(command, options, _read(Path(path)), commands, printable(path))
    for name in options:
        variable = _PREFIX + name.upper()
        if variable in environment:
            chosen[name] = _value_of(options[name], environment[variable], variable)
    taken = _excluded(parser, typed)
    return [
        word
        for name, value in chosen.items()
        if options[name] not in taken
        for word in _words(options[name], name, value)
    ]


def _options_of(parser: ArgumentParser) -> dict[str, Action]:
    """The options by their names as a file has them: without dashes, with underscores."""
    return {
        string.lstrip("-").replace("-", "_"): action
        for string, action in parser._option_string_actions.items()
        if action.dest not in _NOT_CONFIGURED
    }


def _typed_config(typed: Sequence[str]) -> str | None:
    only = ArgumentParser(add_help=False, allow_abbrev=False)
    only.add_argument("--config")
    end = typed.index("--") if "--" in typed else len(typed)
    path: str | None = only.parse_known_args(list(typed[:end]))[0].config
    return path


def _read(path: Path) -> dict[str, Any]:
    import tomllib  # 3 ms

    name = printable(path)
    try:
        if path.stat().st_size > _MOST_BYTES:
            raise InvalidParameterError(f"{name} is too large for a configuration file.")
        return tomllib.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise InvalidParameterError(f"cannot read {name}: {error.strerror}.") from error
    except (tomllib.TOMLDecodeError, UnicodeDecodeError, RecursionError) as error:
        reason = printable(error) or "nested too deeply"
        raise InvalidParameterError(f"{name} is not a TOML file: {reason}.") from error


def _entries_for(
    command: str,
    options: Mapping[str, Action],
    content: Mapping[str, Any],
    commands: Mapping[str, Callable[[], ArgumentParser]],
    file: str,
) -> dict[str, Any]:
    """What the file says of this command; its own table wins over what is said for all."""
    chosen: dict[str, Any] = {}
    own: dict[str, Any] = {}
    for key, value in content.items():
        name = key.replace("-", "_")
        if isinstance(value, dict):
            if key not in commands:
                raise InvalidParameterError(
                    f"{file}: there is no command {printable(repr(key))}; "
                    f"tables are named {', '.join(commands)}."
                )
            own |= value if key == command else {}
        elif name in options:
            chosen[name] = value
        elif not any(name in _options_of(make()) for make in commands.values()):
            raise InvalidParameterError(f"{file}: there is no option {printable(repr(key))}.")
    for key, value in own.items():
        name = key.replace("-", "_")
        if name not in options:
            raise InvalidParameterError(
                f"{file}: gmmseg {command} has no option {printable(repr(key))}."
            )
        chosen[name] = value
    return chosen


def _value_of(action: Action, text: str, variable: str) -> Any:
    """The value of a variable: yes or no for what is a switch."""
    if action.nargs != 0:
        return text
    if text.strip().lower() not in _TRUTH:
        raise InvalidParameterError(
            f"{variable} must be one of {', '.join(_TRUTH)}, got {printable(repr(text))}."
        )
    return _TRUTH[text.strip().lower()]


def _excluded(parser: ArgumentParser, typed: Sequence[str]) -> set[Action]:
    """Options that may not stand beside one that was typed: what was typed wins."""
    strings = {word.partition("=")[0] for word in typed}
    return {
        action
        for group in parser._mutually_exclusive_groups
        for action in group._group_actions
        if any(strings & set(other.option_strings) for other in group._group_actions)
    }


def _words(action: Action, name: str, value: Any) -> Iterator[str]:
    string = f"--{name.replace('_', '-')}" if len(name) > 1 else f"-{name}"
    if isinstance(action, BooleanOptionalAction) and isinstance(value, bool):
        yield string if value else f"--no-{string[2:]}"
    elif action.nargs == 0 and not isinstance(value, bool):
        raise InvalidParameterError(f"{name} must be true or false, got {printable(repr(value))}.")
    elif value is True:
        yield f"{string}={action.const}" if action.nargs == "?" else string
    elif value is not False:
        text = ",".join(map(str, value)) if isinstance(value, list) else str(value)
        yield f"{string}={text}" if string.startswith("--") else f"{string}{text}"
