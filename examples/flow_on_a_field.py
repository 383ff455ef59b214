"""Any flow of flowjax as the density of a lattice field, beside the library's own and annealed importance sampling."""

import flowjax.bijections as bijections
import jax
import jax.numpy as jnp
from flowjax.distributions import Normal, Transformed
from flowjax.flows import coupling_flow

import massieu as ms

system = ms.Phi4(l=3, m2=1.0, lam=1.0)
flow = coupling_flow(jax.random.key(0), base_dist=Normal(jnp.zeros(9)), flow_layers=2, nn_width=16)
field = Transformed(Normal(jnp.zeros((3, 3))), bijections.Reshape(flow.bijection, (3, 3)))
run = ms.minimize(system, field, learning_rate=0.01, steps=300, batch=256, samples=5000, seed=0)
exact = system.reference().best
print(f"F = {run.F}   annealed {exact.F}   ESS = {run.result.importance['ess']:.3f}")
assert -4 * (run.F.error + exact.F.error) < run.F.value - exact.F.value < 0.5
