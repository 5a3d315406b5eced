"""The ``surefoot`` command.

Nothing in this package imports JAX or a simulator before a command needs it, so that ``--help`` answers at once.
"""
