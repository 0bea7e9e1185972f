"""The settings, and the only code that reads the environment; these are the names that other packages use."""

from mdata.config.files import env_file_text, find_env_file, is_foreign
from mdata.config.folders import cache_folder
from mdata.config.loading import Loaded, load, text_of
from mdata.config.table import Settings, rest_setting
from mdata.config.terminal import invocation_id, is_dumb, is_journal, wants_colour, wants_unicode

__all__ = [
    "Loaded", "Settings", "cache_folder", "env_file_text", "find_env_file", "invocation_id", "is_dumb", "is_foreign",
    "is_journal", "load", "rest_setting", "text_of", "wants_colour", "wants_unicode",
]  # fmt: skip
