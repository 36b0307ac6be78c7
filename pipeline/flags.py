"""The fields of a config dataclass in, the flags of a command line out, and the config back.

    threshold: Annotated[float | None, Flag("X")] = None
    '''Score from which a label is given, 0 to 1; the model's own if not given.'''

is `--threshold X`: default, choices and help stand once, beside the field. The type says how a text
is read, the docstring under the field is the help, and `Flag` says what neither of them can. A text
in the annotation, `Annotated[Count, "limits"]`, is the title above the flag in --help. Only the
standard library is imported here, and nothing of ours: `--help` may not wait for torch or Ray.
"""

from __future__ import annotations

import ast
import inspect
import types
from argparse import (
    ArgumentParser,
    ArgumentTypeError,
    BooleanOptionalAction,
    _ActionsContainer,
)
from collections.abc import Callable, Collection, Iterator, Mapping
from dataclasses import MISSING, dataclass, fields, is_dataclass, replace
from enum import Enum
from itertools import pairwise
from textwrap import dedent, fill, indent
from typing import Annotated, Any, Literal, TypeVar, Union, get_args, get_origin, get_type_hints

T = TypeVar("T")


@dataclass(frozen=True)
class Flag:
    """What a field's type, default and docstring do not say of its flag."""

    metavar: str | None = None
    """Stands for the value in --help, and tells whether it is a path (`jobs.harness.is_place`)."""
    parse: Callable[[str], Any] | None = None
    """How a text becomes the value; the field's type when None."""
    show: Callable[[Any], str] | None = None
    """How the default is typed; the default itself when None."""
    name: str | None = None
    """The flag; that of the field's name when None."""
    aliases: tuple[str, ...] = ()
    """Other names of the flag."""
    choices: tuple[str, ...] = ()
    """All values that there are, where the type is no Literal."""
    known: str | tuple[str, ...] = ""
    """What takes the place of `{known}` in the docstring: names that other modules list. Those of a
    tuple stand on lines of their own, so `{known}` ends the docstring."""
    is_required: bool = False
    """Whether the flag must be given although the field has a default."""
    is_hidden: bool = False
    """Whether there is no flag: only Python sets the field."""
    group: str = ""
    """Title in --help of the flags that it stands with; `_apart` takes it from the annotation."""


HIDDEN = Flag(is_hidden=True)


def share(text: str) -> float:
    """Parse '1%' or '0.01' as a share of 1."""
    try:
        value = float(text.removesuffix("%")) / (100 if text.endswith("%") else 1)
    except ValueError:
        value = -1.0
    if not 0 <= value <= 1:
        raise ArgumentTypeError(f"{text!r}: expected a share such as 1% or 0.01")
    return value


def comma_list(text: str) -> tuple[str, ...]:
    """Return the words of a text such as 'a,b', without spaces around them."""
    return tuple(word.strip() for word in text.split(",") if word.strip())


def size(text: str) -> tuple[int, int]:
    """Parse '256x128' as height and width."""
    height, _, width = text.partition("x")
    if not (height.isdecimal() and width.isdecimal() and int(height) and int(width)):
        raise ArgumentTypeError(f"{text!r}: expected HEIGHTxWIDTH, such as 256x256")
    return int(height), int(width)


Uri = Annotated[str, Flag("URI")]
"""A path, or an address such as s3://bucket/folder."""
Count = Annotated[int, Flag("N")]
Number = Annotated[float, Flag("X")]
Seconds = Annotated[float, Flag("S")]
Share = Annotated[float, Flag("SHARE", share, "{:.0%}".format)]


def words(metavar: str, known: str = "") -> Flag:
    """Return the flag of a tuple of words that are typed with commas between."""
    return Flag(metavar, comma_list, ",".join, known=known)


def described(config: type[T]) -> type[T]:
    """Add what the docstrings under a dataclass's fields say to the class's own: for `help()`."""
    docs = {name: text.split("\n") for name, text in field_docs(config).items()}
    told = [
        "\n".join([name, *(indent(fill(line, 92), "    ") for line in lines)])
        for name, lines in docs.items()
    ]
    heading = "Parameters\n----------"
    config.__doc__ = "\n".join([f"{inspect.cleandoc(config.__doc__ or '')}\n", heading, *told])
    return config


def field_docs(config: type) -> dict[str, str]:
    """Return what a dataclass's source says under each of its fields: a line, and its choices."""
    family = filter(is_dataclass, config.__mro__)
    return {name: text for one in family for name, text in _own_field_docs(one).items()}


def _own_field_docs(config: type) -> dict[str, str]:
    (tree,) = ast.parse(dedent(inspect.getsource(config))).body
    assert isinstance(tree, ast.ClassDef)
    flags = {name: flag for name, _, flag in _flags_of(config)}
    found = {}
    for field, below in pairwise(tree.body):
        match field, below:
            case ast.AnnAssign(target=ast.Name(id=name)), ast.Expr(ast.Constant(str(text))):
                known = flags[name].known
                lines = known if isinstance(known, str) else "".join(f"\n{one}" for one in known)
                found[name] = " ".join(text.split()).replace("{known}", lines)
    return found


def add_flags(
    parser: ArgumentParser,
    config: type,
    *,
    defaults: object = None,
    skip: Collection[str] = (),
    optional: Collection[str] = (),
) -> None:
    """Add a flag for every field of a dataclass, and for those of dataclasses within it.

    Parameters
    ----------
    parser
        Takes the flags.
    config
        The dataclass.
    defaults
        An instance of it whose values are the defaults; the dataclass's own when None.
    skip
        Fields that have no flag here.
    optional
        Fields without a default whose flag need not be given; it is None then.
    """
    docs, by_name = field_docs(config), {one.name: one for one in fields(config)}
    for name, kind, flag in _flags_of(config):
        if flag.is_hidden or name in skip:
            continue
        own = by_name[name].default
        given = getattr(defaults, name, None if own is MISSING else own)
        if _is_config(kind):
            add_flags(parser, kind, defaults=given, skip=skip)
            continue
        is_needed = flag.is_required or (own is MISSING and given is None)
        _group(parser, flag.group).add_argument(
            flag.name or f"--{name.replace('_', '-')}",
            *flag.aliases,
            dest=name,
            help=docs[name].removesuffix(".").replace("%", "%%"),
            **_options(kind, flag, given, own, is_required=is_needed and name not in optional),
        )


def from_flags(config: type[T], values: Mapping[str, Any], defaults: T | None = None) -> T:
    """Return the config that parsed flags make, upon the defaults that `add_flags` was given."""
    own: dict[str, Any] = {}
    for name, kind, flag in _flags_of(config):
        if _is_config(kind):
            own[name] = from_flags(kind, values, getattr(defaults, name, None))
        elif not flag.is_hidden and name in values:
            value = values[name]
            own[name] = tuple(value) if isinstance(value, list) else value
    return config(**own) if defaults is None else replace(defaults, **own)  # type: ignore[type-var]


def _group(parser: ArgumentParser, title: str) -> _ActionsContainer:
    """Return the flags of a title in --help, which are none at first; all others without one."""
    known = {group.title: group for group in parser._action_groups}
    return known.get(title) or (parser.add_argument_group(title) if title else parser)


def _is_config(kind: Any) -> bool:
    return is_dataclass(kind)


def _flags_of(config: type) -> Iterator[tuple[str, Any, Flag]]:
    """Yield the name, bare type and flag of each field; those of a base come last."""
    hints = get_type_hints(config, include_extras=True)
    for field in sorted(fields(config), key=lambda field: bool(field.kw_only)):
        yield field.name, *_apart(hints[field.name])


def _apart(hint: Any) -> tuple[Any, Flag]:
    """Return the bare type and the flag of an annotation, without `Annotated` and `| None`."""
    flag, group = Flag(), ""
    while True:
        if get_origin(hint) is Annotated:
            flag = next((one for one in hint.__metadata__ if isinstance(one, Flag)), flag)
            group = next((one for one in hint.__metadata__ if isinstance(one, str)), group)
            hint = hint.__origin__
        elif len(kinds := _kinds(hint)) == 1:
            (hint,) = kinds
        else:  # of several kinds `Flag.parse` makes one or another
            return hint, replace(flag, group=group)


def _kinds(hint: Any) -> list[Any]:
    """Return what a union is of, None left out; nothing of other types."""
    is_union = get_origin(hint) in (Union, types.UnionType)
    return [one for one in get_args(hint) if one is not types.NoneType] if is_union else []


def _options(kind: Any, flag: Flag, default: Any, own: Any, *, is_required: bool) -> dict[str, Any]:
    """Return what `add_argument` is told of a field; `own` is its default in the dataclass."""
    if kind is bool:  # argparse knows no metavar of a flag without a value
        is_on = own is None or own  # None: neither flag was given
        return {"action": BooleanOptionalAction if is_on else "store_true", "default": default}
    if default is not None and flag.show is not None:
        default = flag.show(default)  # as it is typed, for --help; argparse parses it
    options = {"default": default, "required": is_required, "metavar": flag.metavar}
    if known := flag.choices or (get_args(kind) if get_origin(kind) is Literal else ()):
        return options | {"choices": known}
    if isinstance(kind, type) and issubclass(kind, Enum):
        return options | {"type": kind, "choices": list(kind)}
    if flag.parse is None and get_origin(kind) is tuple:
        return options | {"nargs": "+", "default": default or ()}
    return options | {"type": flag.parse or kind}
