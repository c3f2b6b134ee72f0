"""Who did what with which secret, kept so that nobody can take it back unseen.

Never a value: what is recorded are names, versions, times and outcomes.
"""

from greenlang_secrets.audit.config import AuditConfig
from greenlang_secrets.audit.event import AuditEvent, AuditPhase, AuditResult
from greenlang_secrets.audit.log import AuditLog, AuditStats

__all__ = ["AuditConfig", "AuditEvent", "AuditLog", "AuditPhase", "AuditResult", "AuditStats"]
