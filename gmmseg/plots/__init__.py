"""Pictures of models for people: matplotlib without pyplot, so that nothing global changes."""
