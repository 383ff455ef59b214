"""One small model a spin, on that spin's Markov blanket: the default density of pairwise spin systems.

Sampled in the order s_1, s_2, ..., the conditional of a spin with couplings J and fields h at inverse
temperature beta is exactly

    logit_k = 2 beta (h_k + xi_k) + ln Z_k[+] - ln Z_k[-],     xi_l = sum_{j<k} J_lj s_j,

where Z_k[+-] is the partition function of the spins still to come in the field of those already drawn
(Biazzo, Commun. Phys. 6, 296 (2023)).  Two consequences are built in:

* only spins connected to k through undrawn spins matter: its Markov blanket, read off the graph by
  eliminating the spins in reverse order.  A spin whose neighbours are all drawn needs no parameters at all.
* if the undrawn spins did not interact, ln Z_k[+] - ln Z_k[-] would be
  sum_l ln cosh beta(h_l + xi_l + J_kl) - ln cosh beta(h_l + xi_l - J_kl).

That sum is the starting point.  What is learned is linear in features of the blanket (its spins, fixed random
tanh units of the fields it exerts on the future, each term of the sum), so every conditional is a logistic
regression and the Fisher matrix of the density is block diagonal, one small block a spin: made for the natural
gradient.  Without fields all features are odd, which makes p(s) = p(-s) exact at no cost.
"""

from __future__ import annotations

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jax import Array

from massieu.densities.autoregressive import AbstractAutoregressive, draw, inverse_order, visit_all
from massieu.geometry import elimination_order, markov_blankets


class BlanketMADE(AbstractAutoregressive):
    """Autoregressive density for H = -sum_{i<j} J_ij s_i s_j - sum_i h_i s_i; condition = beta, shape ().

    couplings: (n, n) symmetric, zero diagonal; field: (n,); width: random features a spin.  The `head` spins that
    are drawn one by one come first in `order`; the rest are an independent set, drawn at once and exactly.
    least: of the conditional probability of either value of a spin, so that samples reach every state.
    """

    shape: tuple[int, ...] = eqx.field(static=True)
    cond_shape: tuple[int, ...] | None = eqx.field(static=True)
    order: np.ndarray
    couplings: np.ndarray  # (n, n) by rank
    field: np.ndarray  # (n,) by rank
    parents: np.ndarray  # (head, P) ranks of the blanket, padded
    mask: np.ndarray  # (head, P) 1 for a real parent, 0 for padding
    children: np.ndarray  # (head, D) ranks of the coupled spins still to come, padded (coupling 0)
    child_couplings: np.ndarray  # (head, D)
    mixing: np.ndarray  # (head, P, width) of the random features
    offset: np.ndarray  # (head, width), zero without fields
    coefficients: Array  # (head, P + width + D [+ 1 with fields]): all that is learned
    least: float = eqx.field(static=True)

    def __init__(
        self,
        couplings: np.ndarray,
        field: np.ndarray | None = None,
        *,
        width: int = 32,
        seed: int = 0,
        least: float = 0.0,
    ):
        n, rng = len(couplings), np.random.default_rng(seed)
        field = np.zeros(n) if field is None else np.asarray(field, float)
        self.shape, self.cond_shape, self.least = (n,), (), float(least)
        self.order = elimination_order(couplings)
        self.couplings, self.field = np.asarray(couplings, float)[np.ix_(self.order, self.order)], field[self.order]
        self.parents, self.mask, self.children, self.child_couplings = neighbourhoods(self.couplings)
        head = len(self.parents)
        self.mixing = _field_mixtures(self.couplings, self.parents, self.mask, width, rng)
        constant = np.any(field != 0)
        self.offset = rng.normal(size=(head, width)) * constant
        learned = self.parents.shape[1] + width
        naive = jnp.ones((head, self.children.shape[1]))
        self.coefficients = jnp.hstack([jnp.zeros((head, learned)), naive, jnp.zeros((head, int(constant)))])

    def with_couplings(self, couplings: Array, field: Array) -> BlanketMADE:
        """The same density around other couplings (n, n) and fields (n,) on the same graph; they may be traced."""
        ordered = couplings[np.ix_(self.order, self.order)]
        head = len(self.children)
        real = jnp.asarray(self.child_couplings != 0)
        of_children = ordered[np.arange(head)[:, None], self.children] * real
        where = lambda d: (d.couplings, d.field, d.child_couplings)  # noqa: E731
        return eqx.tree_at(where, self, (ordered, field[self.order], of_children))

    @property
    def blocks(self) -> int:
        """Number of conditionals with parameters of their own (the blocks of the Fisher matrix)."""
        return len(self.children)

    def _features(self, spins: Array, child_fields: Array, beta: Array, static: tuple) -> Array:
        """Features of one conditional from its blanket's spins (P,) and the fields (D,) on its children."""
        mask, mixing, offset, child_couplings = static
        blanket = spins * mask
        naive = _log_cosh_ratio(beta * child_fields, beta * child_couplings)
        constant = jnp.ones(self.coefficients.shape[-1] - len(blanket) - len(offset) - len(naive))
        return jnp.concatenate([blanket, jnp.tanh(blanket @ mixing + offset), naive, constant])

    def _fixed(self) -> tuple:
        return tuple(map(jnp.asarray, (self.mask, self.mixing, self.offset, self.child_couplings)))

    def logits(self, s: Array, condition: Array | None = None) -> Array:
        beta, head = jnp.asarray(condition), self.blocks
        local = jnp.tril(jnp.asarray(self.couplings), -1) @ s + self.field
        children, couplings = jnp.asarray(self.children), jnp.asarray(self.couplings)

        def visit(fields: Array, k: Array) -> tuple[Array, Array]:
            return fields + couplings[k] * s[k], fields[children[k]]

        # running sums, since the fields of all children before all ranks would be a (head, D, n) matrix
        _, child_fields = jax.lax.scan(visit, jnp.asarray(self.field), jnp.arange(head))
        features = jax.vmap(self._features, in_axes=(0, 0, None, 0))(s[self.parents], child_fields, beta, self._fixed())
        return self._bounded((2 * beta * local).at[:head].add(jnp.sum(features * self.coefficients, axis=-1)))

    def start(self, condition: Array | None = None) -> tuple[Array, Array]:
        return jnp.zeros(self.shape), jnp.asarray(self.field)

    def next_logit(self, cache, k, previous, condition=None):
        s, fields = cache
        before = jnp.maximum(k - 1, 0)
        s = s.at[before].set(previous)
        fields = fields + jnp.asarray(self.couplings)[before] * previous
        coefficients, parents, children, *fixed = jax.tree.map(
            lambda leaf: leaf[k],
            (self.coefficients, jnp.asarray(self.parents), jnp.asarray(self.children), *self._fixed()),
        )
        features = self._features(s[parents], fields[children], condition, tuple(fixed))
        return (s, fields), self._bounded(2 * condition * fields[k] + features @ coefficients)

    def _bounded(self, logit: Array) -> Array:
        """The logit of (1 - 2 least) p(+1) + least."""
        if not self.least:
            return logit
        either = jnp.log1p(-self.least), jnp.log(self.least)
        plus = jnp.logaddexp(either[0] + logit, either[1])
        return plus - jnp.logaddexp(either[1] + logit, either[0])

    def _sample_and_log_prob(self, key: Array, condition: Array | None = None) -> tuple[Array, Array]:
        """The head one by one, then the independent rest all at once."""
        head, beta = self.blocks, jnp.asarray(condition)
        u = jax.random.uniform(key, self.shape)
        first, log_p = visit_all(self, u[:head], condition)
        logit = self._bounded(2 * beta * (self.couplings[head:, :head] @ first + self.field[head:]))
        rest = draw(u[head:], logit)
        s = jnp.concatenate([first, rest])[inverse_order(self.order)]
        return s, log_p + jnp.sum(jax.nn.log_sigmoid(rest * logit))


def _log_cosh_ratio(x: Array, y: Array) -> Array:
    """ln cosh(x + y) - ln cosh(x - y), without overflow."""
    return 2 * y + jax.nn.softplus(-2 * (x + y)) - jax.nn.softplus(-2 * (x - y))


def neighbourhoods(ranked: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """Parents (head, P) and their mask, children (head, D) and their couplings, of couplings (n, n) by rank, padded.

    The head ends with the last site that has a coupled one after it: the rest are an independent set.
    """
    # one at least, so that uncoupled sites need no case of their own
    head = 1 + int(np.max(np.nonzero(np.triu(ranked, 1))[0], initial=0))
    parents, mask = padded(markov_blankets(ranked)[:head])
    children, real = padded([k + 1 + np.flatnonzero(ranked[k, k + 1 :]) for k in range(head)])
    return parents, mask, children, ranked[np.arange(head)[:, None], children] * real


def padded(lists: list[np.ndarray]) -> tuple[np.ndarray, np.ndarray]:
    """Index lists as one (len, longest) array, padded with 0, and the mask of real entries."""
    longest = max([1, *map(len, lists)])
    index, mask = np.zeros((len(lists), longest), int), np.zeros((len(lists), longest))
    for k, entries in enumerate(lists):
        index[k, : len(entries)], mask[k, : len(entries)] = entries, 1.0
    return index, mask


def _field_mixtures(couplings: np.ndarray, parents: np.ndarray, mask: np.ndarray, width: int, rng) -> np.ndarray:
    """Weights (head, P, width) of random mixtures, of unit norm, of the fields that the past exerts on the future."""
    weights, coupled = np.zeros((*parents.shape, width)), [np.flatnonzero(row) for row in couplings]
    for k in range(len(parents)):
        felt = np.unique(np.concatenate([coupled[p] for p in parents[k]]))  # by the others nothing is exerted
        felt = felt[felt >= k]
        normal = rng.normal(size=(width, len(couplings) - k))[:, felt - k]
        future = (normal @ couplings[np.ix_(felt, parents[k])]) * mask[k]
        norm = np.linalg.norm(future, axis=1, keepdims=True)
        weights[k] = (future / np.where(norm > 0, norm, 1.0)).T
    return weights
