"""The metrics adapter: GPU and LLM series from pods' metrics pages, served to the HPA."""
