"""The TLS settings of connections to Vault; certificates and host names are always verified."""

from __future__ import annotations

import ssl

from greenlang_secrets.config import SecretsServiceConfig
from greenlang_secrets.errors import ConfigurationError

__all__ = ["tls_context"]


def tls_context(config: SecretsServiceConfig) -> ssl.SSLContext | bool:
    """Return the context for `config`'s files; True where no address begins with https.

    Raises:
        ConfigurationError: a file cannot be read as PEM.
    """
    if not any(address.startswith("https") for address in config.addresses):
        return True
    try:
        context = ssl.create_default_context(
            cafile=None if config.ca_cert is None else str(config.ca_cert)
        )
        context.minimum_version = ssl.TLSVersion.TLSv1_2
        if config.client_cert is not None and config.client_key is not None:
            context.load_cert_chain(config.client_cert, config.client_key)
    except (ssl.SSLError, OSError):
        raise ConfigurationError(
            "VAULT_CACERT, VAULT_CLIENT_CERT or VAULT_CLIENT_KEY cannot be read as PEM."
        ) from None
    return context
