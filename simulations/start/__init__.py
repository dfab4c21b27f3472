"""A pod's start as Kubernetes does it, stage by stage: an alternative to one `LeadTime` for all of it."""
