"""Autoscaler manifests as people apply them, read into policies that run as they stand."""
