"""How the schema came to be: Alembic's environment, and one revision for each subject."""
