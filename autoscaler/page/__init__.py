"""The live page: what each autoscaler sees, decides and does, and what it did over the last day."""
