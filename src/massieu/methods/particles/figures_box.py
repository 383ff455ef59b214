"""Figures of electrons in a box: pair correlation, structure factor, occupations, Landau's functional."""

from __future__ import annotations

from typing import Any

import numpy as np
from matplotlib.figure import Figure

from massieu.methods.method import Shown
from massieu.physics.fermi_gas import ideal_gas
from massieu.physics.lindhard import fermi_energy, infinite_gas
from massieu.systems.periodic_electrons import BINS, PeriodicElectrons


def all_figures(system: PeriodicElectrons, shown: Shown) -> dict[str, Figure]:
    """By name."""
    found = {}
    if system.theta > 0 and {"label", "log_prob"} <= set(shown.samples):
        fit = landau(system, shown.samples["label"], shown.samples["log_prob"])
        found = {} if fit is None else {"landau": fit}
    return found | {
        "pair_correlation": pair_correlation(system, shown.observables),
        "occupations": occupations(system, shown.observables),
    }


def pair_correlation(system: PeriodicElectrons, observables: dict[str, Any]) -> Figure:
    """g(r) up to half the box, and S(k)."""
    figure = Figure(figsize=(9, 3.4), layout="constrained")
    left, right = figure.subplots(1, 2)
    r = (np.arange(BINS) + 0.5) / BINS * 0.5 * system.length / system.rs
    if "pair_correlation" in observables:
        g = observables["pair_correlation"]
        left.errorbar(r, g["value"], g["error"], fmt=".-", lw=0.8, ms=3)
    left.axhline(1, color="0.7", lw=0.8)
    left.set(xlabel=r"$r/r_s$", ylabel=r"$g(r)$", ylim=(0, None))
    k = 2 * np.pi / system.length * np.linalg.norm(system.structure_vectors(), axis=1) * system.rs
    s = observables["structure_factor"]
    right.errorbar(k, s["value"], s["error"], fmt="o", ms=3)
    right.axhline(1, color="0.7", lw=0.8)
    right.set(xlabel=r"$k\,r_s$", ylabel=r"$S(k)$", ylim=(0, None), xlim=(0, 1.03 * k.max()))
    return figure


def occupations(system: PeriodicElectrons, observables: dict[str, Any]) -> Figure:
    """n(k) of the electrons and, at one twist, the occupations of the labels K beside the canonical ideal gas.

    The line is the Fermi function of infinite volume, spins summed.
    """
    figure = Figure(figsize=(6, 3.6), layout="constrained")
    axes = figure.add_subplot()
    momenta = 2 * np.pi / system.length * (system.plane_waves().vectors + system.twist_vectors[0])
    k = np.linalg.norm(momenta, axis=1) * system.rs
    if len(system.twist_vectors) == 1:
        n = observables["occupations"]
        axes.errorbar(k, n["value"], n["error"], fmt="o", ms=4, label="labels, p(K)")
        if system.theta > 0:
            levels = np.sum(momenta**2, axis=-1)
            ideal = np.sum([ideal_gas(levels, c, system.beta).occupations for c in system.spins if c], axis=0)
            axes.plot(k, ideal, "o", mfc="none", color="k", ms=7, lw=0, label="ideal gas, exact")
    moved = observables.get("momentum_distribution")
    if moved is not None:
        at = np.array(moved["k"]) * system.rs
        axes.errorbar(at, moved["value"], moved["error"], fmt="s", ms=3, color="C3", label="electrons, n(k)")
    line = np.linspace(0, max(k.max(), 2.5), 300)
    axes.plot(line, _fermi_function(system, line / system.rs), color="0.6", lw=0.8, label="ideal gas, infinite")
    axes.set(xlabel=r"$k\,r_s$", ylabel="occupation")
    axes.legend(fontsize=8)
    return figure


def _fermi_function(system: PeriodicElectrons, k: np.ndarray) -> np.ndarray:
    densities = tuple(count / system.length**system.dim for count in system.spins)
    if system.theta == 0:
        return np.sum([k**2 < fermi_energy(n, system.dim) for n in densities], axis=0)
    gas = infinite_gas(densities, system.dim, system.temperature)
    return np.sum([0.5 - 0.5 * np.tanh(0.5 * system.beta * (k**2 - mu)) for mu in gas.potentials], axis=0)


def landau(system: PeriodicElectrons, label: np.ndarray, log_prob: np.ndarray) -> Figure | None:
    """Quasi-particle energies with the free parabola, and their interaction; None if too few sets K were drawn."""
    fit = system.landau(label, log_prob)
    if fit is None:
        return None
    figure = Figure(figsize=(9, 3.4), layout="constrained")
    left, right = figure.subplots(1, 2)
    k2 = fit.k2 * system.rs**2
    left.plot(k2, fit.k2, "k-", lw=0.8, label=r"free, $k^2$")
    left.errorbar(k2, fit.eps, fit.eps_error, fmt="o", ms=4, label=rf"$R^2$ = {fit.r2:.4f}, $m^*/m$ = {fit.mass}")
    left.set(xlabel=r"$(k\,r_s)^2$", ylabel=r"$\varepsilon_k$ (Ry), equal to $k^2$ at the Fermi level")
    left.legend(fontsize=8)
    for distance, f, error, kind in zip(fit.distance, fit.f, fit.f_error, ("equal", "opposite"), strict=False):
        right.errorbar(distance * system.rs, f, error, fmt="o", ms=4, label=f"{kind} spins")
    right.axhline(0, color="0.7", lw=0.8)
    right.set(xlabel=r"$|k-k'|\,r_s$", ylabel=r"$f_{kk'}$ (Ry), less its mean at the Fermi level")
    right.legend(fontsize=8)
    return figure
