"""Connection pools whose logins follow a secret; each module needs the driver it is named for."""
