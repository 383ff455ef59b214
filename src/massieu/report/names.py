"""What observables are called where people read them: the name in summary.json, in words, and its unit."""

from __future__ import annotations

WORDS = {
    "m": "magnetisation per spin, m",
    "abs_m": "|m|",
    "m2": "m^2",
    "m4": "m^4",
    "abs_overlap": "overlap with the patterns, |m|",
    "retrieval_fractions": "fraction of samples near each pattern",
    "phi2": "phi^2 per site",
    "energy": "energy, H",
    "trap_energy": "energy in the trap",
    "coulomb_energy": "Coulomb energy",
    "kinetic_energy": "kinetic energy",
    "potential_energy": "potential energy",
    "kinetic_energy_from_gradient": "kinetic energy, by parts",
    "imaginary_energy": "imaginary part of the energy (0)",
    "heat_capacity_from_energy": "C from the energies, -beta Cov(E, ln p)",
    "free_energy_without_overlaps": "F without what overlaps cost",
    "entropy_of_labels": "entropy of p, S(p)",
    "entropy_loss": "entropy lost by overlaps, S(p) - S",
    "entropy_loss_one_electron": "of this, by states that differ in one electron",
    "entropy_loss_two_electrons": "of this, by states that differ in two electrons",
    "largest_overlap_squared": "largest |<n|n'>|^2 measured",
    "entropy_step": "what a Newton step of p would add to S",
    "level_error": "energies less those of the model of E_K",
    "effective_mass_ratio": "m*/m from the entropy",
    "effective_mass_from_levels": "m*/m from the levels",
    "r_squared": "<sum r^2>",
    "centre_of_mass_squared": "N <R^2> of the centre of mass",
    "displacement2": "mean square displacement from the sites",
    "molecular_fraction": "fraction of atoms in molecules",
    "delta_F": "free energy difference of the two states",
    "pressure": "pressure",
    "spin_F": "F of the spins",
    "spin_energy": "energy of the spins",
    "spin_m2": "m^2 of the spins",
    "fraction_not_bijective": "samples where the flow is no bijection (0)",
    "least_pivot": "smallest pivot of the flow's Jacobians (> 0)",
    "energy_spread_within_states": "spread of E_loc within states",
    "occupation_sets": "different sets K drawn",
    "largest_error_of_log_prob": "largest error of ln p",
    "acceptance": "acceptance of moves",
    "autocorrelation_sweeps": "autocorrelation time, sweeps",
    "r_hat": "R-hat of the chains",
    "burn_in": "burn-in that the chains ask for",
    "ess_of_jastrow": "effective sample size of e^(2J)",
}
ENERGIES = {"energy", "trap_energy", "coulomb_energy", "kinetic_energy", "potential_energy", "imaginary_energy",
            "kinetic_energy_from_gradient", "free_energy_without_overlaps", "level_error", "spin_F", "spin_energy",
            "delta_F", "energy_spread_within_states"}  # fmt: skip


def in_words(name: str, units: dict[str, str]) -> str:
    """The name of an observable for people, with its unit; an own observable's is its name."""
    unit = units.get(name, units.get("energy") if name in ENERGIES else None)
    shown = "" if unit in (None, "dimensionless") else f" ({unit})"
    return WORDS.get(name, name.replace("_", " ")) + shown
