"""Locks on files, which the kernel releases when their owner dies for any reason."""
