"""What is wrong between this machine and its Vault, and what to do: the command ``doctor``.

`examine` goes from the address to the policies step by step; `Cause` is what it can name.
"""

from __future__ import annotations

from greenlang_secrets.doctor.examining import examine
from greenlang_secrets.doctor.findings import Cause, Diagnosis, Finding, Level

__all__ = ["Cause", "Diagnosis", "Finding", "Level", "examine"]
