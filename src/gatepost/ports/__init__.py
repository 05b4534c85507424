"""What we need from the world, as small interfaces. `adapters` keeps these promises, tests fake them.

Beside `shared`: the same in the memory of one process, which its adapter stands on, and windows of time over it.
"""
