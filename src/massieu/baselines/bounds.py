"""ln Z from both sides, and from the overlap of the two: a trained density q against samples of the system itself.

    E_q[-beta H - ln q]  <=  ln Z  <=  E_p[-beta H - ln q],      p = exp(-beta H)/Z

The gap between them is the symmetric relative entropy of q and p.  Bennett's acceptance ratio takes the samples of
both and is the best estimate that they allow (Bennett, J. Comput. Phys. 22, 245 (1976)); between two systems it works
on samples that the flows carry from one to the other (Jarzynski, Phys. Rev. E 65, 046122 (2002)).
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import equinox as eqx
import jax
import numpy as np
import paramax
from flowjax.distributions import AbstractTransformed
from jax import Array

from massieu import statistics
from massieu.baselines.chains import CHAINS, chains, classical, default_chain
from massieu.densities import ContinuousFlow
from massieu.errors import InputError, require
from massieu.methods.classical.evaluate import CHUNK, refined
from massieu.methods.method import method_of
from massieu.precision import double_precision
from massieu.principle import Estimate, condition_of, draw, trainable
from massieu.progress import Progress, Silent
from massieu.runs import checkpoint
from massieu.runs.directory import identity, read_config
from massieu.runs.outcome import Run
from massieu.strict_json import from_json, to_json
from massieu.systems.base import ClassicalSystem

Map = Callable[[Array], Array]

SEED = 2**21  # apart from the seeds of training and evaluation


class Target(NamedTuple):
    """A system, a density for it and beta: what a run is made of, for densities that come from elsewhere."""

    system: ClassicalSystem
    density: Any
    beta: float


class Bounds(NamedTuple):
    """ln Z: bounds, their gap, Bennett's acceptance ratio, reweighted q; ess of q; r_hat and autocorrelation_time of
    -beta H - ln q along the chains (nan for a single chain state); seconds in all.
    """

    lower: Estimate
    upper: Estimate
    gap: Estimate
    bar: Estimate
    importance: Estimate
    ess: float
    r_hat: float
    autocorrelation_time: float
    samples: int
    seconds: float

    def as_dict(self) -> dict[str, Any]:
        """Plain values for JSON."""
        return {name: v.as_dict() if isinstance(v, Estimate) else v for name, v in self._asdict().items()}


class Difference(NamedTuple):
    """-ln(Z_B/Z_A) = beta_B F_B - beta_A F_A with the map of the flows and without it, and seconds in all."""

    targeted: Estimate
    plain: Estimate
    seconds: float


def log_partition_bounds(
    run: Run | Target | str | Path, samples: int = 10000, stages: int = 500, seed: int = 0, equilibrium: Any = None,
    progress: Progress | None = None,
) -> Bounds:  # fmt: skip
    """Bounds on ln Z and its best estimate from `samples` of the density and about as many of the system.

    run: the result of `minimize`, a run directory, or a `Target`; stages: the chains (heat bath for spins, Hamiltonian
    Monte Carlo for fields and particles) make 20 times as many moves; equilibrium: samples (C, T, *shape) of chains of
    your own instead.  The upper bound holds, and Bennett's ratio is unbiased for many samples, if the chains have
    mixed: r_hat near 1 is necessary for that.  InputError for a quantum system or without a way to run chains.
    """
    began, progress = time.monotonic(), progress or Silent()
    require(samples >= 1000, "samples", samples, "at least 1000")
    system, density, beta = _target(run)
    with double_precision():
        density = refined(density)
        progress.say(f"{samples} samples of the density")
        forward = _works_of_density(system, density, beta, samples, seed)
        progress.say(f"chains of the system, {stages} stages")
        x = _equilibrium(system, beta, samples, stages, seed) if equilibrium is None else np.asarray(equilibrium)
        progress.say("ln p of their states")
        require(x.shape[2:] == density.shape, "equilibrium", x.shape, f"chains (C, T, *{density.shape})")
        reverse = -_mapped(lambda x: _work(system, density, beta, x), x)
    lower, upper = statistics.mean(-forward, unit=1.0), statistics.blocking(reverse)
    difference, mixed = statistics.bar(forward, reverse), statistics.mixing(reverse)
    return Bounds(
        lower=lower,
        upper=upper,
        gap=Estimate(upper.value - lower.value, math.hypot(upper.error, lower.error)),
        bar=Estimate(-difference.value, difference.error),
        importance=statistics.log_mean_weight(-forward),
        ess=statistics.effective_sample_size(-forward),
        r_hat=mixed.r_hat,
        autocorrelation_time=mixed.autocorrelation_time,
        samples=len(forward),
        seconds=time.monotonic() - began,
    )


def bounds_of_folder(
    folder: Path, samples: int, stages: int, seed: int, progress: Progress | None = None
) -> dict[str, Any]:
    """`log_partition_bounds` of a run directory as plain values, with beta and the reference; writes bounds.json."""
    if progress is not None:
        progress.say(f"reading {folder}")
    target = _target(folder)
    known_at_x = not getattr(target.density, "augmented", False)
    require(known_at_x, "dir", folder, "a run whose density has ln p(x), which that of a diffusion has not")
    found = log_partition_bounds(target, samples, stages, seed, progress=progress).as_dict()
    try:
        known = from_json((folder / "reference.json").read_text()) or {}
    except (OSError, ValueError):
        known = {}
    content = {"beta": target.beta, **found, "reference": known.get("lnZ"), "units": target.system.units}
    checkpoint.write_atomically(folder / "bounds.json", to_json(content, indent=2).encode())
    return content


ROWS = {
    "lower": "lower bound, samples of the density",
    "importance": "the same, reweighted",
    "bar": "Bennett's acceptance ratio",
    "upper": "upper bound, chains",
    "reference": "reference",
}


def table(found: dict[str, Any]) -> str:
    """The rows of bounds.json as text: ln Z, F and what to know of the samples."""
    from massieu.text import columns

    shown = [["", "ln Z", f"F ({found['units']['energy']})"]]
    for name, text in ROWS.items():
        if found[name] is not None:
            value, error = found[name]["value"], found[name]["error"]
            per = found["beta"]
            shown.append([text, str(Estimate(value, error)), str(Estimate(-value / per, error / per))])
    mixed = "" if statistics.mixed(found["r_hat"]) else " (not mixed)"
    quality = [
        ["gap, the symmetric relative entropy", str(Estimate(**found["gap"]))],
        ["effective sample size of the density", f"{found['ess']:.4f}"],
        ["R-hat of the chains", f"{found['r_hat']:.4f}{mixed}"],
        ["autocorrelation time of the chains", f"{found['autocorrelation_time']:.3g}"],
    ]
    return "\n\n".join([columns(shown), columns(quality)])


def free_energy_difference(
    a: Run | Target | str | Path, b: Run | Target | str | Path, samples: int = 10000, stages: int = 500, seed: int = 0
) -> Difference:
    """-ln(Z_B/Z_A) of two systems of the same configurations whose flows start from the same base.

    Samples of A are carried to the latent space by the flow of A and on by that of B, and the reverse, so that the work
    is beta_B F_loc,B(y) - beta_A F_loc,A(x): constant if both flows are exact.  InputError for densities without an
    inverse map (spins: take the difference of two `log_partition_bounds`) or with different bases.
    """
    began = time.monotonic()
    targets = [_target(run) for run in (a, b)]
    with double_precision():
        targets = [target._replace(density=refined(target.density)) for target in targets]
        laws = [_maps(target.density)[2] for target in targets]
        same = targets[0].density.shape == targets[1].density.shape and eqx.tree_equal(*laws)
        require(bool(same), "density", type(targets[1].density).__name__, "a flow from the same base as the first")
        found = []
        for k, (here, there) in enumerate((targets, targets[::-1])):
            x = _equilibrium(here.system, here.beta, samples, stages, seed + k)
            found.append((_mapped(_carried_work(here, there), x), _mapped(_plain_work(here, there), x)))
    (forward, plain), (reverse, plain_back) = found
    targeted, untargeted = statistics.bar(forward, reverse), statistics.bar(plain, plain_back)
    return Difference(targeted, untargeted, time.monotonic() - began)


def _target(run: Run | Target | str | Path) -> Target:
    """System, density and beta; of a directory those of the newest checkpoint."""
    if isinstance(run, Target):
        return run
    if isinstance(run, Run):
        return Target(classical(run.system), run.density, run.beta)
    folder = Path(run)
    system, beta, options = read_config(folder)
    system = classical(system)
    with double_precision():
        method = method_of(system)
        training = method.problem(system, method.ansatz(system, options), beta, options)
        state, _, _ = checkpoint.load_newest(folder / "checkpoints", training.start, identity(system, beta))
        return Target(system, training.density(state), beta)


def _work(system: ClassicalSystem, density: Any, beta: float, x: Array) -> Array:
    """beta H + ln q of one configuration."""
    return beta * system.energy(x) + density.log_prob(x, condition_of(density, beta))


def _works_of_density(system: ClassicalSystem, density: Any, beta: float, samples: int, seed: int) -> np.ndarray:
    key = jax.random.key(seed + SEED)

    @jax.jit
    def chunk(i: Array) -> Array:
        drawn = draw(density, system.energy, jax.random.fold_in(key, i), CHUNK, beta)
        return beta * drawn.energy + drawn.log_prob

    return np.concatenate([np.asarray(chunk(i)) for i in range(math.ceil(samples / CHUNK))])


def _equilibrium(system: ClassicalSystem, beta: float, samples: int, stages: int, seed: int) -> np.ndarray:
    """About `samples` states (CHAINS, T, *shape) of chains."""
    require(stages >= 10, "stages", stages, "at least 10")
    own = getattr(system, "beta", 1.0)
    if own != beta:
        raise InputError(f"beta = {beta}: must be the system's own, {own}, for its chains")
    x, _ = chains(system, default_chain(system), stages, seed + SEED)
    every = max(1, x.shape[1] * CHAINS // samples)
    return np.asarray(x)[:, ::every]


def _mapped(function: Map, x: np.ndarray) -> np.ndarray:
    """A number for every state of chains (C, T, *shape): (C, T)."""
    flat = x.reshape(-1, *x.shape[2:])
    found = jax.jit(lambda flat: jax.lax.map(function, flat, batch_size=CHUNK))(flat)
    return np.asarray(found).reshape(x.shape[:2])


def _carried_work(here: Target, there: Target) -> Map:
    """Work of one sample of `here` that the flows carry to `there`; ln|dy/dx| = ln q_here(x) - ln q_there(y)."""
    to_latent, from_latent = _maps(here.density)[0], _maps(there.density)[1]
    return lambda x: _work(*there, from_latent(to_latent(x))) - _work(*here, x)


def _plain_work(here: Target, there: Target) -> Map:
    return lambda x: there.beta * there.system.energy(x) - here.beta * here.system.energy(x)


def _maps(density: Any) -> tuple[Map, Map, Any]:
    """x -> z and z -> x of a flow, and what tells the law of z from others; InputError for any other density."""
    if isinstance(density, AbstractTransformed) and density.cond_shape is None:
        plain = paramax.unwrap(density)
        return plain.bijection.inverse, plain.bijection.transform, plain.base_dist
    if isinstance(density, ContinuousFlow) and density.cond_shape is None:
        to_latent, from_latent, law = _maps(density.base)
        return (lambda x: to_latent(density.backwards(x)[0])), (lambda z: density.forwards(from_latent(z))), law
    if hasattr(density, "latent_law"):
        return density.latent, density.from_latent, density.latent_law()
    if not jax.tree.leaves(trainable(density)[0]):  # nothing to map: the law is fixed
        return (lambda x: x), (lambda z: z), density
    raise InputError(f"density = {type(density).__name__}: must be a flow, with a map to its base and back")
