"""Fields of a dataclass as flags: what is typed, what comes back, what is explained."""

from argparse import ArgumentParser, ArgumentTypeError
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Annotated, Literal

import pytest

from pipeline.flags import (
    HIDDEN,
    Count,
    Flag,
    Share,
    add_flags,
    described,
    field_docs,
    from_flags,
    size,
    words,
)


class Colour(StrEnum):
    RED = "red"
    BLUE = "blue"


@dataclass(frozen=True)
class Inner:
    """Within."""

    depth: Count = 3
    """How deep."""
    unseen: Annotated[int, HIDDEN] = 7
    """Only for Python."""


@described
@dataclass(frozen=True)
class Config:
    """What to do."""

    place: Annotated[str, Flag("URI")]
    """Where to; 5% of {known}.

    More of it.
    """
    names: Annotated[tuple[str, ...], words("NAMES", "a, b")] = ("a",)
    """Some of {known}."""
    files: tuple[str, ...] = ()
    """Files, one after the other."""
    kind: Literal["x", "y"] = "x"
    """Which."""
    pool: Literal["mean", "max"] | None = None
    """Which, or none."""
    colour: Colour = Colour.RED
    """Of it."""
    least: Annotated[float | None, Flag("X", aliases=("--gate",))] = None
    """At least so much."""
    n_examples: Annotated[int, Flag("N", name="--examples")] = 6
    """So many."""
    is_plain: bool = False
    """Plainly."""
    activity: bool = True
    """Sound alone."""
    limit: Annotated[Share, "limits"] = 1.0
    """Of all."""
    shape: Annotated[tuple[int, int], Flag("HxW", size, "{0[0]}x{0[1]}".format)] = (2, 3)
    """Height and width."""
    inner: Inner = field(default_factory=Inner)
    """What is within."""
    rate: Annotated[int | None, Flag("N", known=("1: slow", "2: fast")), "limits"] = None
    """How fast {known}"""


def parsed(*typed: str, defaults: Config | None = None, **options: object) -> Config:
    parser = ArgumentParser()
    add_flags(parser, Config, defaults=defaults, **options)
    return from_flags(Config, vars(parser.parse_args(typed)), defaults)


def test_defaults_are_the_dataclass_s():
    assert parsed("--place", "p") == Config("p")


def test_every_kind_of_flag():
    typed = (
        "--place p --names a,b --files f g --kind y --pool max --colour blue --gate 0.5 "
        "--examples 2 --is-plain --no-activity --limit 5% --shape 4x5 --depth 1 --rate 2"
    )
    assert parsed(*typed.split()) == Config(
        *("p", ("a", "b"), ("f", "g"), "y", "max", Colour.BLUE, 0.5, 2, True, False, 0.05),
        *((4, 5), Inner(1), 2),
    )


def test_an_instance_gives_the_defaults_and_keeps_what_has_no_flag():
    base = Config("q", names=(), limit=0.25, activity=False, inner=Inner(5, unseen=1))
    assert parsed(defaults=base) == base
    assert parsed("--activity", "--depth", "2", defaults=base).inner == Inner(2, unseen=1)


@pytest.mark.parametrize(
    "typed", ["", "--place", "--place p --kind z", "--place p --unseen 1", "--place p --limit 2"]
)
def test_what_is_wrong_is_argparse_s_error(typed, capsys):
    with pytest.raises(SystemExit) as caught:
        parsed(*typed.split())
    assert caught.value.code == 2


def test_a_flag_may_be_left_out_or_need_not_be_given():
    parser = ArgumentParser()
    add_flags(parser, Config, optional=("place",), skip=("limit", "depth"))
    flags = vars(parser.parse_args([]))
    assert flags["place"] is None and not {"limit", "depth", "unseen"} & flags.keys()
    assert from_flags(Config, flags | {"place": "p"}) == Config("p")


def test_help_is_what_stands_under_the_field():
    parser = ArgumentParser()
    add_flags(parser, Config)
    text = " ".join(parser.format_help().split())
    assert "--place URI Where to; 5% of {known}. More of it" not in text  # `known` is empty there
    assert "--place URI Where to; 5% of . More of it" in text
    assert "--names NAMES Some of a, b" in text
    assert "--kind {x,y} Which" in text
    assert "--least X, --gate X At least so much" in text
    assert "unseen" not in text


def test_flags_of_a_title_stand_together_in_the_help():
    parser = ArgumentParser()
    add_flags(parser, Config)
    first, second = parser.format_help().split("\n\nlimits:\n")
    assert "--depth N" in first
    assert [line.split()[0] for line in second.splitlines() if "--" in line] == [
        "--limit",
        "--rate",
    ]


def test_choices_stand_on_lines_of_their_own():
    assert field_docs(Config)["rate"] == "How fast \n1: slow\n2: fast"
    lines = [line.strip() for line in (Config.__doc__ or "").splitlines()]
    at = lines.index("rate")
    assert lines[at + 1 : at + 4] == ["How fast", "1: slow", "2: fast"]


def test_python_s_help_explains_every_field():
    assert field_docs(Config)["names"] == "Some of a, b."
    lines = (Config.__doc__ or "").splitlines()
    assert lines[0] == "What to do."
    for name, text in field_docs(Config).items():
        assert lines[lines.index(name) + 1].strip() == text.partition("\n")[0][:88].strip()


@pytest.mark.parametrize("text", ["4", "4x", "0x4", "axb"])
def test_what_is_no_size(text):
    with pytest.raises(ArgumentTypeError, match="expected HEIGHTxWIDTH"):
        size(text)


@dataclass(frozen=True, kw_only=True)
class Base:
    """What several are told."""

    wait_s: Annotated[Count, "limits"] = 9
    """How long."""


@described
@dataclass(frozen=True)
class Derived(Base):
    """What to do, and how long to wait."""

    place: str
    """Where to."""


def test_what_is_of_a_base_is_told_after_what_is_ones_own():
    assert field_docs(Derived) == {"place": "Where to.", "wait_s": "How long."}
    assert Derived.__doc__.index("Where to.") < Derived.__doc__.index("How long.")
    parser = ArgumentParser(prog="x")
    add_flags(parser, Derived)
    assert "[-h] --place PLACE [--wait-s N]" in parser.format_usage()
    assert from_flags(Derived, vars(parser.parse_args(["--place", "a", "--wait-s", "3"]))) == (
        Derived("a", wait_s=3)
    )
