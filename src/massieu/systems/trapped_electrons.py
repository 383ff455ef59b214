"""Electrons, or other particles, in a trap with a potential of one's own: the model of a user's system.

H = -1/2 sum_i lap_i + potential(x) with hbar = m = omega = 1 of the oscillator whose states carry the ansatz.
"""

from __future__ import annotations

import math
from typing import Any, ClassVar

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array

from massieu.densities.labelled import LabelledOccupation
from massieu.densities.occupation import Occupation, SingleOccupation
from massieu.errors import at_least, one_of, require
from massieu.exact.thermodynamics import Thermodynamics
from massieu.exact.trapped_gas import ideal_gas
from massieu.physics.fermi_gas import free_energy
from massieu.principle import Estimate
from massieu.states import DensityMatrix
from massieu.states.oscillator import angular_momentum, quantum_numbers
from massieu.states.radial_flow import RadialFlow
from massieu.states.trapped import SECTORS, STATISTICS, TrappedFlow
from massieu.systems.base import derived, parameter
from massieu.systems.quantum import QuantumSystem

CUTOFF_TOLERANCE = 5e-5  # of kT per particle: error of F of the ideal gas that the cut-off of the shells may make
MOST_PARTICLES = 30
MOST_SHELLS = 40
MOST_CLASSES = 300
BINS = 60


class TrappedElectrons(QuantumSystem):
    """H = -1/2 sum_i lap_i + potential(x): n particles in a trap at inverse temperature beta; inf: the ground state.

    One method is needed, `potential(x)`, of positions x (n, dim), the trap included; spins up come first:

        class YukawaDot(TrappedElectrons):
            def potential(self, x):
                r = self.pair_distances(x)  # (pairs,)
                return 0.5 * jnp.sum(x**2) + jnp.sum(jnp.exp(-r) / r)

    The ansatz starts from oscillator states of frequency 1, and assumes that the potential grows about as r^2/2.
    """

    units: ClassVar[dict[str, str]] = {"energy": "hbar omega", "length": "sqrt(hbar/(m omega))"}

    n: int = parameter(6, "particles")
    polarised: bool = parameter(True, "all of one spin (true), or half of them (false)")
    dim: int = parameter(2, "dimensions of space, 1 to 3")
    beta: float = parameter(10.0, "inverse temperature; inf: the ground state")
    statistics: str = parameter("fermi", "fermi, bose or boltzmann (distinguishable particles)")
    shells: int | None = parameter(None, "oscillator shells (default: from the error target)")
    spins: tuple[int, ...] = derived()

    def __post_init__(self) -> None:
        at_least("n", self.n, 1)
        require(self.n <= MOST_PARTICLES, "n", self.n, f"at most {MOST_PARTICLES}")
        require(self.dim in (1, 2, 3), "dim", self.dim, "1, 2 or 3")
        require(isinstance(self.beta, (int, float)) and self.beta > 0, "beta", self.beta, "a number > 0, or inf")
        one_of("statistics", self.statistics, STATISTICS)
        fermions = self.statistics == "fermi"
        require(self.polarised or fermions, "polarised", self.polarised, f"true for statistics = {self.statistics}")
        require(self.polarised or self.n % 2 == 0, "polarised", self.polarised, f"true for odd n = {self.n}")
        require(fermions or self.n <= 8, "n", self.n, f"at most 8 for statistics = {self.statistics}")
        self.spins = (self.n,) if self.polarised else (self.n // 2, self.n // 2)
        least = self._filled()
        if self.shells is not None:
            at_least("shells", self.shells, least)
            require(self.shells <= MOST_SHELLS, "shells", self.shells, f"at most {MOST_SHELLS}")
        require(self._shells() <= MOST_SHELLS, "beta", self.beta, f"larger: more than {MOST_SHELLS} shells are thermal")

    @property
    def size(self) -> int:
        return self.n

    @property
    def kinetic_scale(self) -> float:
        return 0.5

    @property
    def imaginary_time(self) -> float:
        return 0.2

    @property
    def repulsion(self) -> float:
        """About the kappa of kappa/r between particles: how far the ansatz and the histograms reach; 0: none."""
        return 1.0

    def pair_distances(self, x: Array) -> Array:
        """Distances (n (n - 1)/2,) of all pairs of positions x (n, dim)."""
        i, j = np.triu_indices(self.n, 1)
        return jnp.sqrt(jnp.sum((x[i] - x[j]) ** 2, axis=-1))

    # ---- the ansatz

    def _filled(self) -> int:
        """Shells that hold the particles in their lowest states."""
        most = max(self.spins) if self.statistics == "fermi" else 1
        return next(s for s in range(1, MOST_PARTICLES + 1) if len(quantum_numbers(self.dim, s)) >= most)

    def _shells(self) -> int:
        """Shells kept: as given, or until F of ideal fermions of one spin changes by less than the error target."""
        if self.shells is not None:
            return self.shells
        if math.isinf(self.beta):
            return self._filled()
        count = max(self.spins) if self.statistics == "fermi" else 1
        levels = np.sum(quantum_numbers(self.dim, MOST_SHELLS), axis=1) + 0.5 * self.dim
        exact = -ideal_gas(count, self.dim, self.beta, "fermi")[0] / self.beta
        for shells in range(self._filled(), MOST_SHELLS + 1):
            kept = int(np.sum(levels < shells + 0.5 * self.dim - 0.25))
            if free_energy(levels, count, self.beta, kept) - exact < CUTOFF_TOLERANCE * count / self.beta:
                return shells
        return MOST_SHELLS + 1

    @property
    def orbitals_kept(self) -> int:
        """Orbitals of the thermal gas."""
        return len(quantum_numbers(self.dim, self._shells()))

    def default_ansatz(self, options: Any) -> DensityMatrix:
        for name, value in (("width", options.width), ("attention", options.attention or None)):
            require(value is None, name, value, f"left out for {self.name}, whose flow and p have no such layers")
        require(options.sampler == "direct", "sampler", options.sampler, f"direct for {self.name}")
        orbitals = quantum_numbers(self.dim, self._shells())
        size = (self.repulsion ** (1 / 3) + 1.0) * math.sqrt(1 + 1 / self.beta)
        layers = (options.depth or 3) if self.repulsion > 0 and self.n > 1 else 0
        sectors = 1 if math.isinf(self.beta) else SECTORS[self.dim]
        flow = RadialFlow(self.spins, self.dim, layers=layers, sectors=sectors, spacing=0.7 * size)
        return DensityMatrix(
            self._occupation(orbitals, options), TrappedFlow(self.spins, self.statistics, orbitals, flow)
        )

    def _occupation(self, orbitals: np.ndarray, options: Any) -> Any:
        quanta = orbitals.sum(axis=1)
        if math.isinf(self.beta):
            fermi = self.statistics == "fermi"
            lowest = [np.arange(count) if fermi else np.zeros(count, int) for count in self.spins]
            return SingleOccupation(np.concatenate(lowest)[None])
        weights = -self.beta * (quanta + 0.5 * self.dim)
        turning = np.abs(angular_momentum(orbitals))
        _, shell = np.unique(np.stack([quanta, turning], axis=1), axis=0, return_inverse=True)
        shell = shell.ravel()
        if self.statistics == "boltzmann":
            return LabelledOccupation(self.n, weights, shell)
        return Occupation(
            orbitals[None].astype(float),
            weights[None],
            self.spins,
            bosons=self.statistics == "bose",
            shell=shell,
            pair_class=self._pair_classes(orbitals, shell),
            key=jax.random.key(options.seed),
        )

    def _pair_classes(self, orbitals: np.ndarray, shell: np.ndarray) -> np.ndarray:
        """Pairs alike: by shell, |m| and sense of rotation; where these are too many by shell alone, or all alike."""
        m = angular_momentum(orbitals)
        quanta, sense = orbitals.sum(axis=1), np.sign(m[:, None] * m[None])
        for kind, turn in ((shell, sense), (quanta, 0 * sense), (0 * quanta, 0 * sense)):
            low, high = np.minimum(kind[:, None], kind[None]), np.maximum(kind[:, None], kind[None])
            labels = np.stack([low, high, turn], axis=-1).reshape(-1, 3)
            classes = np.unique(labels, axis=0, return_inverse=True)[1].reshape(sense.shape)
            if classes.max() < MOST_CLASSES:
                break
        two = len(self.spins) > 1
        return np.stack([classes, classes + (int(classes.max()) + 1 if two else 0)])

    # ---- what is known and measured

    def training_defaults(self) -> dict[str, Any]:
        batch = 512 if self.n <= 6 else 256
        how = {"optimiser": "adam", "learning_rate": 0.005, "remix": 0}
        return how | {"steps": 300, "batch": batch, "samples": 20_000}

    def notes(self) -> list[str]:
        shells = self._shells()
        found = [f"{shells} shells, {len(quantum_numbers(self.dim, shells))} orbitals"]
        counts = [len(quantum_numbers(self.dim, s)) for s in range(shells + 1)]
        if self.statistics == "fermi" and any(count not in counts for count in self.spins):
            found.append(f"n = {self.n} fills no shell: without repulsion the ground state is degenerate")
        return found

    def ideal(self) -> Thermodynamics:
        """Without repulsion: the canonical gas of this trap, all shells."""
        method = "canonical ideal gas in the trap"
        if math.isinf(self.beta):
            levels = np.sort(np.sum(quantum_numbers(self.dim, self._filled()), axis=1)) + 0.5 * self.dim
            fermi = self.statistics == "fermi"
            E = float(sum(levels[:count].sum() if fermi else count * levels[0] for count in self.spins))
            return Thermodynamics(Estimate(E), Estimate(E), None, None, Estimate(math.nan), method)
        parts = [ideal_gas(count, self.dim, self.beta, self.statistics) for count in self.spins]
        lnZ, E = (sum(part[k] for part in parts) for k in (0, 1))
        F = Estimate(-lnZ / self.beta)
        return Thermodynamics(F, Estimate(E), Estimate(lnZ + self.beta * E), None, Estimate(lnZ), method)

    def reach(self) -> float:
        """A radius that holds the density: of figures and histograms."""
        spread = max(1.0, self._filled() - 1 + 1 / self.beta)
        return 2.2 * math.sqrt(spread) + 1.6 * (self.repulsion * self.n) ** (1 / 3)

    def observables(self, label: Array, x: Array) -> dict[str, Array]:
        """<sum r^2>, the centre of mass, densities by distance from the centre and between pairs (counts in bins)."""
        centre = jnp.mean(x, axis=0)
        edges, r = jnp.linspace(0, self.reach(), BINS + 1), jnp.sqrt(jnp.sum(x**2, axis=1))
        found = {
            "r_squared": jnp.sum(x**2),
            "centre_of_mass_squared": self.n * jnp.sum(centre**2),
            "radial_counts": jnp.histogram(r, edges)[0] * 1.0,
        }
        if self.n > 1:
            i, j = np.triu_indices(self.n, 1)
            apart = jnp.sqrt(jnp.sum((x[i] - x[j]) ** 2, axis=-1))
            found["pair_counts"] = jnp.histogram(apart, 2 * edges)[0] * 1.0
        return found

    def checks(self, x: Array, kinetic: Array, gradient: Array) -> dict[str, Array]:
        """Also the virial theorem, 2 T = <sum r.grad V>, and that of the centre of mass R.

        2 T_cm - R.sum_i grad_i V with T_cm = |sum_i grad_i ln Psi|^2/(2 N); in a harmonic trap the latter is N R^2.
        """
        force = jax.grad(self.potential)(x)
        own = jnp.sum(jnp.abs(jnp.sum(gradient, axis=0)) ** 2) / self.n
        found = super().checks(x, kinetic, gradient)
        found["virial"] = 2 * kinetic - jnp.sum(x * force)
        return found | {"centre_of_mass_virial": own - jnp.mean(x, axis=0) @ jnp.sum(force, axis=0)}
