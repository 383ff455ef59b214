"""The variational principle: the local free energy, its average, and the gradients that lower it.

    F[rho] = E_{n~p}[ kT ln p(n) + E_{x~|Psi_n|^2} E_loc(n, x) ]  >=  -kT ln Z

    local free energy      F_loc(x) = kT ln p(x) + H(x)                                 (classical: n is x)
    score-function grad    dF/dphi   = E[ (F_loc - b) d ln p_phi(x)/dphi ]               (b = baseline)
    pathwise grad          dF/dphi   = E_z[ d/dphi ( H(g_phi(z)) + kT ln p_phi(g_phi(z)) ) ]
    wavefunction grad      dF/dtheta = 2 Re E[ (E_loc - <E>)^* d ln Psi_theta/dtheta ]

States Phi_n that are normalised but not orthogonal keep the bound with q in place of p in the entropy,

    F[rho] <= E_{n~p}[ kT ln q(n) + E_loc ],     q(n) = <Phi_n|rho|Phi_n> = sum_n' p(n') |<Phi_n|Phi_n'>|^2  >=  p(n)

Proof: -Tr rho ln rho = -sum_n p(n) <Phi_n|ln rho|Phi_n>, linear in rho.  In the eigenbasis of rho, with weights
|<k|Phi>|^2 that sum to one, <Phi|ln rho|Phi> = sum_k |<k|Phi>|^2 ln lambda_k <= ln sum_k |<k|Phi>|^2 lambda_k (Jensen).
For orthonormal states q = p.  Noisy q: `log_tangent`.

A bound that loses less needs the Gram matrix G_nn' = sqrt(p p') <Phi_n|Phi_n'>, which has the spectrum of rho and the
diagonal p.  For any a(n) > 0,

    S(rho) >= -E_n[ ln a + p/a - 1 ] - E_{n,n'}[ 1(n' != n) |<Phi_n|Phi_n'>|^2 / sqrt(a a') ]

Proof: with sigma = diag(a)/c, c = sum a, S(G) = -Tr G ln sigma - D(G|sigma), and D(G|sigma) <= ln Tr[(sigma^-1/4 G
sigma^-1/4)^2], the sandwiched Renyi divergence of order 2, which is not below that of order 1 (Mueller-Lennert, Dupuis,
Szehr, Fehr and Tomamichel, J. Math. Phys. 54, 122203 (2013)).  The trace is c X, X = sum_nn' |G_nn'|^2/sqrt(a a'),
so that S(rho) >= -E[ln a] - ln X, and ln X <= X - 1.  Jensen's bound with the tangent at a has (1/a + 1/a')/2 in the
place of 1/sqrt(a a'): it is never above.  Linear in |<Phi_n|Phi_n'>|^2: noise in it leaves the bound unbiased.

Where Phi_n = e^J D_n/sqrt(N_n) with orthonormal D_n, N_n = <D_n|e^{2J}|D_n>, no pair is needed: a = p/N gives
|G_nn'|^2/sqrt(a a') = sqrt(w w') |<D_n|e^{2J}|D_n'>|^2, w = p/N, and sqrt(w w') <= (w + w')/2 with the completeness of
the D_n gives X <= sum_n w <D_n|e^{4J}|D_n>, that is

    S(rho) >= S(p) + E_n[ ln N_n ] - ln E_n E_{x~|Phi_n|^2}[ e^{2J} ]

For the exact density F_loc is constant: Var(F_loc) -> 0 measures how far the ansatz is from the truth without
knowing the truth.  A density is split into (params, static) by `trainable`; gradients have the shape of params.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any, NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import paramax
from jax import Array

Params = Any
Energy = Callable[[Array], Array]


class Estimate(NamedTuple):
    """A number with its standard error, e.g. ``Estimate(16.8323, 0.0004)`` prints ``16.8323(4)``."""

    value: float
    error: float = 0.0

    def __str__(self) -> str:
        if math.isnan(self.error) and math.isfinite(self.value):
            return f"{self.value:.4g} (error unknown)"
        if not (math.isfinite(self.value) and math.isfinite(self.error) and self.error > 0):
            return f"{self.value + 0.0:.10g}" + ("" if self.error == 0 else f" +- {self.error}")
        digits = -math.floor(math.log10(self.error))
        last = round(self.error * 10**digits)
        if last == 10:
            digits, last = digits - 1, 1
        if digits <= 0:
            return f"{round(self.value, digits):.0f}({last * 10**-digits})"
        return f"{self.value:.{digits}f}({last})"

    def as_dict(self) -> dict[str, float]:
        """``{"value": .., "error": ..}``, the form used in every JSON file."""
        return {"value": float(self.value), "error": float(self.error)}


class Samples(NamedTuple):
    """A batch drawn from a density: x (B, *shape), ln p (B,), H (B,)."""

    x: Array
    log_prob: Array
    energy: Array


def local_free_energy(samples: Samples, beta: Array | float) -> Array:
    """F_loc = H + kT ln p of each sample (B,)."""
    return samples.energy + samples.log_prob / beta


def log_tangent(q: Any, a: Any) -> Any:
    """ln a + (q - a)/a >= ln q for any a > 0: linear in q, so that noise of zero mean in q leaves an upper bound.

    Equal where a = q; a must not know the noise.  Arrays of one shape.
    """
    return np.log(a) + (q - a) / a


def trainable(density: Any) -> tuple[Params, Any]:
    """Split a density into its parameters, the floating-point jax arrays, and the rest.

    Constants are numpy arrays or plain numbers; paramax's frozen leaves (flowjax) stay with the rest too.
    """

    def is_parameter(leaf: Any) -> bool:
        return isinstance(leaf, jax.Array) and bool(jnp.issubdtype(leaf.dtype, jnp.inexact))

    return eqx.partition(density, is_parameter, is_leaf=lambda leaf: isinstance(leaf, paramax.NonTrainable))


def condition_of(density: Any, beta: Array | float) -> Array | None:
    """beta for a density conditioned on the temperature (cond_shape == ()), None for an unconditional one."""
    return None if density.cond_shape is None else jnp.asarray(beta)


def draw(density: Any, energy: Energy, key: Array, batch: int, beta: Array | float) -> Samples:
    """Direct sampling: `batch` configurations with ln p and H."""
    x, log_prob = density.sample_and_log_prob(key, (batch,), condition_of(density, beta))
    return Samples(x, log_prob, jax.vmap(energy)(x))


def leave_one_out(f: Array) -> Array:
    """F_i minus the mean of all the others: a baseline that leaves the score-function gradient unbiased."""
    return (f - jnp.mean(f)) * (len(f) / (len(f) - 1))


def score_function_gradient(params: Params, static: Any, samples: Samples, beta: Array | float) -> Params:
    """E[(F_loc - b) d ln p/dphi] with the leave-one-out baseline; unbiased; needs no derivative of H or of x."""
    advantage = jax.lax.stop_gradient(leave_one_out(local_free_energy(samples, beta)))

    def surrogate(params: Params) -> Array:
        density = eqx.combine(params, static)
        return jnp.mean(advantage * density.log_prob(jax.lax.stop_gradient(samples.x), condition_of(density, beta)))

    return jax.grad(surrogate)(params)


def pathwise_gradient(
    params: Params,
    static: Any,
    energy: Energy,
    key: Array,
    batch: int,
    beta: Array | float,
    path_only: bool = True,
    clip: float = math.inf,
) -> tuple[Samples, Params]:
    """d/dphi of mean(H + kT ln p) through the samples x = g_phi(z), for continuous x.

    With path_only the term d ln p_phi/dphi at fixed x, whose mean is zero, is dropped ("sticking the landing",
    Roeder, Wu and Duvenaud 2017): still unbiased, and its variance vanishes at the exact density.  A density with
    a method ``sample_and_score(key) -> x, ln p, d ln p/dx`` spares the second evaluation that this needs; there a
    finite `clip` shortens the pull dF_loc/dx on a sample to that many times the batch's median (a small bias that
    keeps one close encounter from deciding the step).  One with `augmented`, whose ln p is that of a longer path, has
    no ln p at fixed x and keeps the term.
    """
    keys = jax.random.split(key, batch)

    def objective(params: Params) -> tuple[Array, Samples]:
        density = paramax.unwrap(eqx.combine(params, static))
        condition = condition_of(density, beta)
        if path_only and hasattr(density, "sample_and_score"):
            x, log_prob, score = jax.vmap(density.sample_and_score)(keys)
            value, force = jax.vmap(jax.value_and_grad(energy))(jax.lax.stop_gradient(x))
            pull = _shortened(jax.lax.stop_gradient(force + score / beta), clip)
            return jnp.sum(x * pull) / batch, Samples(x, log_prob, value)
        x, log_prob = density.sample_and_log_prob(key, (batch,), condition)
        if path_only and not getattr(density, "augmented", False):
            frozen = eqx.combine(jax.lax.stop_gradient(params), static)
            log_prob = frozen.log_prob(x, condition)
        samples = Samples(x, log_prob, jax.vmap(energy)(x))
        return jnp.mean(local_free_energy(samples, beta)), samples

    gradient, samples = jax.grad(objective, has_aux=True)(params)
    return samples, gradient


def _shortened(pull: Array, clip: float) -> Array:
    """Vectors (B, ...) scaled down to `clip` times their median length where they are longer."""
    if math.isinf(clip):
        return pull
    length = jnp.sqrt(jnp.sum(pull**2, axis=tuple(range(1, pull.ndim)), keepdims=True))
    return pull * jnp.minimum(1.0, clip * jnp.median(length) / jnp.maximum(length, 1e-30))


def wavefunction_gradient(params: Params, log_psi: Callable[[Params, Any], Array], x: Any, e_loc: Array) -> Params:
    """2 Re E[(E_loc - <E>)^* d ln Psi/dtheta]: samples x ~ |Psi|^2 (B, ...), e_loc (B,) and ln Psi real or complex."""
    weight = jax.lax.stop_gradient(jnp.conj(e_loc - jnp.mean(e_loc)) * (len(e_loc) / (len(e_loc) - 1)))

    def surrogate(params: Params) -> Array:
        return 2 * jnp.mean(jnp.real(weight * jax.vmap(lambda x: log_psi(params, x))(x)))

    return jax.grad(surrogate)(params)


def scores(params: Params, static: Any, x: Array, beta: Array | float) -> Params:
    """d ln p_phi(x)/dphi of each sample: params with a leading axis B (for natural gradients)."""

    def log_prob(params: Params, x: Array) -> Array:
        density = paramax.unwrap(eqx.combine(params, static))
        return density._log_prob(x, condition_of(density, beta))

    return jax.vmap(jax.grad(log_prob), in_axes=(None, 0))(params, jax.lax.stop_gradient(x))
