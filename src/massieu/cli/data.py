"""fit, inverse-ising: densities and couplings from data."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from massieu.cli import arguments as flags
from massieu.cli.arguments import Parser, checked
from massieu.errors import InputError

if TYPE_CHECKING:
    from massieu.learning.fit import Fit
    from massieu.progress import Progress


def inverse_ising(arguments: list[str]) -> int:
    """Couplings from configurations."""
    from massieu.exact.inverse_ising import Couplings
    from massieu.learning.inverse_ising import inverse_ising as infer
    from massieu.systems.couplings import read_array, read_couplings

    parser = Parser(prog="massieu inverse-ising", description="couplings (times beta) of an Ising model from its spins")
    parser.add_argument("data", metavar="DATA.npy", help="configurations (M, n) of +1 and -1, or of two --values")
    parser.add_argument("--fields", type=checked("fields", bool), default=True, help="infer fields too (default: true)")
    parser.add_argument("--truth", metavar="FILE", help="the couplings (n, n), times beta, to compare with")
    parser.add_argument("--values", metavar="DOWN,UP", help="the two values of a spin where they are not -1,1: 0,1")
    prior = "standard deviation of a Gaussian prior on every J and h; smaller is stronger (default: 1)"
    parser.add_argument("--prior", type=checked("prior", float), default=1.0, help=prior)
    parser.add_argument("--steps", type=checked("steps", int), default=40)
    parser.add_argument("--batch", type=checked("batch", int), help="samples of the model a step (default: M/8)")
    parser.add_argument("--seed", type=checked("seed", int), default=0)
    parser.add_argument("--out", metavar="FILE.npz", help="J, h and the log likelihood of every step")
    flags.add_progress(parser)
    values = parser.parse(arguments)
    spins = read_array("data", values.data)
    truth = None if values.truth is None else read_couplings("truth", values.truth, spins.shape[-1]).J
    options = {name: getattr(values, name) for name in ("fields", "steps", "batch", "seed", "values", "prior")}
    print(f"couplings of {len(spins)} configurations in {values.steps} steps", flush=True)
    found = infer(spins, progress=flags.progress(values), **options)
    penalty = found.penalty(len(spins), values.prior)
    print(f"prior: Gaussian of width {values.prior:g} on every J and h, {-penalty:.4g} of ln L per configuration")
    for text in found.warnings:
        print(f"warning: {text}")
    of_reference = Couplings(truth, np.zeros(len(truth))) if truth is not None else found.couplings
    print(f"root mean square difference of J from {'the truth' if truth is not None else 'that of the network'}:")
    for name, error in found.errors(of_reference).items():
        print(f"  {name:32s} {error:.5f}")
    if values.out:
        likelihood = [row["log_likelihood"] for row in found.history]
        np.savez(values.out, J=found.couplings.J, h=found.couplings.h, log_likelihood=likelihood, prior=values.prior)
        print(f"couplings: {values.out}")
    return 0


def fit(arguments: list[str]) -> int:
    """A density from data by maximum likelihood."""
    import dataclasses
    import typing

    from massieu.learning.fit import fit as run_fit
    from massieu.learning.kinds import FitConfig
    from massieu.systems.couplings import read_array

    parser = Parser(prog="massieu fit", description="a density of configurations (M, d) by maximum likelihood")
    parser.add_argument("data", metavar="DATA.npy", help="spins of +-1 (or two --values), real vectors, or angles")
    hints = typing.get_type_hints(FitConfig)
    for field in dataclasses.fields(FitConfig):
        flags.add_flag(parser, field.name, field, hints[field.name])
    parser.add_argument("--out", metavar="DIR", help="directory of the fit; the same command again continues it")
    flags.add_progress(parser)
    asked = parser.parse(arguments)
    values = vars(asked)
    if values["out"] is None:
        raise InputError("out = None: must be given, the directory of the fit")
    given = {f.name: values[f.name] for f in dataclasses.fields(FitConfig) if values[f.name] is not None}
    found = run_fit(read_array("data", values["data"]), out=values["out"], progress=flags.progress(asked), **given)
    return _show_fit(Path(values["out"]), found)


def is_fit(folder: Path) -> bool:
    """Whether the directory is that of a fit, not of a run."""
    return (folder / "fit.yaml").exists()


def continue_fit(folder: Path, progress: Progress) -> int:
    """Train what is left of a fit, and show it."""
    from massieu.learning.fit import resume

    return _show_fit(folder, resume(folder, progress))


def _show_fit(folder: Path, found: Fit) -> int:
    from massieu.report.fit import rows, write_report

    for name, value in rows(found):
        print(f"-ln p, {name:40s} {value}", flush=True)
    print(f"report: {write_report(folder, found)}")
    return 0
