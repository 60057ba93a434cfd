"""The machinery behind sweeps: stacks, executors, memory.  No learner needs to open it."""
