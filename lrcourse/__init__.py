"""The companion package of a course on the learning rate.

Schedules, optimizers, training, sweeps and explorers, small enough to read in one sitting.  Nothing
is imported here, so that a chapter loads only what it uses.
"""

__version__ = "0.1.0"
