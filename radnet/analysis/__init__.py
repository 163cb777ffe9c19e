"""Floor 6: what was learned, and where the domain boundary lies. Every measure is a plain function on arrays."""
