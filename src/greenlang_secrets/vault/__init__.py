"""Vault's API: how to log in, and one file for each engine."""

from greenlang_secrets.vault.client import VaultClient

__all__ = ["VaultClient"]
