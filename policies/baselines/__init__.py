"""The autoscalers that people would pick instead of leadtime, each restated from its source as a pure policy."""
