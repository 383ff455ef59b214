"""Sums of products of Pauli matrices from text: the notations that programs print, one expression for all of them.

    -1.0 Z0 Z1                                        plain, one term a line; Z0Z1 and I0 too
    (-1+0j) [Z0 Z1] +                                 OpenFermion
    0.5 * (Z(0) @ Z(1)) + -1.0 * X(2)                 PennyLane
    SparsePauliOp(['ZZI', 'IXI'], coeffs=[0.5+0.j, -1.+0.j])   Qiskit, and labels: 0.5 * ZZI

Labels count qubits from the right, as Qiskit does.  A new line is a plus, "#" begins a comment.  Products are reduced
with their phases, X0 X0 = 1 and Z0 X0 = i Y0; of the sum that results the imaginary parts must be rounding errors.
"""

from __future__ import annotations

import errno
import re
from pathlib import Path
from typing import Any, NamedTuple, NoReturn

from massieu.errors import InputError, require

Term = tuple[float, dict[int, str]]
Key = tuple[tuple[int, str], ...]  # qubits in order, each with its matrix
Sum = dict[Key, complex]
ROUNDING = 1e-8  # of the largest coefficient
LARGEST = 1e100  # coefficient
HIGHEST = 9999  # qubit that is read; how many can be had is for the system to say
EXPECTED = "a sum of terms such as -1.0 Z0 Z1, 0.5 [X0], 0.5 * (Z(0) @ Z(1)) or 0.5 * ZZI"
FACTORS = "of factors such as X3 or Z(3), or labels such as ZZI"
TIMES = {"XY": "Z", "YZ": "X", "ZX": "Y"}  # times i
TOKEN = re.compile(
    r"(?P<number>(?:\d+\.?\d*|\.\d+)(?:[eE][+-]?\d+)?[jJ]?(?![\w.]))"
    r"|(?:qml\.)?(?P<call>(?:Pauli)?[IXYZ]|Identity)\(\s*(?:wires\s*=\s*)?\[?\s*(?P<wire>\d*)\s*\]?\s*\)"
    r"|(?P<factor>[IXYZixyz]\d+)(?![.\w]|(?<=\w)\()|(?P<run>(?:[IXYZixyz]\d+){2,})(?!\w)"
    r"|(?P<label>[IXYZ]{2,})(?!\w)"
    r"|(?P<newline>\n)|(?P<blank>[ \t\r\f\v]+)|(?P<sign>[-+*@()\[\]])"
)
QISKIT = re.compile(
    r"SparsePauliOp\(\s*\[(?P<labels>[^\]]*)\]\s*,\s*(?:coeffs\s*=\s*)?\[(?P<coeffs>[^\]]*)\]\s*,?\s*\)"
)
PAIRS = re.compile(r"(?:SparsePauliOp\.from_list\()?\s*\[\s*(?P<pairs>\(.*\))\s*,?\s*\]\s*\)?", re.DOTALL)
PAIR = re.compile(r"""\(\s*['"](?P<label>[IXYZ]+)['"]\s*,\s*(?P<value>\([^()]*\)|[^(),]+)\)\s*(?:,\s*|$)""")


class Token(NamedTuple):
    """A piece of the text: its kind ("number", "factor", "label", "newline", "sign" or "end") and its line."""

    kind: str
    text: str
    line: int


def read(text: str) -> tuple[list[Term], int]:
    """Terms (coefficient, {qubit: matrix}), each product once, and the number of qubits; InputError names the line."""
    plain = "\n".join(line.partition("#")[0] for line in text.removeprefix("\ufeff").splitlines())
    require(bool(plain.strip()), "hamiltonian", "without a term", EXPECTED)
    return _Reader(_without_qiskit(plain.strip("\n"))).all()


def text_of(given: str) -> str:
    """The text of a file, or the terms given in its place; a run must not depend on a file that may change."""
    if "\n" in given:
        return given
    try:
        if Path(given).is_file():
            return Path(given).read_text(encoding="utf-8-sig")
    except UnicodeDecodeError as error:
        raise InputError(f"hamiltonian = {given}: must be a readable text file ({error})") from None
    except OSError as error:
        if error.errno != errno.ENAMETOOLONG:  # terms
            raise InputError(f"hamiltonian = {given}: must be a readable text file ({error})") from None
    looks_like_a_path = not any(character in given for character in " []()*\n")
    require(not looks_like_a_path, "hamiltonian", given, "a file that exists, or terms such as -1.0 Z0 Z1")
    return given


def printed(operator: Any) -> str:
    """Text of a sum of Pauli matrices: text or a path as it is, operators of other programs as they print them."""
    pairs = getattr(operator, "to_list", None)  # Qiskit prints long sums in part only
    return str(operator) if pairs is None else str([(label, complex(value)) for label, value in pairs()])


def first_line(text: str) -> str:
    """Of terms, for messages of one line."""
    first, *others = text.strip().split("\n")
    return f"{first[:60].rstrip()} ..." if others or len(first) > 60 else first


def _without_qiskit(text: str) -> str:
    """Qiskit's lists of labels and coefficients as one term a line; any other text as it is."""
    whole = text.strip()
    if match := QISKIT.fullmatch(whole):
        labels = re.findall(r"['\"]([IXYZ]+)['\"]", match["labels"])
        values = [_closed(value) for value in match["coeffs"].split(",") if value.strip()]
        complete = "..." not in whole and len(labels) == len(values) == match["labels"].count(",") + 1
        require(complete, "hamiltonian", _short(whole), "a SparsePauliOp with all its labels and coefficients")
        return "\n".join(f"({value}) * {label}" for label, value in zip(labels, values, strict=True))
    if (match := PAIRS.fullmatch(whole)) and match["pairs"].lstrip("( \n")[:1] in ("'", '"'):
        found, end = [], 0
        while pair := PAIR.match(match["pairs"], end):
            found.append(f"({_closed(pair['value'])}) * {pair['label']}")
            end = pair.end()
        require(end == len(match["pairs"]), "hamiltonian", _short(match["pairs"][end:]), "pairs such as ('ZZI', 0.5)")
        return "\n".join(found)
    return text


def _closed(value: str) -> str:
    """A number as NumPy prints it in an array, without its blanks: "-1. +0.j" is -1.+0.j."""
    return re.sub(r"\s+", "", value)


def _short(text: str) -> str:
    line = " ".join(text.split())
    return line if len(line) <= 60 else f"{line[:57]}..."


class _Reader:
    """Recursive descent: sum of terms, term of factors, factor a number, a matrix, a label or a sum in brackets."""

    def __init__(self, text: str) -> None:
        self.lines = text.split("\n")
        self.tokens = self._split(text)
        self.at = 0
        self.highest, self.label = -1, 0  # qubit, and length of labels
        self.first: dict[Key, int] = {}  # line of each product

    # ---- tokens

    def _split(self, text: str) -> list[Token]:
        found, place, line = [], 0, 1
        while place < len(text):
            match = TOKEN.match(text, place)
            if match is None:
                self._refuse(line, re.match(r"[^\s()\[\]+*@]+|.", text[place:])[0])  # type: ignore[index]
            kind, piece, place = match.lastgroup or "", match[0], match.end()
            if kind == "wire":
                name = match["call"].removeprefix("Pauli").replace("Identity", "I")
                if not match["wire"] and name != "I":
                    self._refuse(line, piece)
                found.append(Token("call", name + match["wire"], line))
            elif kind == "run":
                found += [Token("factor", factor.upper(), line) for factor in re.findall(r"[A-Za-z]\d+", piece)]
            elif kind == "factor":
                found.append(Token(kind, piece.upper(), line))
            elif kind != "blank":
                found.append(Token(kind, piece, line))
            line += piece.count("\n")
        return [*found, Token("end", "the end", line)]

    def _refuse(self, line: int, what: str, allowed: str = FACTORS) -> NoReturn:
        raise InputError(f"{self._where(line)}: must be {allowed}, not {_short(what)}")

    def _where(self, line: int) -> str:
        content = _short(self.lines[min(line, len(self.lines)) - 1])
        return f"hamiltonian, line {line}" + (f" ({content})" if content else "")

    @property
    def here(self) -> Token:
        return self.tokens[self.at]

    def _next(self) -> Token:
        self.at += 1
        return self.tokens[self.at - 1]

    def _skip_lines(self) -> None:
        while self.here.kind == "newline":
            self.at += 1

    # ---- grammar

    def all(self) -> tuple[list[Term], int]:
        """The terms of the whole text and the number of qubits."""
        total = self._sum(closing="")
        if self.here.kind != "end":
            self._refuse(self.here.line, self.here.text)
        scale = max(map(abs, total.values()), default=0.0)
        require(scale < LARGEST, "hamiltonian", f"with the coefficient {scale:g}", "of smaller numbers")
        terms = []
        for key, value in total.items():
            if abs(value.imag) > ROUNDING * scale:
                product = " ".join(f"{kind}{q}" for q, kind in key) or "the identity"
                raise InputError(
                    f"{self._where(self.first[key])}: must be Hermitian, the coefficient of {product} is {value:.6g}"
                )
            terms.append((value.real, dict(key)))
        return terms, max(1, self.highest + 1)

    def _sum(self, closing: str) -> Sum:
        """Terms with signs, or new lines, between them, up to the bracket that closes it."""
        total: Sum = {}
        while True:
            self._skip_lines()
            if self.here.text == closing or (self.here.kind == "end" and total):
                return total  # a plus may stand at the end
            negative = False
            while self.here.text in ("+", "-"):
                negative ^= self._next().text == "-"
                self._skip_lines()
            if self.here.kind == "end" and total and not negative:
                return total
            line = self.here.line
            for key, value in self._term(closing).items():
                self.first.setdefault(key, line)
                total[key] = total.get(key, 0.0) + (-value if negative else value)
            ahead = self.here
            if ahead.text not in ("+", "-", closing) and ahead.kind not in ("newline", "end"):
                self._refuse(ahead.line, ahead.text, "a sum with + or a new line between its terms")

    def _term(self, closing: str) -> Sum:
        """Factors side by side or with * or @ between; the coefficient comes first."""
        line, kinds, product = self.here.line, [self.here.kind], self._factor()
        while True:
            ahead = self.here
            if closing and ahead.kind == "newline":
                self._skip_lines()
                continue
            linked = ahead.text in ("*", "@")
            if linked:
                self._next()
                self._skip_lines()
            elif not self._may_follow(ahead, set(product) == {()}):
                break
            kinds.append("linked" if linked else self.here.kind)
            product = _product(product, self._factor())
        if set(kinds) == {"factor"} and not closing:
            self._refuse(line, self.lines[line - 1].strip(), "begun with a number, such as 1.0 Z0")
        return product

    def _may_follow(self, ahead: Token, number: bool) -> bool:
        """Whether a factor may stand beside what is before it: matrices may, brackets after the coefficient alone."""
        return ahead.kind in ("factor", "call") or (number and (ahead.text in ("(", "[") or ahead.kind == "label"))

    def _factor(self) -> Sum:
        token = self._next()
        if token.kind == "number":
            value = complex(token.text)
            if abs(value) > LARGEST:
                self._refuse(token.line, token.text, "of finite numbers")
            return {(): value}
        if token.kind in ("factor", "call"):
            return self._matrix(token)
        if token.kind == "label":
            return self._of_label(token)
        if token.text == "[":
            product: Sum = {(): 1.0}
            while self.here.kind in ("factor", "call"):
                product = _product(product, self._matrix(self._next()))
            self._close("]")
            return product
        if token.text == "(":
            inner = self._sum(closing=")")
            self._close(")")
            return inner or self._refuse(token.line, "()", EXPECTED)
        self._refuse(token.line, token.text.replace("\n", "the end of the line"), EXPECTED)

    def _close(self, bracket: str) -> None:
        token = self._next()
        if token.text != bracket:
            self._refuse(token.line, token.text.replace("\n", "the end of the line"), f"closed by {bracket}")

    def _matrix(self, token: Token) -> Sum:
        kind, digits = token.text[0], token.text[1:]
        if self.label or (digits and int(digits) > HIGHEST):
            self._refuse(token.line, token.text, f"of labels alone, or of qubits 0 to {HIGHEST} by number")
        self.highest = max(self.highest, int(digits or 0))
        return {(): 1.0} if kind == "I" else {((int(digits), kind),): 1.0}

    def _of_label(self, token: Token) -> Sum:
        n = len(token.text)
        if self.label not in (0, n) or (not self.label and self.highest >= 0):
            self._refuse(token.line, token.text, "of labels of one length alone, or of qubits by number")
        self.label, self.highest = n, n - 1
        return {tuple((q, kind) for q, kind in enumerate(reversed(token.text)) if kind != "I"): 1.0}


def _product(left: Sum, right: Sum) -> Sum:
    """All products of the terms, reduced."""
    total: Sum = {}
    for a, x in left.items():
        for b, y in right.items():
            phase, key = _reduced(dict(a), b)
            total[key] = total.get(key, 0.0) + x * y * phase
    return total


def _reduced(found: dict[int, str], others: Key) -> tuple[complex, Key]:
    """A product of products, one matrix a qubit at most, and its phase."""
    phase: complex = 1.0
    for q, kind in others:
        mine = found.pop(q, "I")
        if mine == "I":
            found[q] = kind
        elif mine != kind:
            forward = mine + kind in TIMES
            phase *= 1j if forward else -1j
            found[q] = TIMES[mine + kind if forward else kind + mine]
    return phase, tuple(sorted(found.items()))
