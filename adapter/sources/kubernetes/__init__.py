"""Kubernetes as the inventory: which pods exist, and where their metrics pages are."""
