"""Locks on files, which the kernel takes back when their owner dies, however it dies."""
