"""Dense hydrogen: N classical protons and N electrons in a periodic cubic box.

H = sum_i p_i^2 (electrons) + sum over all pairs 2 q q'/r (Ewald, self-images included) + protons' kinetic energy, in Ry
and a0; T in K.  The protons are indistinguishable classical particles: 1/N! and the thermal wavelength are in F and S.

One module: parameters, energies, ansatz and observables of one system belong together.
"""

from __future__ import annotations

import io
import math
from collections.abc import Mapping
from typing import Any, ClassVar, NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jax import Array

from massieu.densities.levels import LevelOccupation
from massieu.densities.protons import FixedProtons, ProtonFlow
from massieu.errors import at_least, one_of, positive, require
from massieu.geometry import integer_vectors, minimum_image
from massieu.physics.ewald import Ewald
from massieu.physics.twists import twist_vectors
from massieu.states.geminal import Geminal
from massieu.states.levels_among_protons import FEATURES, DressedLevels, LevelsAmongProtons
from massieu.states.thermal import ThermalState
from massieu.states.thermal_correlated import CorrelatedThermal
from massieu.systems.base import AbstractSystem, Reference, derived, parameter
from massieu.systems.inheritance import holds
from massieu.units import ANGSTROM, GPA, KELVIN_PER_RYDBERG, box_length

MASSES = {"h": 1836.15267343, "d": 3670.48296788, "t": 5496.92153573}  # of the nuclei in electron masses (CODATA 2018)
MOST_PARTICLES = 128
RS = 1.4  # where neither rs nor box is given
COLDEST = 1.0  # K, of anything thermal
SHORTEST = 0.1  # a0, of a bond
BINS = 60
MOLECULE = 1.8  # a0: mutual nearest neighbours closer than this are counted as a molecule
SCREENING = 1.2  # 1/a0, of the pair potential on which the protons' density is tuned before the electrons come in
THERMAL = 12.0  # kT above the Fermi energy up to which thermal electrons have plane waves
MOST_PLANE_WAVES = 400
METALLIC = 1.6  # rs up to which the pairing function has plane waves alone
WIDTH, PAIR_WIDTH = 16, 16
LEAST_WALKERS = 4  # of one (S, n), for what overlaps cost
STATES = ("correlated", "flow")  # of thermal electrons


class Atoms(eqx.Module):
    """rho = int dS p(S) |S><S| x |Psi_S><Psi_S|: a density of the protons and a state of the electrons given them."""

    protons: Any
    psi: Any
    occupation: Any = None  # p(n|S) of thermal electrons

    @property
    def overlapping(self) -> bool:
        """Whether electrons are in several states at one S whose norms and overlaps are not known."""
        return self.occupation is not None and not self.psi.orthonormal


class Ions(NamedTuple):
    """What classical protons add to totals: ideal parts of F and E (Ry), S (k_B), and the offset of -ln p(S)."""

    F: float
    E: float
    S: float


class Hydrogen(AbstractSystem):
    """n protons and n electrons at density parameter rs (or in a box of side `box`) and temperature (K)."""

    name: ClassVar[str] = "hydrogen"
    summary: ClassVar[str] = "dense hydrogen: protons and electrons in a periodic box"
    source: ClassVar[str] = "Xie, Li, Wang, Zhang and Wang, Phys. Rev. Lett. 131, 126501 (2023)"
    units: ClassVar[dict[str, str]] = {
        "energy": "Ry", "length": "a0", "temperature": "K", "pressure": "GPa",
        "S_electrons": "k_B", "S_per_atom": "k_B",
        **dict.fromkeys(("entropy_loss", "entropy_loss_one_electron", "entropy_loss_two_electrons"), "k_B"),
        **dict.fromkeys(("entropy_loss", "entropy_loss_one_electron", "entropy_loss_two_electrons"), "k_B"),
        **dict.fromkeys(("kinetic_energy", "kinetic_energy_from_gradient", "potential_energy", "lag_of_electrons",
                         "F_per_atom", "E_per_atom"), "Ry"),
    }  # fmt: skip

    n: int = parameter(14, "atoms: an even number, or one")
    rs: float | None = parameter(None, "density parameter: radius in a0 of the volume of one electron (default: 1.4)")
    box: float | None = parameter(None, "side of the box in a0, instead of rs")
    temperature: float = parameter(6000.0, "temperature in K")
    electrons: str = parameter(
        "ground", "ground: the electrons' ground state for every S; thermal: a mixture of states"
    )
    clamped: bool = parameter(False, "fixed protons: n = 1 at the centre, 2 with bond, 4 fcc, 16, 54 or 128 bcc")
    bond: float | None = parameter(None, "distance in a0 of two clamped protons (default: half the body diagonal)")
    twist: str = parameter(
        "0", "boundary phase in units of 2 pi, opposite for the two spins: a number, one per axis, or average"
    )
    twists: str = parameter("grid:4", "points of twist = average: grid:N per axis, or random:N in all")
    isotope: str = parameter("h", "h, d or t: mass of the nuclei")
    spins: tuple[int, int] = derived()
    length: float = derived()
    twist_vectors: np.ndarray = derived()
    ewald: Ewald = derived()

    def __post_init__(self) -> None:
        at_least("n", self.n, 1)
        require(self.n <= MOST_PARTICLES, "n", self.n, f"at most {MOST_PARTICLES}")
        require(self.n == 1 or self.n % 2 == 0, "n", self.n, "even (as many electrons of each spin), or 1")
        one_of("electrons", self.electrons, ("ground", "thermal"))
        one_of("isotope", self.isotope, MASSES)
        self.length = self._checked_length()
        ok = isinstance(self.temperature, (int, float)) and math.isfinite(self.temperature) and self.temperature >= 0
        require(ok, "temperature", self.temperature, "a finite number of K, at least 0")
        cold = f"at least {COLDEST:g} " + ("for thermal electrons" if self.electrons == "thermal" else "unless clamped")
        still = self.clamped and self.electrons == "ground"
        require(still or self.temperature >= COLDEST, "temperature", self.temperature, cold)
        self._check_clamped()
        self.spins = ((self.n + 1) // 2, self.n // 2)
        self.twist_vectors = twist_vectors(str(self.twist), str(self.twists), 3)
        both = self.electrons == "ground" or self.n > 1
        require(both, "n", self.n, "even for thermal electrons")
        self.ewald = Ewald(3)
        if self.electrons == "thermal":
            count = len(self._thermal_waves())
            allowed = f"lower: {count} plane waves are more than {MOST_PLANE_WAVES}"
            require(count <= MOST_PLANE_WAVES, "temperature", self.temperature, allowed)

    def _checked_length(self) -> float:
        """Side of the box (a0), and rs where neither is given."""
        if self.box is None:
            self.rs = RS if self.rs is None else self.rs
            positive("rs", self.rs)
            require(0.1 <= self.rs <= 100, "rs", self.rs, "from 0.1 to 100")
            return box_length(self.n, self.rs, 3)
        require(self.rs is None, "rs", self.rs, f"left out beside box = {self.box}, which says the same")
        positive("box", self.box)
        least, most = (box_length(self.n, rs, 3) for rs in (0.1, 100))
        require(least <= self.box <= most, "box", self.box, f"from {least:.3g} to {most:.3g} for n = {self.n}")
        return float(self.box)

    def _check_clamped(self) -> None:
        if self.bond is not None:
            require(self.clamped and self.n == 2, "bond", self.bond, "left out unless clamped and n = 2")
            ok = isinstance(self.bond, (int, float)) and SHORTEST <= self.bond <= 0.5 * self.length
            require(ok, "bond", self.bond, f"from {SHORTEST} to half the box, {0.5 * self.length:.4g}")
        cells = round((self.n / 2) ** (1 / 3)) if self.n > 1 else 0
        lattice = self.n in (1, 4) or 2 * cells**3 == self.n
        allowed = "1, 2, 4 or 16, 54, 128 (bcc; 4: fcc) for clamped protons"
        require(lattice or not self.clamped, "n", self.n, allowed)

    @property
    def size(self) -> int:
        return self.n

    @property
    def density_parameter(self) -> float:
        """rs of the box."""
        return self.length / (4 * math.pi * self.n / 3) ** (1 / 3)

    @property
    def kT(self) -> float:
        """Ry."""
        return self.temperature / KELVIN_PER_RYDBERG

    @property
    def beta(self) -> float:
        """1/Ry; infinite where nothing is thermal: clamped protons and electrons in their ground state."""
        still = self.clamped and self.electrons == "ground"
        return math.inf if still else 1 / self.kT

    @property
    def own_beta(self) -> float:
        return self.beta

    @property
    def kinetic_scale(self) -> float:
        """Energy of -Laplacian in units of the box."""
        return 1 / self.length**2

    def potential(self, protons: Array, x: Array) -> Array:
        """All Coulomb energies (Ry) of protons (n, 3) and electrons (n, 3) in units of the box."""
        charges = jnp.concatenate([jnp.ones(len(protons)), -jnp.ones(len(x))])
        return 2 / self.length * self.ewald.energy(jnp.concatenate([protons, x]), charges)

    def ideal_ions(self) -> Ions:
        """Ideal gas of n indistinguishable classical nuclei in the box; F = -kT ln( (V/Lambda^3)^n / n! )."""
        if self.clamped:
            return Ions(0.0, 0.0, 0.0)
        wavelength = math.sqrt(4 * math.pi / (MASSES[self.isotope] * self.kT))  # hbar^2 = 2 in Ry a0^2 m_e
        log_z = 3 * self.n * math.log(self.length / wavelength) - math.lgamma(self.n + 1)
        return Ions(-self.kT * log_z, 1.5 * self.n * self.kT, log_z + 1.5 * self.n)

    @property
    def has_pressure(self) -> bool:
        """Whether `pressure` knows it: the virial of Coulomb forces, not of a subclass with a potential of its own."""
        return holds(type(self), "pressure")

    def pressure(self, kinetic: Array | float, potential: Array | float) -> Array | float:
        """Virial pressure (GPa): the electrons' kinetic and the potential energy (Ry), and the ions' ideal part."""
        ions = 0.0 if self.clamped else 3 * self.n * self.kT
        return GPA * (2 * kinetic + potential + ions) / (3 * self.length**3)

    # ---- the ansatz

    def sites(self) -> np.ndarray:
        """Sites (n, 3) of clamped protons in units of the box."""
        if self.n == 1:
            return np.full((1, 3), 0.5)
        if self.n == 2 and self.bond is not None:
            half = np.array([0.5 * self.bond / self.length, 0, 0])
            return 0.5 + np.array([-half, half])
        if self.n == 4:
            return np.array([[0, 0, 0], [0, 0.5, 0.5], [0.5, 0, 0.5], [0.5, 0.5, 0]])
        cells = round((self.n / 2) ** (1 / 3))
        corners = np.stack(np.meshgrid(*[np.arange(cells)] * 3, indexing="ij"), axis=-1).reshape(-1, 1, 3)
        return (corners + np.array([[0, 0, 0], [0.5, 0.5, 0.5]])).reshape(-1, 3) / cells

    def plane_waves(self) -> np.ndarray:
        """Integer momenta (k, 3) of the pairing function: whole shells, at least twice the pairs."""
        if self.n == 1:
            return np.zeros((1, 3), int)
        vectors = integer_vectors(3, 6.0)
        lengths = np.sum(vectors**2, axis=1)
        return vectors[lengths <= lengths[min(len(vectors), 2 * self.spins[0] + 6) - 1]]

    def default_ansatz(self, options: Any) -> Atoms:
        """The density of the protons and the electrons' state, untrained."""
        self._check_options(options)
        of_psi = jax.random.key(options.seed)
        protons = FixedProtons(self.sites()) if self.clamped else ProtonFlow(self.n)
        if self.electrons == "thermal":
            return self._thermal(protons, options, of_psi)
        psi = Geminal(
            *self.spins,
            self.length,
            self.plane_waves(),
            self.twist_vectors,
            rs=self.density_parameter,
            width=options.width or WIDTH,
            pair_width=options.width or PAIR_WIDTH,
            depth=options.depth or 2,
            determinants=options.determinants,
            broken=self.clamped,
            atomic=self.n == 1 or self.density_parameter > METALLIC,
            key=of_psi,
        )
        return Atoms(protons, psi)

    def _check_options(self, options: Any) -> None:
        """InputError for options that this system has no use for."""
        one_of("sampler", options.sampler, ("mala", "metropolis"))
        if self.electrons == "thermal":
            one_of("states", options.states or STATES[0], STATES)
            allowed = options.width is None or options.states != "flow"
            require(allowed, "width", options.width, "left out for thermal electrons with states = flow")
            enough = options.walkers >= LEAST_WALKERS or options.states == "flow"
            require(enough, "walkers", options.walkers, f"at least {LEAST_WALKERS} for correlated thermal electrons")
            require(options.determinants == 1, "determinants", options.determinants, "1 for thermal electrons")
        else:
            require(options.states is None, "states", options.states, "left out for electrons in their ground state")
        enough = self.clamped or options.batch >= 2 * options.walkers
        require(
            enough, "batch", options.batch, f"at least {2 * options.walkers}: two proton configurations with walkers"
        )

    def _thermal(self, protons: Any, options: Any, key: Array) -> Atoms:
        of_psi, of_p = jax.random.split(key)
        box = (self.spins, self.length, self.beta, self._thermal_waves(), self.twist_vectors, self.density_parameter)
        psi: ThermalState | CorrelatedThermal
        if options.states == "flow":
            psi = ThermalState(
                LevelsAmongProtons(*box), rs=self.density_parameter, layers=options.depth or 3, key=of_psi
            )
        else:
            width, pair_width = options.width or WIDTH, options.width or PAIR_WIDTH
            psi = CorrelatedThermal(
                DressedLevels(*box), width=width, pair_width=pair_width, depth=options.depth or 2, key=of_psi
            )
        return Atoms(protons, psi, LevelOccupation(self.spins, FEATURES, of_p))

    def _thermal_waves(self) -> np.ndarray:
        """Integer momenta (k, 3) up to a whole shell beyond those that the temperature populates."""
        unit = (2 * math.pi / self.length) ** 2
        vectors = integer_vectors(3, 5.0)
        squares = np.sum(vectors**2, axis=1)
        filled = squares[self.spins[0] - 1]
        return vectors[squares <= max(3, filled + 1 + THERMAL * self.kT / unit)]

    def screened_energy(self, protons: Array) -> Array:
        """Pairs of screened charges (Ry), for tuning the density of the protons."""
        i, j = np.triu_indices(self.n, 1)
        r = self.length * jnp.sqrt(jnp.sum(minimum_image(protons[i] - protons[j]) ** 2, axis=-1))
        return jnp.sum(2 / r * jnp.exp(-SCREENING * r))

    def training_defaults(self) -> dict[str, Any]:
        return {"steps": 1000, "batch": 256, "samples": 40_000, "sampler": "mala", "moves": 10, "method": "spring"}

    def frames(self, samples: Mapping[str, np.ndarray]) -> str:
        """The protons of samples as extended XYZ (Angstrom), for ase and its relatives; empty without ase."""
        try:
            import ase
            from ase.io.extxyz import write_extxyz
        except ImportError:
            return ""
        side = self.length * ANGSTROM
        atoms = [
            ase.Atoms(f"H{self.n}", scaled_positions=protons, cell=[side] * 3, pbc=True)
            for protons in samples["protons"]
        ]
        text = io.StringIO()
        write_extxyz(text, atoms)
        return text.getvalue()

    # ---- what is known and measured

    def reference(self, seed: int = 0) -> Reference | None:
        return None

    def notes(self) -> list[str]:
        found = [f"box of {self.length:.5g} a0, rs = {self.density_parameter:.5g}"]
        if not self.clamped:
            ions = self.ideal_ions()
            found.append(f"ideal ions: F = {ions.F:.6g} Ry, S = {ions.S / self.n:.5g} k_B per atom")
        return found

    def observables(self, protons: Array, x: Array) -> dict[str, Array]:
        """Pair correlations up to L/2 of protons, of protons and electrons, of electrons; fraction in molecules."""
        found = {"g_pe": self._correlation(protons[:, None] - x[None], self.n * self.n)}
        if self.n > 1:
            i, j = np.triu_indices(self.n, 1)
            pairs = self.n * (self.n - 1) / 2
            found["g_pp"] = self._correlation(protons[i] - protons[j], pairs)
            found["g_ee"] = self._correlation(x[i] - x[j], pairs)
            found["molecular_fraction"] = self.molecular_fraction(protons)
        return found

    def _correlation(self, d: Array, pairs: float) -> Array:
        distance = jnp.sqrt(jnp.sum(minimum_image(d.reshape(-1, 3)) ** 2, axis=-1))
        edges = np.linspace(0, 0.5, BINS + 1)
        return jnp.histogram(distance, BINS, (0.0, 0.5))[0] / (pairs * 4 / 3 * np.pi * np.diff(edges**3))

    def molecular_fraction(self, protons: Array) -> Array:
        """Fraction of protons whose nearest neighbour has them as its own, closer than MOLECULE."""
        d = minimum_image(protons[:, None] - protons[None])
        distance = self.length * jnp.sqrt(jnp.sum(d**2, axis=-1)) + 1e9 * jnp.eye(self.n)
        nearest = jnp.argmin(distance, axis=1)
        mutual = nearest[nearest] == jnp.arange(self.n)
        return jnp.mean(mutual & (jnp.min(distance, axis=1) < MOLECULE))
