"""Which mdata this is: a module of its own, so that what the package's root imports may know it, too."""

__version__ = "0.1.0"
