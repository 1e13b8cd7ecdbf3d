r"""Variables, quotes and escapes in a word (Dockerfile reference, "Environment replacement"; BuildKit's shell/lex.go).

    word   = { quoted | escaped | variable | other }
    quoted = "'" any "'"  |  '"' { variable | escaped | other } '"'
    variable = "$" name | "${" name [ [":"] ("-" | "+" | "?") word ] "}"
             | "${" name ("#" | "##" | "%" | "%%") pattern "}"
             | "${" name ("/" | "//") pattern "/" text "}"

A name is letters, digits and "_", or digits, or one special parameter (never set, so it is empty).
"""

from __future__ import annotations

from typing import List, Mapping, NamedTuple, Set

from imagebuild.dockerfile import shell_pattern
from imagebuild.errors import ExpansionError

MAX_LENGTH = 1 << 20
"""Longest text that a substitution may grow to; Linux takes no argument longer than 128 KiB."""

_MAX_DEPTH = 50
_SPECIAL_PARAMETERS = "@*#?-$!0"


class Piece(NamedTuple):
    text: str
    quoted: bool


class Scanner:
    """One pass over a word; `at` is the next character."""

    def __init__(
        self,
        word: str,
        env: Mapping[str, str],
        escape: str,
        unset: Set[str],
        *,
        keep_unset: bool,
        quotes: bool,
    ) -> None:
        self._word, self._env, self._escape = word, env, escape
        self._unset, self._keep_unset = unset, keep_unset
        self._quotes = "'\"" if quotes else ""
        self._specials = f"${self._quotes}{escape}"
        self._at = self._depth = self._length = 0

    def pieces(self, stop: str, *, raw: bool) -> List[Piece]:
        """Up to `stop` (consumed), or to the end for "".

        :param raw: escapes stay, for a pattern to read.
        """
        found: List[Piece] = []
        while self._at < len(self._word):
            char = self._word[self._at]
            if char == stop:
                self._at += 1
                return found
            if char == "$":
                found.append(Piece(self._dollar(), False))
            elif char in self._quotes:
                text = self._single_quoted() if char == "'" else self._double_quoted(raw)
                found.append(Piece(text, True))
            elif char == self._escape:
                found.append(Piece(self._escaped(raw), True))
            else:
                found.append(Piece(self._plain(stop), False))
            self._grow(found[-1].text)
        if stop:
            raise _unfinished(stop)
        return found

    def _text(self, stop: str, *, raw: bool = False) -> str:
        return "".join(piece.text for piece in self.pieces(stop, raw=raw))

    def _plain(self, stop: str) -> str:
        start, specials = self._at, self._specials + stop
        while self._at < len(self._word) and self._word[self._at] not in specials:
            self._at += 1
        return self._word[start : self._at]

    def _escaped(self, raw: bool) -> str:
        pair = self._word[self._at : self._at + 2]
        self._at += 2
        return pair if raw else pair[1:]

    def _single_quoted(self) -> str:
        end = self._word.find("'", self._at + 1)
        if end < 0:
            raise _unfinished_quote("single", "'", self._escape)
        text = self._word[self._at + 1 : end]
        self._at = end + 1
        return text

    def _double_quoted(self, raw: bool) -> str:
        self._at += 1
        parts: List[str] = []
        while self._at < len(self._word):
            char = self._word[self._at]
            if char == '"':
                self._at += 1
                return "".join(parts)
            if char == "$":
                parts.append(self._dollar())
                self._grow(parts[-1])
                continue
            if char == self._escape:
                follows = self._word[self._at + 1 : self._at + 2]
                takes = follows and follows in f'"${self._escape}'
                self._at += 2 if takes else 1
                parts.append((char if raw or not takes else "") + (follows if takes else ""))
                continue
            parts.append(char)
            self._at += 1
        raise _unfinished_quote("double", '"', self._escape)

    def _dollar(self) -> str:
        self._at += 1
        if self._peek() != "{":
            name = self._name()
            return self._value(name, f"${name}") if name else "$"
        self._at += 1
        self._depth += 1
        if self._depth > _MAX_DEPTH:
            raise ExpansionError(f"substitutions are nested more than {_MAX_DEPTH} deep")
        text = self._braced()
        self._depth -= 1
        return text

    def _braced(self) -> str:
        if not self._peek():
            raise _unfinished("}")
        if self._peek() in "{}:":
            raise _bad_substitution()
        name = self._name()
        operator = self._next()
        if operator == "}":
            return self._value(name, f"${{{name}}}")
        if operator in ("#", "%"):
            return self._trimmed(name, operator)
        if operator == "/":
            return self._replaced(name)
        if operator == ":":
            operator += self._next()
        if operator not in (":-", ":+", ":?", "-", "+", "?"):
            raise _unfinished("}") if not operator.strip(":") else _bad_substitution(operator)
        return self._conditional(name, operator)

    def _conditional(self, name: str, operator: str) -> str:
        word = self._text("}")
        value = self._env.get(name)
        if value is None and self._keep_unset:
            return f"${{{name}{operator}{word}}}"
        there = value if operator[0] == ":" else value is not None
        if operator[-1] == "+":
            return word if there else ""
        if there:
            return value or ""
        if operator[-1] == "?":
            why = "unset" if value is None else "empty"
            raise ExpansionError(
                f"{name}: {word or f'may not be {why}'}",
                expected=f"a value for {name}",
                hint=f"give {name} a value with ARG, ENV or a build argument",
            )
        return word

    def _trimmed(self, name: str, operator: str) -> str:
        pattern = self._text("}", raw=True)
        longest = pattern.startswith(operator)
        tokens = shell_pattern.parse(pattern[1:] if longest else pattern)
        value = self._env.get(name)
        if value is None and self._keep_unset:
            return f"${{{name}{operator}{pattern}}}"
        trim = shell_pattern.trim_prefix if operator == "#" else shell_pattern.trim_suffix
        return trim(tokens, value or "", longest)

    def _replaced(self, name: str) -> str:
        everywhere = self._peek() == "/"
        self._at += everywhere
        pattern = self._text("/", raw=True)
        text = self._text("}", raw=True)
        value = self._env.get(name)
        if value is None and self._keep_unset:
            return f"${{{name}/{'/' if everywhere else ''}{pattern}/{text}}}"
        tokens = shell_pattern.parse(pattern)
        return shell_pattern.replace(tokens, value or "", text, everywhere)

    def _value(self, name: str, as_written: str) -> str:
        value = self._env.get(name)
        if value is not None:
            return value
        if name[0].isalpha() or name[0] == "_":
            self._unset.add(name)
        return as_written if self._keep_unset else ""

    def _name(self) -> str:
        start = self._at
        first = self._peek()
        if first and first in _SPECIAL_PARAMETERS and not first.isdecimal():
            self._at += 1
            return first
        if first.isdecimal():
            while self._peek().isdecimal():
                self._at += 1
        else:
            while self._peek().isalpha() or self._peek().isdecimal() or self._peek() == "_":
                self._at += 1
        return self._word[start : self._at]

    def _peek(self) -> str:
        return self._word[self._at : self._at + 1]

    def _next(self) -> str:
        self._at += 1
        return self._word[self._at - 1 : self._at]

    def _grow(self, text: str) -> None:
        self._length += len(text)
        if self._length > MAX_LENGTH:
            raise ExpansionError(
                f"the text grows beyond {MAX_LENGTH >> 20} MiB by substitution",
                hint="a variable probably repeats itself; shorten it",
            )


def _unfinished_quote(kind: str, mark: str, escape: str) -> ExpansionError:
    return ExpansionError(
        f"a {kind} quote has no end",
        expected=f"a closing {mark}",
        hint=f"close it, or write {escape}{mark} for a quote that is only a character",
    )


def _unfinished(stop: str) -> ExpansionError:
    return ExpansionError(
        f'a substitution "${{...}}" lacks its "{stop}"',
        expected=f'a closing "{stop}"',
        hint="close it; put a word that holds blanks into double quotes",
    )


def _bad_substitution(operator: str = "") -> ExpansionError:
    what = (
        f'"{operator}" is no modifier of a substitution'
        if operator
        else "a substitution names no variable"
    )
    return ExpansionError(
        what,
        expected="${name}, with one of :- :+ :? - + ? # ## % %% / // behind the name",
        hint="correct it, or put the text into single quotes to keep it as it is",
    )
