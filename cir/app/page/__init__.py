"""Render the search page: templates, fragments, script and style."""
