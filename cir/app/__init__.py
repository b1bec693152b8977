"""The search app: a service over HTTP and its page, on top of a model, a store and a source."""
