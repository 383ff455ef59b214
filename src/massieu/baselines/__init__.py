"""What the networks must beat: chains, annealing, path integrals, bounds; exact values are in exact/."""
