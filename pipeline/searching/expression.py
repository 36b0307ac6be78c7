"""The text of a question in, a tree out: what tracks are to be found. PURE.

    cel and not voi, duration > 60
    cel > 0.8 or (peaks.pia >= 0.5 and uri ~ "live*")

A word alone asks whether a track has that label. A comparison has a name on its left and a number,
a quoted text or a single word on its right. `not` binds closest, then `and`, then `or`, then the
comma, which is an `and` between whole questions. Case does not matter in `and`, `or` and `not`.

Written here and not with a parser generator (lark, pyparsing): the grammar has five rules, and an
error has to name the place in the text and the word that was probably meant.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import NamedTuple, NoReturn

from pipeline.errors import UsageError

COMPARISONS = ("<=", ">=", "!=", "=", "<", ">", "~")
_TOKEN = re.compile(
    r"""\s*(?:
      (?P<number>[+-]?(?:\d+\.?\d*|\.\d+)(?:[eE][+-]?\d+)?(?![\w.]))
    | (?P<word>\w+(?:\.\w+)?)
    | (?P<text>"(?:[^"\\]|\\.)*"|'(?:[^'\\]|\\.)*')
    | (?P<sign><=|>=|!=|==|[=<>~(),])
    )""",
    re.VERBOSE | re.DOTALL,
)
_SHOWN = 30
"""Characters of a question that an error shows."""
_MAX_DEPTH = 100
"""Of brackets and `not`: a deeper tree is no question, but it would end the process."""


@dataclass(frozen=True)
class Label:
    """A track has a label."""

    word: str
    """Code or name of the class, as it was typed."""
    at: int
    """Where it stands in the text, from 0."""


@dataclass(frozen=True)
class Comparison:
    """A value of a track stands so to another."""

    word: str
    """What is compared, as it was typed: `duration`, `cel`, `peaks.cel`."""
    sign: str
    """The sign between both, one of `COMPARISONS`."""
    value: str
    """What it is compared with, as it was typed; of a quoted text what the quotes hold."""
    at: int
    """Where the word stands in the text, from 0."""


@dataclass(frozen=True)
class Not:
    """`not` before a part of a question."""

    part: Node


@dataclass(frozen=True)
class And:
    """All parts hold; all tracks where there are none."""

    parts: tuple[Node, ...]


@dataclass(frozen=True)
class Or:
    """One of the parts holds."""

    parts: tuple[Node, ...]


Node = Label | Comparison | Not | And | Or


def parse(text: str) -> Node:
    """Return the tree of a question; an empty one asks for all tracks.

    >>> parse("cel and not voi")
    And(parts=(Label(word='cel', at=0), Not(part=Label(word='voi', at=12))))

    Raises
    ------
    UsageError
        Where the text is no question; the message shows the place.
    """
    return _Parser(text).whole()


def words_of(node: Node) -> list[str]:
    """Return the words that a question compares, in their order.

    >>> words_of(parse("cel and not pia > 0.5"))
    ['pia']
    """
    match node:
        case Comparison(word):
            return [word]
        case Not(part):
            return words_of(part)
        case And(parts) | Or(parts):
            return [word for part in parts for word in words_of(part)]
    return []


def fail(text: str, at: int, why: str) -> NoReturn:
    """Raise the UsageError of a fault at a place of a question, which is shown in one line."""
    rest = text[at : at + _SHOWN] + ("..." if len(text) > at + _SHOWN else "")
    place = f"at {rest!r}" if rest.strip() else "at the end"
    raise UsageError(f"--where, character {at + 1}, {place}: {why}")


class _Token(NamedTuple):
    kind: str
    text: str
    at: int


class _Parser:
    """Reads a text from its start to its end, a token ahead; one method per rule."""

    def __init__(self, text: str) -> None:
        self._text = text
        self._tokens = list(_tokens(text))
        self._next = 0
        self._depth = 0

    def whole(self) -> Node:
        if self._peek().kind == "end":
            return And(())
        parts = [self._either()]
        while self._take(","):
            parts.append(self._either())
        if self._peek().kind != "end":
            self._fail("expected and, or, a comma or the end")
        return _joined(And, parts)

    def _either(self) -> Node:
        parts = [self._all()]
        while self._take("or"):
            parts.append(self._all())
        return _joined(Or, parts)

    def _all(self) -> Node:
        parts = [self._one()]
        while self._take("and"):
            parts.append(self._one())
        return _joined(And, parts)

    def _one(self) -> Node:
        self._depth += 1
        if self._depth > _MAX_DEPTH:
            self._fail(f"more than {_MAX_DEPTH} brackets within each other")
        if self._take("not"):
            found: Node = Not(self._one())
        elif self._take("("):
            parts = [self._either()]
            while self._take(","):
                parts.append(self._either())
            if not self._take(")"):
                self._fail("expected )")
            found = _joined(And, parts)
        else:
            found = self._term()
        self._depth -= 1
        return found

    def _term(self) -> Node:
        word = self._peek()
        if word.kind != "word" or word.text.lower() in ("and", "or"):
            self._fail('expected a label, a comparison such as duration > 60, "not" or (')
        self._next += 1
        sign = self._peek()
        if sign.text not in (*COMPARISONS, "==") or sign.kind != "sign":
            return Label(word.text, word.at)
        self._next += 1
        return Comparison(word.text, sign.text.replace("==", "="), self._value(), word.at)

    def _value(self) -> str:
        token = self._peek()
        if token.kind not in ("number", "word", "text"):
            self._fail("expected a number or a text after the comparison")
        self._next += 1
        return _unquoted(token.text) if token.kind == "text" else token.text

    def _peek(self) -> _Token:
        return self._tokens[self._next]

    def _take(self, text: str) -> bool:
        """Say whether a sign or a word comes next, and go on behind it."""
        token = self._peek()
        is_there = token.kind in ("sign", "word") and token.text.lower() == text
        self._next += is_there
        return is_there

    def _fail(self, why: str) -> NoReturn:
        fail(self._text, self._peek().at, why)


def _tokens(text: str) -> list[_Token]:
    found, at = [], 0
    end = len(text.rstrip())
    while at < end:
        match = _TOKEN.match(text, at)
        if match is None:
            start = at + len(text[at:]) - len(text[at:].lstrip())
            is_quote = text[start] in "\"'"
            why = "put a text with such signs in quotes"
            fail(text, start, "a quote that does not end" if is_quote else why)
        kind = str(match.lastgroup)
        found.append(_Token(kind, match[kind], match.start(kind)))
        at = match.end()
    return [*found, _Token("end", "", end)]


def _unquoted(text: str) -> str:
    return re.sub(r"\\(.)", r"\1", text[1:-1], flags=re.DOTALL)


def _joined(kind: type[And] | type[Or], parts: list[Node]) -> Node:
    return parts[0] if len(parts) == 1 else kind(tuple(parts))
