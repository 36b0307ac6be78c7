"""A tree and the columns that there are in, a condition in SQL with bound values out. PURE.

Nothing that a user has typed becomes SQL: words are looked up among the known columns, and values
are bound. Names of columns and classes come from the files, and are quoted.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any, Literal, NoReturn

from pipeline.errors import did_you_mean
from pipeline.searching.expression import And, Comparison, Label, Node, Not, Or, fail, parse

Kind = Literal["number", "text", "time"]


@dataclass(frozen=True)
class Column:
    """What a word of a question stands for."""

    sql: str
    """An SQL expression over the rows that are searched."""
    kind: Kind = "number"
    """What it may be compared with."""


@dataclass(frozen=True)
class Columns:
    """What the rows of a catalogue may be asked for."""

    codes: Sequence[str]
    """Codes of the classes that the model knows."""
    by_word: Mapping[str, Column]
    """What each word of a question stands for, beside the classes."""
    names: Mapping[str, str] = field(default_factory=dict)
    """Names of the classes, by code: they stand for the code."""

    def code_of(self, word: str) -> str | None:
        """Return the class that a word names, by its code or name; None where it names none."""
        if word in self.codes:
            return word
        by_name = {name.lower(): code for code, name in self.names.items()}
        return by_name.get(word.lower())

    def column_of(self, word: str) -> Column | None:
        """Return what a word that is compared stands for; None where it is unknown."""
        if word in self.by_word:
            return self.by_word[word]
        place = self.score_of(word)
        return None if place is None else Column(f"{place[0]}[{quoted(place[1])}]")

    def score_of(self, word: str) -> tuple[str, str] | None:
        """Return the column and the class that a word for a score names; None for other words."""
        of, _, name = word.rpartition(".")
        code, table = self.code_of(name), of or "scores"
        if word in self.by_word or code is None or table not in ("scores", "peaks"):
            return None
        return table, code

    @property
    def words(self) -> list[str]:
        """All words that a question may have."""
        names = [name for name in self.names.values() if name.isidentifier()]
        peaks = [f"peaks.{code}" for code in self.codes]
        return [*self.by_word, *self.codes, *names, *peaks]


@dataclass(frozen=True)
class Condition:
    """A condition for a WHERE, and the values of its parameters."""

    sql: str = "true"
    values: tuple[Any, ...] = ()
    names_status: bool = False
    """Whether it asks for the status or the reason: then failed tracks may be meant."""


def condition_of(text: str, columns: Columns) -> Condition:
    """Return the condition that a question is; UsageError where it cannot be asked."""
    writer = _Writer(text, columns)
    sql = writer.sql(parse(text))
    return Condition(sql, tuple(writer.values), writer.names_status)


def quoted(code: str) -> str:
    """Return a name as a text of SQL.

    >>> quoted("cel"), quoted("o'x")
    ("'cel'", "'o''x'")
    """
    return "'" + code.replace("'", "''") + "'"


def identifier(name: str) -> str:
    """Return a column's name as an identifier of SQL.

    >>> identifier("window")
    '"window"'
    """
    return '"' + name.replace('"', '""') + '"'


class _Writer:
    """Writes the SQL of a tree, and collects its values in their order."""

    def __init__(self, text: str, columns: Columns) -> None:
        self._text, self._columns = text, columns
        self.values: list[Any] = []
        self.names_status = False

    def sql(self, node: Node) -> str:
        match node:
            case And(parts):
                return self._joined(parts, "and")
            case Or(parts):
                return self._joined(parts, "or")
            case Not(part):
                return f"(not {self.sql(part)})"
            case Label():
                return self._label(node)
            case Comparison():
                return self._comparison(node)

    def _joined(self, parts: Sequence[Node], word: str) -> str:
        return "(" + f" {word} ".join(self.sql(part) for part in parts) + ")" if parts else "true"

    def _label(self, node: Label) -> str:
        code = self._columns.code_of(node.word.removeprefix("labels."))
        if code is None:
            if self._columns.column_of(node.word) is not None:
                fail(self._text, node.at, f"expected a comparison such as {node.word} > 0")
            self._unknown(node.word, node.at)
        self.values.append(code)
        return "list_contains(labels, ?)"

    def _comparison(self, node: Comparison) -> str:
        column = self._columns.column_of(node.word)
        if column is None:
            self._unknown(node.word, node.at)
        self.names_status |= node.word in ("status", "reason", "detail")
        if node.sign == "~":
            return self._pattern(node, column)
        self.values.append(self._value(node, _READERS[column.kind], column.kind))
        return f"({column.sql} {node.sign} ?)"

    def _pattern(self, node: Comparison, column: Column) -> str:
        if column.kind != "text":
            fail(self._text, node.at, f"~ is for texts such as uri; {node.word} is a {column.kind}")
        text = node.value
        if not any(sign in text for sign in "*?"):  # half the time that a pattern takes
            self.values.append(text)
            return f"contains(lower({column.sql}), lower(?))"
        self.values.append(like_pattern(text))
        return f"({column.sql} ilike ? escape '\\')"

    def _value(self, node: Comparison, read: Callable[[Any], Any], kind: Kind) -> Any:
        try:
            return read(node.value)
        except ValueError:
            expected = _EXPECTED[kind]
            fail(self._text, node.at, f"{node.word} is a {kind}: expected {expected}")

    def _unknown(self, word: str, at: int) -> NoReturn:
        known = self._columns.words
        few = ", ".join(known[:40]) + (" ..." if len(known) > 40 else "")
        fail(self._text, at, f"unknown word {word!r}{did_you_mean(word, known)}; there are {few}")


def like_pattern(text: str) -> str:
    r"""Return the pattern of LIKE that a glob is: * is any text, ? any character.

    >>> like_pattern("*/100%?.mp3")
    '%/100\\%_.mp3'
    """
    escaped = "".join(f"\\{c}" if c in "\\%_" else c for c in text)
    return escaped.replace("*", "%").replace("?", "_")


def _time(value: str) -> datetime:
    when = datetime.fromisoformat(value)
    return when if when.tzinfo else when.replace(tzinfo=UTC)


_READERS: Mapping[Kind, Callable[[Any], Any]] = {"number": float, "text": str, "time": _time}
_EXPECTED: Mapping[Kind, str] = {
    "number": "a number",
    "text": "a text",
    "time": 'a time such as "2026-11-21" or "2026-11-21T02:15"',
}
