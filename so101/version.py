"""The version of this software, recorded in every episode and checkpoint."""

VERSION = "0.1.0"
