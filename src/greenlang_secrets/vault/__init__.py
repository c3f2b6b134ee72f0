"""Vault's API: how to log in, and one file for each engine."""

from greenlang_secrets.vault.client import VaultClient
from greenlang_secrets.vault.live_token import LiveToken

__all__ = ["LiveToken", "VaultClient"]
