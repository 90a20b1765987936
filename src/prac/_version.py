"""The version, said here only: packaging, the command, files and pages take it from here."""

__version__ = "0.1.0"
