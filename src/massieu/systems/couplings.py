"""Couplings J and fields h of spins, H = -sum_{i<j} J_ij s_i s_j - sum_i h_i s_i, from arrays and from files.

    .npy            matrix (n, n), symmetric or one triangle of it
    .npz            J (or couplings) and, if there are, h (or fields); or a sparse matrix that SciPy saved
    text            n m, then i j J_ij counted from 1 (rudy, G-set); i j J_ij counted from 0; or n lines of n numbers

Fields: .npy or .npz, or a text of n numbers.  A matrix that single precision rounded is symmetrised; one that is not
symmetric is refused with the pair that differs.
"""

from __future__ import annotations

import math
import os
import zipfile
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import scipy.sparse

from massieu.errors import InputError, require
from massieu.systems.base import parameter

MOST_SPINS = 2048  # a dense matrix of them
SINGLE = 1e-6  # of the largest coupling: rounding of single precision
OF_J, OF_H = ("J", "couplings"), ("h", "fields", "field")
FILES = ".npy, .npz with J and h, a sparse matrix of SciPy (.npz), or a text of lines 'n m' and 'i j J_ij'"


class Pairwise(NamedTuple):
    """J (n, n), symmetric with zero diagonal, and h (n,) where the file has it."""

    J: np.ndarray
    h: np.ndarray | None


def read_couplings(name: str, given: Any, n: int | None = None) -> Pairwise:
    """Couplings, and fields beside them, of an array, a sparse matrix, a networkx graph, a lattice or a file's path."""
    h = None
    shown = _shown(given)
    if isinstance(given, str | Path):
        given = _load(name, given, n)
        if isinstance(given, dict):
            given, h = _of_archive(name, shown, given)
    J = symmetric(name, shown, _dense(name, shown, given), n)
    return Pairwise(J, None if h is None else _vector(name, f"h of {shown}", h, len(J)))


def read_fields(name: str, given: Any, n: int) -> np.ndarray:
    """Fields (n,) of an array, one number for all spins, or the path of a file; InputError otherwise."""
    shown = _shown(given)
    if isinstance(given, str | Path):
        number = _number(str(given))
        given = _load(name, given, None, "a text of n numbers, .npy, or .npz with h") if number is None else number
        if isinstance(given, dict):
            given = next((given[key] for key in OF_H if key in given), None)
            require(given is not None, name, shown, f"an .npz file with {' or '.join(OF_H)}")
    array = np.asarray(given)
    return _vector(name, shown, np.full(n, array) if array.ndim == 0 else array, n)


def couplings_parameter() -> Any:
    """The file of the couplings, as a field of a system."""
    text = "FILE of J: .npy, .npz with J and h, sparse .npz, or text 'n m', 'i j J_ij'"
    return parameter(None, flag="couplings", text=text)


def fields_parameter() -> Any:
    """The file of the fields, as a field of a system."""
    return parameter(None, flag="fields", text="FILE of h (n,), or one number for all spins")


def chosen_couplings(
    given: Any, path: str | None, n: int | None = None
) -> tuple[np.ndarray, np.ndarray | None, str | None]:
    """J (n, n) of an array, a graph or a file, the fields that the file has, and the path; all that is given agrees."""
    array, path = one_of_two("couplings", given, path)
    of_file = None
    if path is not None and (array is None or os.path.exists(path)):
        of_file = read_couplings("couplings", path, n)
    if array is None:
        return of_file.J, of_file.h, path  # type: ignore[union-attr]
    J = read_couplings("couplings", array, n).J
    agree("couplings", J, of_file and of_file.J, f"couplings_file = {path}")
    return J, of_file and of_file.h, path


def chosen_fields(
    given: np.ndarray | None, path: str | None, beside: np.ndarray | None, n: int
) -> tuple[np.ndarray | None, str | None]:
    """Fields (n,) of an array, a file, or the file of the couplings, and the path; all that is given agrees."""
    array, path = one_of_two("fields", given, path)
    found = None if array is None else read_fields("fields", array, n)
    if path is not None and (found is None or os.path.exists(path)):
        of_file = read_fields("fields", path, n)
        found = of_file if found is None else found
        agree("fields", found, of_file, f"fields_file = {path}")
    if found is None:
        return beside, path
    agree("fields", found, beside, "the file of the couplings")
    return found, path


def real_array(name: str, shown: Any, array: Any) -> np.ndarray:
    """A finite float array; booleans are 0 and 1, complex numbers without imaginary parts are real."""
    try:
        array = np.asarray(array)
    except ValueError:  # rows of different lengths
        array = np.asarray(None)
    if array.dtype.kind == "c" and not np.any(array.imag):
        array = array.real
    require(array.dtype.kind in "bfiu", name, shown, "an array of real numbers")
    array = np.asarray(array, float)
    require(bool(np.all(np.isfinite(array))), name, shown, "free of NaN and infinity")
    return array


def symmetric(name: str, shown: Any, matrix: Any, n: int | None = None) -> np.ndarray:
    """A symmetric (n, n) matrix with zero diagonal from one that is, from one triangle, or from a rounded one."""
    J = real_array(name, shown, matrix)
    require(J.ndim == 2 and J.shape[0] == J.shape[1], name, shown, f"a square matrix, not of shape {J.shape}")
    size = len(J)
    require(n is None or size == n, name, shown, f"of shape ({n}, {n}) as n = {n} says, not ({size}, {size})")
    require(0 < size <= MOST_SPINS, name, shown, f"of 1 to {MOST_SPINS} spins, not {size}")
    triangle = not np.any(np.tril(J, -1)) or not np.any(np.triu(J, 1))
    apart = np.zeros_like(J) if triangle else np.abs(J - J.T)
    i, j = map(int, np.unravel_index(np.argmax(apart), J.shape))
    if apart[i, j] > SINGLE * np.abs(J).max():
        pair = f"J[{i}, {j}] = {J[i, j]:.9g} and J[{j}, {i}] = {J[j, i]:.9g}"
        raise InputError(f"{name} = {shown}: must be a symmetric matrix, or one triangle of it; {pair}")
    i = int(np.argmax(np.diag(J) != 0))
    require(J[i, i] == 0, name, shown, f"a matrix with zero diagonal, not J[{i}, {i}] = {J[i, i]:g}")
    return J + J.T if triangle else 0.5 * (J + J.T)


def read_array(name: str, path: str) -> np.ndarray:
    """A finite float array from a .npy file; InputError (with the reason) if it cannot be had."""
    array = _load(name, path, None, "a .npy file", numpy_alone=True)
    return real_array(name, path, array)


def one_of_two(name: str, given: Any, path: Any) -> tuple[Any, str | None]:
    """An array and a path from the argument, which may be either, and from the parameter for files."""
    if isinstance(given, str | Path):
        require(path in (None, str(given)), name, given, f"left out beside {name}_file = {path}")
        return None, str(given)
    return given, None if path is None else str(path)


def agree(name: str, array: np.ndarray, other: np.ndarray | None, source: str) -> None:
    """InputError unless what is given twice is the same."""
    same = other is None or np.array_equal(array, other)
    require(same, name, _shown(array), f"the same as in {source}, or left out beside it")


# ---- files


def _load(name: str, path: str | Path, n: int | None, files: str = FILES, numpy_alone: bool = False) -> Any:
    """An array, a sparse matrix, or a dictionary of arrays; told apart by how the file begins."""
    try:
        with open(path, "rb") as file:
            begin = file.read(6)
        if begin.startswith((b"\x93NUMPY", b"PK")) and not (numpy_alone and begin.startswith(b"PK")):
            return _of_numpy(path, begin)
        require(not numpy_alone and not str(path).endswith((".npy", ".npz")), name, path, f"a readable file: {files}")
        text = Path(path).read_text(encoding="utf-8-sig")
    except OSError as error:
        raise InputError(f"{name} = {path}: must be a readable file ({error.strerror}): {files}") from None
    except UnicodeDecodeError:
        raise InputError(f"{name} = {path}: must be a readable file, not of unknown bytes: {files}") from None
    except (ValueError, EOFError, KeyError, zipfile.BadZipFile) as error:
        if isinstance(error, InputError):
            raise
        raise InputError(f"{name} = {path}: must be a readable file (not an array of NumPy): {files}") from None
    rows = [(k, line.replace(",", " ").split()) for k, line in enumerate(text.splitlines(), 1) if _content(line)]
    return _of_text(name, path, [(k, [_value(name, path, k, word) for word in row]) for k, row in rows], n)


def _of_numpy(path: str | Path, begin: bytes) -> Any:
    if begin.startswith(b"PK"):
        with np.load(path, allow_pickle=False) as file:
            found = {key: file[key] for key in file.files}
        return scipy.sparse.load_npz(path) if "format" in found else found
    return np.load(path, allow_pickle=False)


def _content(line: str) -> bool:
    return bool(line.strip()) and line.strip()[0] not in "#%"


def _value(name: str, path: str | Path, k: int, word: str) -> float:
    number = _number(word)
    if number is None or not math.isfinite(number):
        raise InputError(f"{name} = {path}: must be a text of finite numbers, line {k} has {word}; {FILES}")
    return number


def _number(word: str) -> float | None:
    try:
        return float(word)
    except ValueError:
        return None


def _of_text(name: str, path: str | Path, rows: list[tuple[int, list[float]]], n: int | None) -> Any:
    """A matrix of n lines, one number a line, or pairs i j J_ij with 'n m' before them or counted from 0."""
    require(bool(rows), name, path, f"a file with something in it: {FILES}")
    widths = {len(row) for _, row in rows}
    size, *others = rows[0][1]
    if len(others) == 1 and size > 0 and widths <= {2, 3} and (3 in widths or len(rows) == 1 + others[0]):
        count = f"of {others[0]:g} lines 'i j J_ij' as its first line says, not {len(rows) - 1}"
        require(len(rows) == 1 + others[0], name, path, count)
        require(size == int(size), name, path, f"of a number of spins, not {size:g}")
        return _of_pairs(name, path, rows[1:], int(size), 1)
    if widths == {1}:
        return np.array([row[0] for _, row in rows])
    if widths == {3}:
        places = [number for _, row in rows for number in row[:2]]
        counted = 0 if min(places) == 0 else 1 if n is not None and max(places) == n else None
        require(counted is not None, name, path, "begun with a line 'n m', or counted from 0: index 0 is nowhere")
        return _of_pairs(name, path, rows, n if n is not None else 1 + int(max(places)), counted or 0)
    require(len(widths) == 1, name, path, f"of lines alike, {FILES}")
    return np.array([row for _, row in rows])


def _of_pairs(name: str, path: str | Path, rows: list[tuple[int, list[float]]], n: int, first: int) -> np.ndarray:
    """J from lines i j J_ij (1 where it is left out), each pair once or each twice in both orders."""
    require(n <= MOST_SPINS, name, path, f"of at most {MOST_SPINS} spins, not {n}")
    J, named = np.zeros((n, n)), np.zeros((n, n), int)
    for k, (i, j, *weight) in rows:
        fits = i == int(i) and j == int(j) and first <= min(i, j) and max(i, j) < n + first and i != j
        require(fits, name, path, f"of pairs of different spins {first} to {n + first - 1}, line {k} has {i:g} {j:g}")
        place = int(i) - first, int(j) - first
        require(not named[place], name, path, f"of pairs named once, line {k} has {i:g} {j:g} again")
        named[place] = 1
        J[place] = weight[0] if weight else 1.0
    both = named * named.T
    require(not np.any(both) or np.array_equal(named, named.T), name, path, "of pairs each once, or all in both orders")
    return J if np.any(both) else J + J.T


def _of_archive(name: str, shown: Any, found: dict[str, np.ndarray]) -> tuple[Any, Any]:
    J = next((found[key] for key in OF_J if key in found), None)
    if J is None and len(found) == 1:
        (J,) = found.values()
    has = ", ".join(found) or "nothing"
    require(J is not None, name, shown, f"an .npz file with {' or '.join(OF_J)}, and h for fields; it has {has}")
    return J, next((found[key] for key in OF_H if key in found), None)


# ---- arrays


def _dense(name: str, shown: Any, given: Any) -> Any:
    if type(given).__module__.partition(".")[0] == "networkx":
        import networkx

        require(given.number_of_nodes() <= MOST_SPINS, name, shown, f"a graph of at most {MOST_SPINS} nodes")
        return networkx.to_numpy_array(given)  # the nodes in their order, `weight` or 1
    if not scipy.sparse.issparse(given):
        return given
    require(given.ndim == 2, name, shown, f"a square matrix, not of shape {given.shape}")
    require(max(given.shape) <= MOST_SPINS, name, shown, f"of at most {MOST_SPINS} spins, not of shape {given.shape}")
    return given.toarray()


def _vector(name: str, shown: Any, array: Any, n: int) -> np.ndarray:
    h = real_array(name, shown, array)
    h = h.ravel() if h.ndim == 2 and 1 in h.shape else h
    require(h.shape == (n,), name, shown, f"of shape ({n},), a field for each of {n} spins, not {h.shape}")
    return h


def _shown(given: Any) -> str:
    if isinstance(given, str | Path):
        return str(given)
    try:
        shape = getattr(given, "shape", None) or np.shape(given)
    except ValueError:
        return "rows of different lengths"
    return f"array of shape {tuple(shape)}" if shape else str(given)
