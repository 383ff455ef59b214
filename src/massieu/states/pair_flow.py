"""A unitary flow of identical particles on the torus: x = T(z), with Psi_K(x) = D_K(z) / sqrt(det dx/dz).

T is a stack of layers, each the gradient of a convex function of all coordinates,

    z_i -> z_i + sum_j grad u(z_i - z_j),     u(s) = sum_n c_n cos(2 pi n.s) / (2 pi)^2,   s in units of the box.

Permuting or translating the electrons commutes with T.  If the second derivative of u is nowhere below -b/N with b < 1,
the Jacobian 1 + Hess(sum u) of N electrons is positive definite wherever they are (its quadratic form is at least
1 - b), so that a layer is a bijection of the torus; the electrons may be pushed apart as strongly as one likes.
`projected` enforces it.  Everything that the local energy needs (up to the fourth derivative of u) is a linear
function of the coefficients and is propagated layer by layer, from x back to z: no automatic differentiation.

The total momentum P is conserved, so every P may have a potential of its own beside the common one: states of different
P are orthogonal for any T that commutes with translations.  The intrinsic Hamiltonian depends on P modulo N and its
point group only, and so do the potentials; they are symmetric under all that keeps P modulo N.

One module: values and derivatives of the same potentials, which must agree term by term, stand side by side.
"""

from __future__ import annotations

from typing import NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jax import Array

from massieu.geometry import half_space, integer_vectors, plane_waves, point_group
from massieu.linear_algebra import inverse_and_log_det_spd
from massieu.sampling import initial_normal
from massieu.states.inversion import carried

BOUND = 0.9  # b above
SMALL = 1e-3  # size of the first coefficients: nearly the identity, but no two layers alike


class FlowJet(NamedTuple):
    """What the local energy needs of x = T(z), derivatives by x.

    x (N, dim), or z for a flow from x to z; log_det of dx/dz; jacobian dz/dx (Nd, Nd); laplacian of z (Nd,); gradient
    (Nd,) and laplacian of -1/2 ln det dx/dz; least: smallest pivot of the layers' Jacobians, > 0 for a bijection.
    """

    x: Array
    log_det: Array
    jacobian: Array
    laplacian: Array
    half_gradient: Array
    half_laplacian: Array
    least: Array

    @classmethod
    def of_identity(cls, x: Array) -> FlowJet:
        """Of T(z) = z at x: where the layers, last to first, start from."""
        size, zero = x.size, jnp.zeros((), x.dtype)
        flat = jnp.zeros(size, x.dtype)
        return cls(x, zero, jnp.eye(size, dtype=x.dtype), flat, flat, zero, jnp.asarray(jnp.inf, x.dtype))

    def metric(self, n: int) -> Array:
        """(dz/dx)(dz/dx)^T as (N, dim, N, dim)."""
        dim = len(self.jacobian) // n
        return (self.jacobian @ self.jacobian.T).reshape(n, dim, n, dim)

    def local(self, slope: Array, curvature: Array) -> tuple[Array, Array]:
        """Gradient (N, dim) of ln Psi by x and -lap Psi/Psi, from slope (N, dim) and curvature of ln D by z.

        The curvature is contracted with the metric.
        """
        flat = slope.reshape(-1)
        gradient = self.jacobian.T @ flat + self.half_gradient
        laplacian = curvature + flat @ self.laplacian + self.half_laplacian
        return gradient.reshape(slope.shape), -(laplacian + jnp.sum(gradient * gradient))


class PairFlow(eqx.Module):
    """Layers of pair potentials for N electrons of one or two spins in the unit box of dimension dim."""

    spins: tuple[int, ...] = eqx.field(static=True)
    dim: int = eqx.field(static=True)
    vectors: np.ndarray  # (V, dim): half of the Fourier vectors of u
    kinds: np.ndarray  # (N, N): 0 for equal, 1 for opposite spins
    sector: np.ndarray  # (N, ..., N): which set of coefficients P modulo N has
    turned: np.ndarray  # (N, ..., N, V): whose own coefficient each vector has, symmetric as P modulo N is
    star: np.ndarray  # (V,): whose common coefficient each vector has, the same for its whole star
    alike: np.ndarray  # (sectors, V): `turned` for the P that stands for its sector
    coefficients: Array  # (layers, 1 + sectors, kinds, V): common, then own; or common only

    def __init__(self, spins: tuple[int, ...], dim: int, *, layers: int, radius: float, by_momentum: bool, key: Array):
        n = sum(spins)
        self.spins, self.dim = spins, dim
        self.vectors = half_space(integer_vectors(dim, radius))
        label = np.repeat(np.arange(len(spins)), spins)
        self.kinds = (label[:, None] != label[None]).astype(int)
        self.sector, self.turned, self.alike = _sectors(n if by_momentum else 1, dim, self.vectors)
        self.star = _sectors(1, dim, self.vectors)[2][0]
        own = len(self.alike) if by_momentum else 0
        first = initial_normal(key, (layers, 1, int(self.kinds.max()) + 1, len(self.vectors)))
        first = SMALL * first / np.sum(self.vectors**2, axis=1)
        self.coefficients = jnp.asarray(np.pad(first, ((0, 0), (0, own), (0, 0), (0, 0))))

    @property
    def by_momentum(self) -> bool:
        """Whether every total momentum has potentials of its own."""
        return self.coefficients.shape[1] > 1

    def of_momentum(self, total: Array) -> Array:
        """Coefficients (layers, kinds, V) for the total momentum (dim,), an integer vector (without the twist)."""
        at, common = self._place(total), self.coefficients[:, 0][..., self.star]
        if self.coefficients.shape[1] == 1:
            return common
        return common + self.coefficients[:, 1 + jnp.asarray(self.sector)[at]][..., jnp.asarray(self.turned)[at]]

    def _place(self, total: Array) -> tuple[Array, ...]:
        return tuple(total[a] % self.sector.shape[a] for a in range(self.dim))

    def layer(self, c: Array, z: Array) -> tuple[Array, Array]:
        """One layer with coefficients (kinds, V): new positions and Jacobian (Nd, Nd)."""
        push, stretch = self.derivatives(c, z, (1, 2))
        return z + jnp.sum(push, axis=1), pair_jacobian(stretch)

    def __call__(self, c: Array, z: Array) -> tuple[Array, Array]:
        """x = T(z) and ln det dx/dz, for the coefficients c (layers, kinds, V)."""
        return carried(self, c, z)

    def positions(self, c: Array, z: Array) -> Array:
        """x = T(z) alone."""

        def one(z: Array, of_layer: Array) -> tuple[Array, None]:
            return z + jnp.sum(self.derivatives(of_layer, z, (1,))[0], axis=1), None

        return jax.lax.scan(one, z, c)[0]

    def derivatives(self, c: Array, z: Array, orders: tuple[int, ...]) -> list[Array]:
        """Derivatives of u (N, N, dim, .., dim) of the orders 1 to 4 at all separations z_i - z_j."""
        waves = plane_waves(z, self.vectors)
        weights = c[self.kinds] if len(c) > 1 else c[:1, None]
        return wave_derivatives(waves[:, None] * waves[None].conj() * weights, self.vectors, orders)

    def jet(self, c: Array, z: Array) -> FlowJet:
        """x = T(z) with everything for the local energy, from the last layer back to the first."""
        n, dim = z.shape

        def forwards(z: Array, of_layer: Array) -> tuple[Array, list[Array]]:
            push, *rest = self.derivatives(of_layer, z, (1, 2, 3, 4))
            return z + jnp.sum(push, axis=1), rest

        def backwards(state: FlowJet, derivatives: list[Array]) -> tuple[FlowJet, None]:
            x, log_det, jacobian, laplacian, gradient, half, least = state
            stretch, third, fourth = derivatives
            inverse, of_layer, pivot = inverse_and_log_det_spd(pair_jacobian(stretch))
            log_det, least = log_det + of_layer, jnp.minimum(least, pivot)
            jacobian = inverse @ jacobian
            metric = between(jacobian @ jacobian.T, n, dim)
            response = between(inverse, n, dim)
            laplacian = inverse @ (laplacian - jnp.einsum("ijabc,ijbc->ia", third, metric).reshape(-1))
            slope = -0.5 * jnp.einsum("ijabc,ijbc->ia", third, response).reshape(-1)
            gradient = gradient + jacobian.T @ slope
            bend = -0.25 * jnp.einsum("ijabcd,ijab,ijcd->", fourth, response, metric)
            half = half + slope @ laplacian + bend + 0.5 * squared_change(third, inverse, jacobian)
            return FlowJet(x, log_det, jacobian, laplacian, gradient, half, least), None

        x, stack = jax.lax.scan(forwards, z, c)
        return jax.lax.scan(backwards, FlowJet.of_identity(x), stack, reverse=True)[0]

    def parameter_gradient(self, c: Array, z: Array, pulls: Array, volumes: Array) -> Array:
        """d/dc of -volume/2 ln det dx/dz - pull . x for each pull (R, N, dim) and volume (R,): (R, layers, kinds, V).

        The reverse pass by hand, layer by layer, from structure factors and pair sums.
        """
        n, dim = z.shape

        def forwards(z: Array, of_layer: Array) -> tuple[Array, tuple[Array, ...]]:
            push, stretch, third = self.derivatives(of_layer, z, (1, 2, 3))
            waves = plane_waves(z, self.vectors)
            return z + jnp.sum(push, axis=1), (pair_jacobian(stretch), third, waves[:, None] * waves[None].conj())

        def backwards(pull: Array, of_layer: tuple[Array, ...]) -> tuple[Array, Array]:
            jacobian, third, wave = of_layer
            response = between(inverse_and_log_det_spd(jacobian)[0], n, dim)
            along = (pull[:, :, None] - pull[:, None]) @ self.vectors.T  # (R, N, N, V)
            squared = response.reshape(n, n, -1) @ _monomial(self.vectors, 2).reshape(len(self.vectors), -1).T
            pairs = (
                -along * wave.imag[None] / (4 * np.pi)
                + 0.25 * volumes[:, None, None, None] * squared[None] * wave.real[None]
            )
            gradient = jnp.stack([jnp.sum(pairs * m[None, ..., None], axis=(1, 2)) for m in self._masks()], axis=1)
            slope = -0.5 * jnp.einsum("ijabc,ijbc->ia", third, response)
            moved = (pull.reshape(len(pull), -1) @ jacobian).reshape(pull.shape)
            return moved + volumes[:, None, None] * slope[None], gradient

        _, stack = jax.lax.scan(forwards, z, c)
        return jnp.moveaxis(jax.lax.scan(backwards, -pulls, stack, reverse=True)[1], 0, 1)

    def _masks(self) -> list[np.ndarray]:
        """For each kind of pair, 1 where a pair (N, N) is of this kind."""
        return [(self.kinds == kind).astype(float) for kind in range(self.coefficients.shape[2])]

    def spread(self, total: Array, gradient: Array) -> Array:
        """The transpose of `of_momentum`: (.., layers, kinds, V) into the shape of all coefficients."""
        at = self._place(total)
        common = jnp.zeros_like(gradient).at[..., self.star].add(gradient)[..., None, :, :]
        if self.coefficients.shape[1] == 1:
            return common
        own = jnp.zeros_like(gradient).at[..., jnp.asarray(self.turned)[at]].add(gradient)
        one = jnp.arange(len(self.alike)) == jnp.asarray(self.sector)[at]
        return jnp.concatenate(
            [common, own[..., None, :, :] * jnp.expand_dims(one, (*range(own.ndim - 2), -2, -1))], axis=-3
        )

    def projected(self) -> PairFlow:
        """The same flow with its coefficients inside the bound that makes it a bijection for every momentum."""
        n, common, own = sum(self.spins), self.coefficients[:, :1], self.coefficients[:, 1:]
        of_star = common[..., self.star]
        if own.shape[1] == 0:
            safe = common * bound_scale(of_star, self.vectors, n)
        else:
            scale = bound_scale(of_star + jnp.take_along_axis(own, self.alike[None, :, None], axis=-1), self.vectors, n)
            safe = jnp.concatenate([common, scale * own + (scale - 1) * of_star], axis=1)
        return eqx.tree_at(lambda flow: flow.coefficients, self, safe)


def bound_scale(c: Array, vectors: np.ndarray, n: int) -> Array:
    """Factor (..., 1) <= 1 after which no u of the potentials c (..., V) has a second derivative below -BOUND/n.

    Looked for on a grid of eight points per shortest wavelength.
    """
    worst = -n * jnp.minimum(lowest_curvature(c, vectors), 0.0)
    return jnp.minimum(1.0, BOUND / jnp.maximum(worst, 1e-12))[..., None]


def lowest_curvature(c: Array, vectors: np.ndarray) -> Array:
    """Smallest eigenvalue of the second derivative of u over the box, for coefficients c (..., V)."""
    dim = vectors.shape[1]
    points = max(8, 8 * int(np.abs(vectors).max()))
    products = {(a, b): _on_grid(-c * _along(vectors[:, a] * vectors[:, b], c), vectors, points)
                for a in range(dim) for b in range(a, dim)}  # fmt: skip
    return jnp.min(_lowest_eigenvalue(products, dim), axis=tuple(range(c.ndim - 1, c.ndim - 1 + dim)))


def _along(v: np.ndarray, c: Array) -> np.ndarray:
    """v (V,) with the axes of c (..., V)."""
    return v.reshape((1,) * (c.ndim - 1) + (-1,))


def _on_grid(amplitude: Array, vectors: np.ndarray, points: int) -> Array:
    """sum_n amplitude_n cos(2 pi n.s) on a grid of points^dim."""
    dim = vectors.shape[1]
    modes = jnp.zeros((*amplitude.shape[:-1], *(points,) * dim), complex)
    at = tuple(vectors[:, a] % points for a in range(dim))
    return jnp.fft.fftn(modes.at[(..., *at)].set(amplitude), axes=range(-dim, 0)).real


def _lowest_eigenvalue(m: dict[tuple[int, int], Array], dim: int) -> Array:
    """Of symmetric 1 x 1, 2 x 2 or (trigonometric formula) 3 x 3 matrices."""
    if dim == 1:
        return m[0, 0]
    if dim == 2:
        return 0.5 * (m[0, 0] + m[1, 1]) - jnp.sqrt(0.25 * (m[0, 0] - m[1, 1]) ** 2 + m[0, 1] ** 2)
    mean = (m[0, 0] + m[1, 1] + m[2, 2]) / 3
    a, b, c = m[0, 0] - mean, m[1, 1] - mean, m[2, 2] - mean
    d, e, f = m[0, 1], m[0, 2], m[1, 2]
    p = jnp.sqrt((a**2 + b**2 + c**2 + 2 * (d**2 + e**2 + f**2)) / 6 + 1e-60)
    det = a * (b * c - f**2) - d * (d * c - f * e) + e * (d * f - b * e)
    angle = jnp.arccos(jnp.clip(det / (2 * p**3), -1.0, 1.0)) / 3
    return mean + 2 * p * jnp.cos(angle + 2 * np.pi / 3)


def wave_derivatives(wave: Array, vectors: np.ndarray, orders: tuple[int, ...]) -> list[Array]:
    """Derivatives (.., dim, .., dim) of sum_n Re wave_n / (2 pi)^2, wave (.., V) proportional to exp(2 pi i n.s)."""
    out = []
    for order in orders:
        factor = (2 * np.pi) ** (order - 2) * (-1.0 if order in (1, 2) else 1.0)
        monomial = _monomial(vectors, order)
        values = (wave.real if order % 2 == 0 else wave.imag) @ monomial.reshape(len(monomial), -1)
        out.append(factor * values.reshape(*wave.shape[:-1], *monomial.shape[1:]))
    return out


def _monomial(vectors: np.ndarray, order: int) -> np.ndarray:
    """n_a n_b ... (V, dim, .., dim)."""
    out = vectors.astype(float)
    for _ in range(order - 1):
        out = out[..., None] * vectors.reshape(len(vectors), *(1,) * (out.ndim - 1), -1)
    return out


def pair_jacobian(stretch: Array) -> Array:
    """1 + Hess(sum_{i<j} u) as (Nd, Nd) from the second derivatives (N, N, dim, dim)."""
    n, _, dim, _ = stretch.shape
    own = jnp.eye(dim)[None] + jnp.sum(stretch, axis=1)
    blocks = jnp.eye(n)[:, :, None, None] * own[:, None] - stretch
    return blocks.transpose(0, 2, 1, 3).reshape(n * dim, n * dim)


def between(m: Array, n: int, dim: int) -> Array:
    """m_ii - m_ij - m_ji + m_jj (N, N, dim, dim) of a matrix (Nd, Nd): what a change of z_i - z_j sees."""
    blocks = m.reshape(n, dim, n, dim).transpose(0, 2, 1, 3)
    own = jnp.einsum("iiab->iab", blocks)
    return own[:, None] + own[None] - blocks - blocks.transpose(1, 0, 2, 3)


def squared_change(third: Array, inverse: Array, jacobian: Array, own: Array | None = None) -> Array:
    """sum_a tr (A^-1 dA_a)^2 over the Cartesian directions a of x, with dA_a the change of a layer's Jacobian.

    `own` (N, dim, dim, dim): third derivatives of an external potential.
    """
    n, _, dim, *_ = third.shape
    moved = jacobian.reshape(n, dim, n * dim)
    change = jnp.einsum("ijabc,ijcx->xijab", third, moved[:, None] - moved[None])
    alone = jnp.sum(change, axis=2)
    if own is not None:
        alone = alone + jnp.einsum("iabc,icx->xiab", own, moved)
    blocks = jnp.eye(n)[None, :, :, None, None] * alone[:, :, None] - change
    relative = inverse @ blocks.transpose(0, 1, 3, 2, 4).reshape(n * dim, n * dim, n * dim)
    return jnp.sum(relative * relative.transpose(0, 2, 1))


def _sectors(n: int, dim: int, vectors: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Classes of P modulo n under the point group, and the first vector that each vector is equivalent to.

    The class of every P (n, ..., n); the equivalent vector for every P (n, ..., n, V), after turning P to the one that
    stands for its class, and for the latter (classes, V), under the operations that keep it.
    """
    index = {tuple(sign * v): i for i, v in enumerate(vectors) for sign in (1, -1)}
    turns = [(g, np.array([index[tuple(g @ v)] for v in vectors], int)) for g in point_group(dim)]
    classes: dict[tuple[int, ...], int] = {}
    alike: list[np.ndarray] = []
    sector = np.zeros((n,) * dim, int)
    turned = np.zeros((*(n,) * dim, len(vectors)), int)
    for total in np.ndindex(*sector.shape):
        images = [(tuple(int(p) for p in (g @ np.array(total)) % n), k) for k, (g, _) in enumerate(turns)]
        standard, k = min(images)
        if standard not in classes:
            classes[standard] = len(classes)
            alike.append(np.min([turn for g, turn in turns if tuple((g @ np.array(standard)) % n) == standard], axis=0))
        sector[total] = classes[standard]
        turned[total] = alike[sector[total]][turns[k][1]]
    return sector, turned, np.array(alike)
