"""What `greenlang-secrets dev` runs: real servers, provisioned and seeded, and the API.

Needs ``pip install 'greenlang-secrets[api,cli,postgres,testing]'``. For one developer's machine: it
issues its own bearers and holds Vault's root token.
"""
