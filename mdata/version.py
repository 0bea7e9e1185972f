"""The version of mdata, in its own module so that modules which the package's root imports can use it too."""

__version__ = "0.1.0"
