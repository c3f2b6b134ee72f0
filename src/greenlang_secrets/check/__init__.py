"""Manifests of Kubernetes against policies, roles and secrets of Vault, before a cluster sees them.

`check` collects what ExternalSecrets, PushSecrets, generators and the agent's annotations ask
for, has a real server say what each role may, and tells what is missing and what is too much.
Needs ``pip install 'greenlang-secrets[cli,testing]'``.
"""

from greenlang_secrets.check.checking import Checked, Options, check
from greenlang_secrets.check.findings import Finding, Place, Rule

__all__ = ["Checked", "Finding", "Options", "Place", "Rule", "check"]
