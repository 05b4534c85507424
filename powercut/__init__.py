"""The power fails at any moment of a recorded run; each disk that could be left is opened and held to the promises."""
