"""Classical matter: densities of configurations, families of them, training by example; quantum states are not here."""
