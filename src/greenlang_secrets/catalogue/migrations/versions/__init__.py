"""The revisions, oldest first by their names; once released, none is changed."""
