"""The settings of rotation."""

from __future__ import annotations

import pytest

from greenlang_secrets.config import CacheConfig, Environment
from greenlang_secrets.errors import ConfigurationError
from greenlang_secrets.rotation.config import RotationConfig


def test_the_defaults_are_those_of_the_environment():
    """Production refreshes its ExternalSecrets every 15 s and rotates twice a day."""
    config = RotationConfig.from_env(environ={"GREENLANG_SECRETS_ENVIRONMENT": "production"})

    assert (config.eso_refresh, config.default_interval) == (15.0, 12 * 3600.0)
    assert config.enabled
    assert config.tenant_targets == ()
    assert RotationConfig.from_env(Environment.STAGING, environ={}).eso_refresh == 30.0


def test_targets_of_tenants_are_a_list():
    """Names are compared without case, and spaces mean nothing."""
    environ = {"GREENLANG_SECRETS_ROTATION_TENANT_TARGETS": "DB.example.com:5432, *.acme.internal"}

    config = RotationConfig.from_env(environ=environ)

    assert config.tenant_targets == ("db.example.com:5432", "*.acme.internal")


def test_the_gap_is_longer_than_anybody_goes_by_an_old_value():
    """Fresh and stale time, the ExternalSecrets' refresh and a margin, and 15 minutes at least."""
    config = RotationConfig()

    assert config.promotion_gap(CacheConfig()) == 900.0
    assert config.promotion_gap(CacheConfig(fresh_for=600, stale_for=3600)) == 4320.0


@pytest.mark.parametrize(
    "wrong",
    [{"scan_every": 0.0}, {"concurrency": 0}, {"lease_for": 20.0}, {"margin": -1.0}],
)
def test_what_cannot_be_is_refused(wrong):
    """A lease must outlast a step."""
    with pytest.raises(ConfigurationError):
        RotationConfig(**wrong)
