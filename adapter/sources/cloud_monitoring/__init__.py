"""Google's Cloud Monitoring as a source."""
