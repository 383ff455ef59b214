"""The Hopfield model: P patterns stored in the couplings J_ij = (1/n) sum_mu xi_i^mu xi_j^mu, in any field h_i."""

from __future__ import annotations

from typing import ClassVar

import jax.numpy as jnp
import numpy as np
import scipy
from jax import Array

from massieu.errors import InputError, at_least, require
from massieu.exact.thermodynamics import Thermodynamics
from massieu.systems.base import PairwiseSpins, derived, given, parameter, temperature
from massieu.systems.couplings import MOST_SPINS, chosen_fields, fields_parameter, read_array


class Hopfield(PairwiseSpins):
    """Associative memory; the overlaps m_mu = (1/n) sum_i xi_i^mu s_i say which pattern a configuration recalls."""

    name: ClassVar[str] = "hopfield"
    summary: ClassVar[str] = "Hopfield model with P stored patterns, J_ij = (1/n) sum_mu xi_i xi_j"
    source: ClassVar[str] = "exact: sum over the magnetisations of the classes of sites with equal patterns"

    n: int | None = parameter(None, "number of spins (default: 100, or the length of the patterns in the file)")
    patterns: str = parameter("2", "number of orthogonal patterns, or a .npy file of shape (P, n) with entries +-1")
    beta: float = parameter(1.5, "inverse temperature")
    fields_file: str | None = fields_parameter()
    fields: np.ndarray | None = given()
    xi: np.ndarray = derived()
    couplings: np.ndarray = derived()
    field: np.ndarray = derived()

    def __post_init__(self) -> None:
        temperature(self.beta)
        if self.n is not None:
            at_least("n", self.n, 1)
            require(self.n <= MOST_SPINS, "n", self.n, f"at most {MOST_SPINS}")
        self.patterns = str(self.patterns)
        if self.patterns.lstrip("+-").isdecimal():
            self.n = 100 if self.n is None else self.n
            self.xi = orthogonal_patterns(int(self.patterns), self.n)
        else:
            self.xi = _read_patterns(self.patterns, self.n)
            self.n = self.xi.shape[1]
        self.couplings = self.xi.T @ self.xi / self.n
        np.fill_diagonal(self.couplings, 0.0)
        self.fields, self.fields_file = chosen_fields(self.fields, self.fields_file, None, self.n)
        self.field = np.zeros(self.n) if self.fields is None else self.fields

    def own_arrays(self) -> dict[str, np.ndarray]:
        return {} if self.fields is None else {"fields": self.fields}

    def observables(self, x: Array) -> dict[str, Array]:
        """Overlaps with the patterns and the recalled one: fractions of +xi_1, -xi_1, +xi_2, ... (shape 2P)."""
        overlap = jnp.asarray(self.xi) @ x / len(x)
        nearest = 2 * jnp.argmax(jnp.abs(overlap))
        nearest = nearest + (overlap[nearest // 2] < 0)
        modes = jnp.zeros(2 * len(overlap)).at[nearest].set(1.0)
        return super().observables(x) | {"abs_overlap": jnp.abs(overlap), "retrieval_fractions": modes}

    def exact(self, seed: int) -> Thermodynamics:
        from massieu.exact.hopfield import hopfield_classes

        if np.any(self.field):
            return super().exact(seed)
        try:
            return hopfield_classes(self.xi, self.beta)
        except ValueError:  # too many classes of sites
            return super().exact(seed)


def orthogonal_patterns(count: int, n: int) -> np.ndarray:
    """`count` orthogonal patterns (count, n): rows of a Hadamard matrix, each column repeated n / order times."""
    at_least("patterns", count, 1)
    order = 1 << (count - 1).bit_length()
    if n % order:
        raise InputError(f"n = {n}: must be a multiple of {order} for {count} orthogonal patterns")
    return np.repeat(scipy.linalg.hadamard(order)[:count].astype(float), n // order, axis=1)


def _read_patterns(path: str, n: int | None) -> np.ndarray:
    xi = read_array("patterns", path)
    require(xi.ndim == 2 and xi.size > 0, "patterns", path, f"of shape (P, n), not {xi.shape}")
    require(n is None or xi.shape[1] == n, "patterns", path, f"of shape (P, {n}) as n = {n} says, not {xi.shape}")
    require(bool(np.all(np.abs(xi) == 1)), "patterns", path, "made of +1 and -1")
    return xi
