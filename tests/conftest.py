"""float64 everywhere in the tests, as in every run that ends in a published number."""

import jax

jax.config.update("jax_enable_x64", True)
