"""What we need from the world, as small interfaces. `adapters` keeps these promises, tests fake them."""
