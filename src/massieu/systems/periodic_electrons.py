"""Electrons in a periodic square or cubic box, with a potential of one's own: the model of a user's system.

H = -sum lap + potential(x), in Ry and a0; T = theta T_F.  A subclass has `potential`; the ansatz comes with the base.

One module: parameters, plane waves, ansatz and observables of electrons in a box belong together.
"""

from __future__ import annotations

import math
from typing import Any, ClassVar

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jax import Array

from massieu.densities.ideal_occupation import IdealOccupation
from massieu.densities.occupation import Occupation, SingleOccupation, TabulatedOccupation
from massieu.densities.transformer import HEADS
from massieu.errors import at_least, finite, positive, require
from massieu.exact.thermodynamics import Thermodynamics
from massieu.geometry import half_space, integer_vectors, minimum_image, plane_waves
from massieu.observables import landau
from massieu.observables.effective_mass import effective_mass_ratio
from massieu.physics import momentum_shells
from massieu.physics.plane_wave_basis import Gas, PlaneWaves, shared_basis
from massieu.physics.twists import twist_vectors
from massieu.principle import Estimate
from massieu.states import DensityMatrix, FermionFlow, PairFlow
from massieu.states.backflow import Backflow
from massieu.states.correlated import CorrelatedStates
from massieu.states.correlated_flow import CorrelatedFlow
from massieu.states.jastrow import Jastrow, cusp_slopes
from massieu.states.mixing import Mixing
from massieu.states.sectors import low_sets, sorted_sectors, symmetries
from massieu.systems.base import derived, parameter
from massieu.systems.inheritance import holds
from massieu.systems.quantum import QuantumSystem
from massieu.units import box_length, fermi_temperature, fermi_wavevector

CUTOFF_TOLERANCE = 5e-5  # of kT per particle, see choose_cutoff
BY_MOMENTUM = 6  # up to this many electrons each total momentum has its own flow
RESOLUTION = {1: 1.2, 2: 2.0}  # by number of spins: Fourier vectors of the flow up to this times L/rs
PARTNERS = 25_000  # up to BY_MOMENTUM electrons: levels beyond the thermal ones, up to so many determinants, for `mix`
MOST_LEVELS = 1_000_000
MOST_PAIRED = 3000  # plane waves with interactions between pairs of them in p(K), and of correlated states
MOST_PLANE_WAVES = 50_000
MOST_CLASSES = 400  # shifts of a tabulated p(K)
LEAST_ENTROPY = 1e-3  # of the ideal gas, for a ratio with it
BINS = 60
WARM = 1.0  # of T_F: up to there sectors of few electrons have the lower F
COLD = 0.1  # of T_F: temperature of the weights of sectors for the ground state
LEFT_OUT = 2e-4  # weight of the ideal gas that sectors may leave out
MIXED = {1: (64, 128), 2: (128, 192)}  # by number of spins: determinants of one momentum, the fewest that do that
MOST_ORBITALS = 250  # that correlated determinants of few electrons are made of
LEAST_REACH = 0.3  # of T_F: temperature whose thermal momenta these hold at least
JASTROW_RANGE = 1.8  # sqrt(rs) a0: of the first pair functions
UNDER_FLOW = 0.2  # of it, where a flow is to do most


class PeriodicElectrons(QuantumSystem):
    """H = -sum_i lap_i + potential(x): n electrons in a periodic box at density parameter rs and temperature theta T_F.

    One method is needed, `potential(x)` (Ry), of positions x (n, dim) in units of the box; spins up come first:

        class Yukawa(PeriodicElectrons):
            def potential(self, x):
                r = self.pair_distances(x)  # (pairs,) in a0, to the nearest image
                return jnp.sum(2 * jnp.exp(-r) / r)
    """

    units: ClassVar[dict[str, str]] = {"energy": "Ry", "length": "a0"}
    states: ClassVar[tuple[str, ...]] = ("flow", "correlated")
    pole: ClassVar[float] = 0.0  # q of a potential that is 2 q/r (Ry) where two electrons meet: cusps of the states

    n: int = parameter(13, "electrons")
    dim: int = parameter(2, "dimensions of space, 2 or 3")
    rs: float = parameter(5.0, "density parameter: radius in a0 of the volume of one electron")
    theta: float = parameter(0.15, "temperature in units of T_F of the majority spin; 0: ground state")
    polarised: bool = parameter(True, "all spins up (true), or half of them (false)")
    n_down: int | None = parameter(None, "number of spins down (default: 0 or n/2), any polarisation")
    twist: str = parameter("0", "boundary phase in units of 2 pi: a number, one per axis, or average")
    twists: str = parameter("grid:4", "points of twist = average: grid:N per axis, or random:N in all")
    cutoff: int | None = parameter(None, "number of plane waves (default: from the error target)")
    spins: tuple[int, ...] = derived()
    twist_vectors: np.ndarray = derived()  # (Q, dim)
    length: float = derived()

    def __post_init__(self) -> None:
        at_least("n", self.n, 1)
        require(self.dim in (2, 3), "dim", self.dim, "2 or 3")
        positive("rs", self.rs)
        require(1e-6 <= self.rs <= 1e6, "rs", self.rs, "between 1e-6 and 1e6")
        finite("theta", self.theta)
        require(self.theta == 0 or self.theta >= 1e-6, "theta", self.theta, "0 (the ground state) or at least 1e-6")
        self.spins = self._spins()
        self.length = box_length(self.n, self.rs, self.dim)
        self.twist_vectors = twist_vectors(str(self.twist), str(self.twists), self.dim)
        levels = momentum_shells.number_of_levels(max(self.spins), self.dim, self.length, self.temperature)
        allowed = f"smaller: {levels:.1g} thermal momenta are more than {MOST_LEVELS}"
        require(levels <= MOST_LEVELS, "theta", self.theta, allowed)
        if self.cutoff is not None:
            most = max(self.spins)
            allowed = f"from {most}, one plane wave per electron, to {MOST_PLANE_WAVES}"
            require(most <= self.cutoff <= MOST_PLANE_WAVES, "cutoff", self.cutoff, allowed)

    def _spins(self) -> tuple[int, ...]:
        if self.n_down is not None:
            ok = isinstance(self.n_down, int) and 0 <= self.n_down <= self.n // 2
            require(ok, "n_down", self.n_down, f"an integer from 0 to {self.n // 2} for n = {self.n}")
            half = self.polarised or 2 * self.n_down == self.n
            require(half, "n_down", self.n_down, f"left out or {self.n / 2:g} where polarised is false")
            return (self.n - self.n_down, self.n_down) if self.n_down else (self.n,)
        if self.polarised:
            return (self.n,)
        require(self.n % 2 == 0, "polarised", self.polarised, f"true for odd n = {self.n} (or give n_down)")
        return (self.n // 2, self.n // 2)

    @property
    def size(self) -> int:
        return self.n

    @property
    def temperature(self) -> float:
        """kT (Ry)."""
        return self.theta * fermi_temperature(self.rs, self.dim, self.spins[0] / self.n)

    @property
    def beta(self) -> float:
        return 1 / self.temperature if self.theta > 0 else math.inf

    @property
    def energy_scale(self) -> float:
        return fermi_temperature(self.rs, self.dim, self.spins[0] / self.n)

    @property
    def orbitals_kept(self) -> int:
        """Orbitals of the thermal gas."""
        return len(self.plane_waves().vectors)

    @property
    def kinetic_scale(self) -> float:
        return 1 / self.length**2

    @property
    def couples(self) -> bool:
        """Whether the potential couples electrons; if not, plane waves are the states and nothing moves them."""
        return True

    def pair_distances(self, x: Array) -> Array:
        """Distances (n (n - 1)/2,) in a0 of all pairs, each to the nearest image, of positions x (n, dim)."""
        i, j = np.triu_indices(self.n, 1)
        return self.length * jnp.sqrt(jnp.sum(minimum_image(x[i] - x[j]) ** 2, axis=-1))

    # ---- the ansatz

    def plane_waves(self, partners: bool = True) -> PlaneWaves:
        """Integer momenta kept at all twists, and the error of F of the ideal gas that the cut-off makes (Ry).

        partners: with those that few electrons are scattered to, beside the thermal ones.
        """
        twists = tuple(map(tuple, self.twist_vectors.tolist()))
        gas = Gas(self.spins, self.dim, self.length, twists, self.temperature)
        more = PARTNERS if partners and self.couples and self.n <= BY_MOMENTUM else 0
        return shared_basis(gas, self.cutoff, CUTOFF_TOLERANCE, more)

    def _checked_plane_waves(self, options: Any) -> np.ndarray:
        """The plane waves; InputError where they are too many, or for layers of p(K) that it has no use for."""
        vectors, _ = self.plane_waves()
        count = f"smaller, or cutoff given: {len(vectors)} plane waves are more than {MOST_PLANE_WAVES}"
        require(len(vectors) <= MOST_PLANE_WAVES, "theta", self.theta, count)
        hot = f"{{}} for {len(vectors)} plane waves, more than {MOST_PAIRED}"
        paired = len(vectors) <= MOST_PAIRED
        require(paired or options.states == "flow", "states", options.states, hot.format("flow"))
        require(paired or not options.attention, "attention", options.attention, hot.format("0"))
        require(paired or len(self.twist_vectors) == 1, "twist", self.twist, hot.format("a single one"))
        table = "0: p(K) is a table for so few electrons, or at T = 0"
        free = self.theta > 0 and not self.tabulates(vectors)
        require(free or not options.attention, "attention", options.attention, table)
        ok = options.width is None or (options.attention > 0 and options.width % HEADS == 0)
        require(ok, "width", options.width, f"a multiple of {HEADS} with attention >= 1, or left out")
        return vectors

    def tabulates(self, vectors: np.ndarray) -> bool:
        """Whether p(K) is a table of all sets of momenta, and `mixing` mixes their determinants."""
        return False

    def mixing(self, vectors: np.ndarray) -> Mixing:
        """How determinants of one total momentum are mixed before the flow carries them."""
        raise NotImplementedError

    def default_ansatz(self, options: Any) -> DensityMatrix:
        vectors = self._checked_plane_waves(options)
        of_p, of_flow = jax.random.split(jax.random.key(options.seed))
        momenta = vectors + self.twist_vectors[:, None]
        energies = (2 * np.pi / self.length) ** 2 * np.sum(momenta**2, axis=-1)
        if options.states == "correlated" and self.few:
            return self._few_correlated(options)
        if options.states == "correlated":
            return DensityMatrix(
                self._occupation(vectors, momenta, energies, options, of_p), self._correlated(vectors, options)
            )
        mixing = self.mixing(vectors) if self.tabulates(vectors) else None
        layers = (options.depth or 3) if self.couples else 0
        flow = self._flow(layers, of_flow, by_momentum=self.n <= BY_MOMENTUM)
        psi = FermionFlow(self.spins, vectors, self.twist_vectors, mixing, flow)
        if self.theta == 0:
            ground = self._ground_sets(vectors) if mixing is None else self._mixed_ground_sets(mixing, vectors)
            return DensityMatrix(SingleOccupation(ground), psi)
        if mixing is not None:
            return DensityMatrix(self._table(mixing, vectors), psi)
        return DensityMatrix(self._occupation(vectors, momenta, energies, options, of_p), psi)

    def _occupation(self, vectors: np.ndarray, momenta: np.ndarray, energies: np.ndarray, options: Any, key: Array):
        """p(K) that starts from the ideal gas; of the ground state the lowest set."""
        if self.theta == 0:
            return SingleOccupation(self._ground_sets(vectors))
        if len(vectors) > MOST_PAIRED:
            return IdealOccupation(momenta, -self.beta * energies, self.spins)
        sizes = {"width": options.width or 16, "depth": options.attention}
        return Occupation(momenta, -self.beta * energies, self.spins, **sizes, key=key)

    def _correlated(self, vectors: np.ndarray, options: Any) -> CorrelatedStates:
        """A Jastrow factor with the cusps of the potential and a first guess; a backflow that starts from zero."""
        slopes = tuple(self.pole * slope for slope in cusp_slopes(self.dim, self.length))
        range_ = JASTROW_RANGE * math.sqrt(self.rs) / self.length * (UNDER_FLOW if options.depth else 1.0)
        jastrow = Jastrow(self.spins, self.dim, slopes)
        jastrow = jastrow.guess(range_) if self.pole else jastrow
        parts = (self.spins, vectors, self.twist_vectors, None, jastrow)
        if options.depth:
            flow = self._flow(options.depth, jax.random.key(options.seed), by_momentum=False)
            return CorrelatedFlow(*parts, None, flow)
        wanted = not self.few if options.backflow is None else options.backflow
        return CorrelatedStates(*parts, Backflow(self.spins, self.dim) if wanted else None)

    def _flow(self, layers: int, key: Array, *, by_momentum: bool) -> PairFlow:
        """A flow that starts near the identity, as fine as the electrons are far apart."""
        radius = RESOLUTION[len(self.spins)] * self.length / self.rs
        return PairFlow(self.spins, self.dim, layers=layers, radius=radius, by_momentum=by_momentum, key=key)

    @property
    def default_states(self) -> str:
        """The family with the lower F where that was measured: correlated for the Coulomb gas, unless it is very hot.

        Where few electrons are asked for a cut-off of their plane waves, or are too hot for sectors, the flow has them.
        """
        if not self.couples or not self.pole or self.n == 1:
            return "flow"
        if self.few:
            return "correlated" if self.cutoff is None and self.theta <= WARM else "flow"
        return "correlated" if len(self.plane_waves().vectors) <= MOST_PAIRED else "flow"

    @property
    def few(self) -> bool:
        """Whether correlated states are mixed and diagonalised, sector by sector."""
        return self.n <= BY_MOMENTUM and len(self.twist_vectors) == 1

    def _few_correlated(self, options: Any) -> DensityMatrix:
        """Sectors of determinants with a Jastrow factor, and p a table that starts from the ideal gas."""
        allowed = f"left out for n = {self.n}, where determinants are mixed"
        require(not options.backflow, "backflow", options.backflow, allowed)
        require(not options.depth, "depth", options.depth, allowed)
        require(self.cutoff is None, "cutoff", self.cutoff, "left out for correlated states of few electrons")
        unit = fermi_temperature(self.rs, self.dim, self.spins[0] / self.n)
        twist, kinetic_beta = self.twist_vectors[0], 1 / (self.temperature or COLD * unit)
        vectors, energies = momentum_shells.whole_shells(
            max(self.spins), self.dim, self.length, twist, max(self.temperature, LEAST_REACH * unit), MOST_ORBITALS
        )
        found, turns = low_sets(energies, self.spins), symmetries(vectors, twist, self.spins)
        for most in MIXED[len(self.spins)]:
            sectors = sorted_sectors(found, vectors, energies, self.spins, turns, most, kinetic_beta)
            if sum(family.weight for family in sectors.families) > 1 - LEFT_OUT:
                break
        psi = eqx.tree_at(
            lambda psi: psi.mixing, self._correlated(vectors, options), sectors, is_leaf=lambda x: x is None
        )
        log_weights = -kinetic_beta * energies[sectors.sets].sum(axis=1)
        if self.theta == 0:
            lowest = np.lexsort((np.arange(len(log_weights)), -np.round(log_weights, 9)))[0]
            log_weights = np.where(np.arange(len(log_weights)) == lowest, 0.0, -1e30)
        none = np.zeros(len(log_weights), int)
        return DensityMatrix(TabulatedOccupation(sectors.index, sectors.sets, log_weights[None], none, 0.0 * none), psi)

    def exchange(self, vectors: np.ndarray) -> np.ndarray:
        """What a pair of equal spin in plane waves k, k' gains by exchange (M, M), to lowest order (Ry)."""
        return np.zeros((len(vectors), len(vectors)))

    def _table(self, mixing: Mixing, vectors: np.ndarray) -> TabulatedOccupation:
        """p(K) over all sets from the energies of the mixed determinants; sets alike by symmetry share one shift."""
        sets = mixing.all_sets()
        total = np.sum(vectors[sets], axis=1)
        unit = (2 * np.pi / self.length) ** 2
        log_weights = -self.beta * unit * self._mixed_energies(mixing, total)
        intrinsic = np.round(mixing.energies - np.sum(total**2, axis=1) / self.n, 7)
        known = self.beta * unit * (mixing.energies - np.sum(vectors[sets] ** 2, axis=(1, 2)))
        _, classes = np.unique(intrinsic, return_inverse=True)
        weight = np.exp(log_weights - log_weights.max(axis=1, keepdims=True)).mean(axis=0)
        order = np.argsort(-np.bincount(classes.ravel(), weight))  # the most frequent first, the rest together
        place = np.minimum(np.argsort(order), MOST_CLASSES)
        return TabulatedOccupation(mixing.rank, sets, log_weights, place[classes.ravel()], known)

    def _mixed_energies(self, mixing: Mixing, total: np.ndarray) -> np.ndarray:
        """Energies (Q, n) at each twist of the mixed states of total momenta (n, dim), in units of (2 pi/L)^2."""
        boost = 2 * total @ self.twist_vectors.T + self.n * np.sum(self.twist_vectors**2, axis=1)
        return (mixing.energies[:, None] + boost).T

    def _mixed_ground_sets(self, mixing: Mixing, vectors: np.ndarray) -> np.ndarray:
        """The label (Q, N) of the lowest mixed state at each twist."""
        sets = mixing.all_sets()
        return sets[np.argmin(self._mixed_energies(mixing, np.sum(vectors[sets], axis=1)), axis=1)]

    def _ground_sets(self, vectors: np.ndarray) -> np.ndarray:
        """The lowest orbitals (Q, N) of each spin at each twist; of an open shell those with the lowest exchange."""
        rows = []
        for twist in self.twist_vectors:
            levels = np.sum((vectors + twist) ** 2, axis=1)
            sets = [momentum_shells.ground_set(levels, vectors, count) for count in self.spins]
            rows.append(np.concatenate(sets))
        return np.array(rows)

    # ---- what is known and measured

    def training_defaults(self) -> dict[str, Any]:
        small = self.n <= BY_MOMENTUM
        return {"steps": 400, "batch": 512 if small else 256, "samples": 100_000 if small else 20_000}

    def notes(self) -> list[str]:
        found = []
        vectors, error = self.plane_waves()
        found.append(f"{len(vectors)} plane waves per spin; the cut-off raises F of the ideal gas by {error:.1g} Ry")
        if error > CUTOFF_TOLERANCE * self.temperature * self.n:
            found.append(f"cutoff = {self.cutoff} leaves out populated momenta; it should be larger")
        if not self.closed_shell():
            found.append(f"n = {self.n} fills no shell at this twist: the ground state is degenerate")
        return found

    def closed_shell(self) -> bool:
        """Whether the lowest orbitals of every spin and twist are separated from the next by a gap."""
        for twist in self.twist_vectors:
            _, energies = momentum_shells.complete_levels(max(self.spins) + 1, self.dim, self.length, twist, 0.0)
            for count in self.spins:
                if count and energies[count] - energies[count - 1] < 1e-9 * energies[count]:
                    return False
        return True

    def ideal(self) -> Thermodynamics:
        """The canonical ideal gas of this box, averaged over the twists; exact to about 1e-12."""
        gases = [
            momentum_shells.ideal_box(self.spins, self.dim, self.length, twist, self.temperature)
            for twist in self.twist_vectors
        ]
        F, E, S, C = (Estimate(float(np.mean([getattr(gas, name) for gas in gases]))) for name in "FESC")
        lnZ = Estimate(-self.beta * F.value) if self.theta > 0 else Estimate(math.nan)
        return Thermodynamics(F, E, S, C, lnZ, "canonical ideal gas, elementary symmetric polynomials")

    def observables(self, label: Array, x: Array) -> dict[str, Array]:
        """g(r) in bins up to L/2, S(k) = |rho_k|^2/N on the shortest vectors."""
        amplitude = jnp.sum(plane_waves(x, self.structure_vectors()), axis=0)
        found = {"structure_factor": (amplitude.real**2 + amplitude.imag**2) / self.n}
        if self.n > 1:
            i, j = np.triu_indices(self.n, 1)
            distance = jnp.sqrt(jnp.sum(minimum_image(x[i] - x[j]) ** 2, axis=-1))
            found["pair_correlation"] = jnp.histogram(distance, BINS, (0.0, 0.5))[0] / self.uncorrelated_pairs()
        return found

    def uncorrelated_pairs(self) -> np.ndarray:
        """Pairs in each bin of r (up to L/2) for independent electrons: what g(r) = 1 means."""
        edges = np.linspace(0, 0.5, BINS + 1)
        volume = np.pi * edges**2 if self.dim == 2 else 4 / 3 * np.pi * edges**3
        return 0.5 * self.n * (self.n - 1) * np.diff(volume)

    def structure_vectors(self) -> np.ndarray:
        """Integer vectors of S(k), up to three times the Fermi wavevector of the majority spin."""
        radius = 3 * fermi_wavevector(self.rs, self.dim, self.spins[0] / self.n) * self.length / (2 * np.pi)
        return half_space(integer_vectors(self.dim, radius))

    def derived_observables(self, result: Any) -> dict[str, Any]:
        """m*/m = S/S_0, S_0 of the ideal gas in the same box (none where S is a degeneracy); Landau's functional.

        The error of m*/m contains how far S is from that of the best p, where that is known (`entropy_step`).
        """
        if self.theta == 0 or not self.couples or not holds(type(self), "ideal"):
            return {}
        found: dict[str, Any] = {}
        ideal = self.ideal().S
        if ideal is not None and ideal.value > LEAST_ENTROPY and result.S.error > 1e-9 * result.S.value:
            step = result.observables.get("entropy_step", {}).values()
            S = Estimate(result.S.value, math.hypot(result.S.error, *step))
            found["effective_mass_ratio"] = effective_mass_ratio(S, ideal).as_dict()
        fit = self.landau(result.samples["label"], result.samples["log_prob"])
        if fit is not None:
            if math.isfinite(fit.mass.value):
                found["effective_mass_from_levels"] = fit.mass.as_dict()
            found["landau"] = fit.as_dict()
        return found

    def landau(self, label: np.ndarray, log_prob: np.ndarray) -> landau.LandauFit | None:
        """Quasi-particle energies and their interaction from samples of p(K).

        None if too few sets were drawn, or the gas is so hot that p has no interactions.
        """
        vectors = self.plane_waves().vectors
        if len(vectors) > MOST_PAIRED:
            return None
        orbitals = landau.Orbitals(vectors, self.twist_vectors, self.spins, self.length)
        return landau.fit(label, log_prob, self.beta, orbitals)
