"""The nouns every room shares: frozen values that cannot be built wrong."""
