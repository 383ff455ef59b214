"""Quantum spins 1/2: the transverse-field Ising model, the Heisenberg model, and any sum of Pauli matrices.

One module: three systems that are sums of Pauli matrices share their levels, approximations and observables.
"""

from __future__ import annotations

import itertools
from typing import TYPE_CHECKING, Any, ClassVar

import equinox as eqx
import jax
import numpy as np

from massieu import densities
from massieu.errors import finite, one_of, require
from massieu.exact.thermodynamics import Thermodynamics
from massieu.geometry import lattice_couplings
from massieu.physics.pauli import PauliSum, Term, conserves_spin, coupled_spins, eigenstates_of_pairs, heisenberg
from massieu.physics.pauli_text import first_line, printed, read, text_of
from massieu.states import circuit as circuits
from massieu.states.circuit import Bond, Circuit, brick_wall
from massieu.states.ensemble import MOST_EXACT, CircuitEnsemble
from massieu.systems.base import AbstractSystem, Reference, derived, given, parameter, temperature
from massieu.systems.ising import parse_shape

MOST_QUBITS = 20
SYMMETRIC = {
    "spin": circuits.EXCHANGE,
    "number": circuits.NUMBER,
    "real": circuits.REAL,
    "general": circuits.GENERAL,
}
NAMED = ("hardware-efficient", "qaoa")
P_OF_BITS = ("table", "made", "transformer", "rnn", "product")


class QubitSystem(AbstractSystem):
    """H as a sum of products of Pauli matrices at inverse temperature beta; a subclass sets `hamiltonian`, `bonds`."""

    if TYPE_CHECKING:  # a field here would be the first positional argument of every subclass
        hamiltonian: PauliSum
        terms: tuple[Term, ...]
        bonds: tuple[Bond, ...]
        beta: float

    @property
    def size(self) -> int:
        return self.hamiltonian.n

    @property
    def sums_over_all(self) -> bool:
        """Whether averages are sums over all basis states."""
        return self.size <= MOST_EXACT

    def _set(self, terms: list[Term], n: int | None, name: str, value: Any) -> None:
        """The Hamiltonian, and pairs of qubits that it joins; InputError if it is too large."""
        temperature(self.beta)
        highest = 1 + max((q for _, product in terms for q in product), default=0)
        size = highest if n is None else n
        require(2 <= size <= MOST_QUBITS, name, value, f"of 2 to {MOST_QUBITS} qubits")
        self.hamiltonian, self.terms = PauliSum.from_terms(terms, n), tuple(terms)
        self.bonds = joined(terms, size)

    def reference(self, seed: int = 0) -> Reference | None:
        """All levels by diagonalisation, of few enough qubits; beside it the qubits each on its own."""
        from massieu.exact.qubits import MOST_DIAGONALISED, levels, thermal

        own = [term for term in self.terms if len(term[1]) == 1]
        constant = sum(c for c, product in self.terms if not product)  # apart: levels far from zero would lose digits
        alone = thermal(_sums([_one_qubit(own, q) for q in range(self.size)]), self.beta)
        ideal = alone.shifted(constant, self.beta, "qubits without coupling")
        if self.size > MOST_DIAGONALISED:
            return Reference(self._closed_form(), {}, ideal)
        h = PauliSum.from_terms([term for term in self.terms if term[1]], self.size)
        exact = thermal(levels(h), self.beta)
        return Reference(exact.shifted(constant, self.beta, exact.method), {}, ideal)

    def _closed_form(self) -> Thermodynamics | None:
        """What is known of sizes that cannot be diagonalised."""
        return None

    def derived_observables(self, result: Any) -> dict[str, Any]:
        """Exact levels and correlations beside those of the ensemble, of few enough qubits."""
        from massieu.exact.qubits import MOST_EIGENSTATES, spectrum_and_averages

        if self.size > MOST_EIGENSTATES:
            return {}
        energies, averages = spectrum_and_averages(self.hamiltonian, self.beta)
        known = {"levels": energies[: len(result.observables["levels"]["value"])]} | averages
        return {f"exact_{name}": {"value": v.tolist(), "error": [0.0] * len(v)} for name, v in known.items()}

    def training_defaults(self) -> dict[str, Any]:
        if self.sums_over_all:
            return {"steps": 800}
        return {"steps": 300, "batch": 32, "samples": 1000}

    def notes(self) -> list[str]:
        how = "all basis states" if self.sums_over_all else "samples of basis states"
        kept = {"spin": "the total spin", "number": "the number of ones", "real": "reality"}.get(
            self.symmetries()[0], "nothing"
        )
        return [f"{self.size} qubits, {len(self.bonds)} bonds; H conserves {kept}; averages over {how}"]

    # ---- the ansatz

    def default_ansatz(self, options: Any) -> CircuitEnsemble:
        """p over bits and the circuit that the configuration names."""
        of_p, of_u = jax.random.split(jax.random.key(options.seed))
        generators = self._gates(options.circuit)
        spin = generators is circuits.EXCHANGE and self.sums_over_all
        start = {"basis": coupled_spins(self.size)} if spin else self._dimers()
        hardware = options.circuit == "hardware-efficient"
        circuit = Circuit(
            self.size,
            self.bonds,
            options.depth or self._depth(generators),
            generators=generators,
            entangler=circuits.CONTROLLED_PHASE if hardware else None,
            shared=options.circuit == "qaoa",
            scale=0.1 if spin else 0.01,
            key=of_u,
            **start,
        )
        return CircuitEnsemble(self._density(options, of_p), circuit)

    def _depth(self, generators: np.ndarray) -> int:
        if not self.sums_over_all:
            return 6
        return (2 if len(generators) > 5 else 3) * self.size

    def _dimers(self) -> dict[str, Any]:
        """The eigenstates of disjoint pairs, a row of bonds, and of the qubits left over (beside any other one)."""
        pairs = max(brick_wall(self.bonds), key=len)
        single = [(q, (q + 1) % self.size) for q in range(self.size) if not any(q in pair for pair in pairs)]
        own = [term for term in self.terms if len(term[1]) == 1 and not {b for _, b in single} & set(term[1])]
        gates = [eigenstates_of_pairs(own, single).reshape(-1, 4, 4), eigenstates_of_pairs(self.terms, pairs)]
        return {"first_bonds": (*single, *pairs), "first": np.concatenate(gates)}

    def _gates(self, circuit: str) -> np.ndarray:
        """Generators: by what H conserves ("auto"), or as named."""
        possible = self.symmetries()
        circuit = possible[0] if circuit == "auto" else circuit
        require(
            circuit not in SYMMETRIC or circuit in possible,
            "circuit",
            circuit,
            f"one of {', '.join((*possible, *NAMED))}",
        )
        if circuit == "qaoa":
            return self._terms_of_a_bond()
        return SYMMETRIC.get(circuit, circuits.LOCAL)

    def symmetries(self) -> tuple[str, ...]:
        """Kinds of gates that keep what H conserves, the narrowest first."""
        number = conserves_spin(self.hamiltonian, "Z")
        spin = number and conserves_spin(self.hamiltonian, "X")
        real = not np.iscomplexobj(self.hamiltonian.diagonals)
        return (*["spin"] * spin, *["number"] * number, *["real"] * real, "general")

    def _terms_of_a_bond(self) -> np.ndarray:
        """The kinds of terms of H on two qubits and on one (K, 4, 4), each one generator, as in QAOA."""
        names = {"".join(p[q] for q in sorted(p)) for _, p in self.terms if 1 <= len(p) <= 2}
        pairs = circuits.paulis(*sorted(name for name in names if len(name) == 2))
        singles = [circuits.paulis(f"{k}I") + circuits.paulis(f"I{k}") for k in sorted(names) if len(k) == 1]
        found = np.concatenate([pairs, *singles])
        require(len(found) > 0, "circuit", "qaoa", "another one: H has no terms of one or two qubits")
        return found

    def check_ansatz(self, options: Any) -> None:
        """InputError for gates and densities that are not for H; nothing is made."""
        self._gates(options.circuit)
        self._kind_of_density(options)

    def _kind_of_density(self, options: Any) -> str:
        kind = options.density
        require(options.width is None, "width", options.width, "left out for qubits")
        kind = ("table" if self.sums_over_all else "made") if kind == "auto" else kind
        one_of("density", kind, P_OF_BITS)
        require(
            kind != "table" or self.sums_over_all, "density", kind, f"another one for more than {MOST_EXACT} qubits"
        )
        return kind

    def _density(self, options: Any, key: Any) -> Any:
        n = self.size
        makers = {
            "table": lambda: None,
            "made": lambda: densities.MADE(n, key=key),
            "transformer": lambda: densities.CausalTransformer(n, key=key),
            "rnn": lambda: densities.RNN(n, key=key),
            "product": lambda: densities.ProductSpins(n, key=key),
        }
        return makers[self._kind_of_density(options)]()


class TransverseIsing(QubitSystem):
    """-J sum_<ij> Z_i Z_j - gamma sum_i X_i; a periodic direction of extent 2 has two bonds between the same pair."""

    name: ClassVar[str] = "tfim"
    summary: ClassVar[str] = "transverse-field Ising model of qubits, H = -J sum ZZ - gamma sum X"
    source: ClassVar[str] = "Liu, Mao, Zhang and Wang, Mach. Learn.: Sci. Technol. 2, 025011 (2021)"

    shape: str = parameter("8", "a ring or chain (8), or a rectangle (3x3)")
    gamma: float = parameter(1.0, "transverse field")
    beta: float = parameter(1.0, "inverse temperature")
    j: float = parameter(1.0, "coupling J (> 0: ferromagnet)")
    boundary: str = parameter("periodic", "periodic or open")
    hamiltonian: PauliSum = derived()
    terms: tuple = derived()
    bonds: tuple = derived()

    def __post_init__(self) -> None:
        finite("gamma", self.gamma)
        couplings = _couplings(self.shape, self.boundary, self.j)
        field = [(-float(self.gamma), {i: "X"}) for i in range(len(couplings))]
        pairs: list[Term] = [(-c, {i: "Z", j: "Z"}) for i, j, c in _upper(couplings)]
        self._set([*pairs, *field], len(couplings), "shape", self.shape)

    def _closed_form(self) -> Thermodynamics | None:
        """A ring of any size, by free fermions."""
        from massieu.exact.qubits import ising_ring_in_a_field

        short, long = parse_shape(self.shape)
        if short > 1 or self.boundary != "periodic":
            return None
        return ising_ring_in_a_field(long, self.beta, self.gamma, self.j)


class Heisenberg(QubitSystem):
    """J sum_<ij> S_i.S_j of spins 1/2, S = sigma/2."""

    name: ClassVar[str] = "heisenberg"
    summary: ClassVar[str] = "Heisenberg model of spins 1/2, H = J sum S.S"
    source: ClassVar[str] = "exact diagonalisation"

    shape: str = parameter("8", "a ring or chain (8), or a rectangle (3x3)")
    beta: float = parameter(1.0, "inverse temperature")
    j: float = parameter(1.0, "coupling J (> 0: antiferromagnet)")
    boundary: str = parameter("periodic", "periodic or open")
    hamiltonian: PauliSum = derived()
    terms: tuple = derived()
    bonds: tuple = derived()

    def __post_init__(self) -> None:
        couplings = _couplings(self.shape, self.boundary, self.j)
        terms = [term for i, j, c in _upper(couplings) for term in heisenberg([(i, j)], c)]
        require(bool(terms), "j", self.j, "different from zero")
        self._set(terms, len(couplings), "shape", self.shape)


class Qubits(QubitSystem):
    """Any sum of products of Pauli matrices, one term a line or as OpenFermion, PennyLane and Qiskit print them.

    hamiltonian: the text of the terms or the path of a file; or an operator of OpenFermion, PennyLane or Qiskit.
    """

    name: ClassVar[str] = "qubits"
    summary: ClassVar[str] = "any sum of products of Pauli matrices, one term a line: -1.0 Z0 Z1"
    source: ClassVar[str] = "exact diagonalisation"

    hamiltonian_file: str = parameter(
        "", "FILE of terms, or the terms themselves: '-1 [Z0 Z1] + 0.5 [X0]'", "hamiltonian"
    )
    beta: float = parameter(1.0, "inverse temperature")
    hamiltonian: PauliSum = given(said=True)
    terms: tuple = derived()
    bonds: tuple = derived()

    def __post_init__(self) -> None:
        before = self.hamiltonian
        operator = before is not None and not isinstance(before, PauliSum)  # a sum is what a copy takes over
        twice = operator and bool(self.hamiltonian_file)
        require(not twice, "hamiltonian", first_line(str(before)), "left out beside hamiltonian_file")
        text = printed(before) if operator else str(self.hamiltonian_file)
        require(bool(text), "hamiltonian", "nothing", "a file of terms such as -1.0 Z0 Z1, or the terms")
        self.hamiltonian_file = text_of(text)
        terms, n = read(self.hamiltonian_file)
        self._set(terms, n, "hamiltonian", first_line(text))
        same = operator or before is None or eqx.tree_equal(before, self.hamiltonian)
        require(bool(same), "hamiltonian", "a sum of Pauli matrices", "that of hamiltonian_file, or left out beside it")


def joined(terms: list[Term], n: int) -> tuple[Bond, ...]:
    """The pairs of qubits of terms with two or more of them (consecutive ones); neighbours where there are none."""
    qubits = [sorted(product) for _, product in terms]
    pairs = {(a, b) for row in qubits for a, b in itertools.pairwise(row)}
    return tuple(sorted(pairs)) if pairs else tuple((i, i + 1) for i in range(n - 1))


def _couplings(shape: str, boundary: str, j: float) -> np.ndarray:
    finite("j", j)
    one_of("boundary", boundary, ["periodic", "open"])
    sides = parse_shape(shape)
    n = sides[0] * sides[1]
    require(2 <= n <= MOST_QUBITS, "shape", shape, f"2 to {MOST_QUBITS} qubits")
    return lattice_couplings(sides, float(j), boundary == "periodic")


def _upper(couplings: np.ndarray) -> list[tuple[int, int, float]]:
    return [(int(i), int(j), float(couplings[i, j])) for i, j in np.argwhere(np.triu(couplings))]


def _one_qubit(terms: list[Term], q: int) -> np.ndarray:
    """Both levels of one qubit in the terms of it alone."""
    own: list[Term] = [(c, {0: kind}) for c, p in terms for at, kind in p.items() if at == q]
    return np.linalg.eigvalsh(PauliSum.from_terms([*own, (0.0, {0: "Z"})], 1).matrix())


def _sums(levels: list[np.ndarray]) -> np.ndarray:
    """All sums of one level of each qubit."""
    total = np.zeros(1)
    for level in levels:
        total = (total[:, None] + level).ravel()
    return total
