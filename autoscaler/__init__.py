"""The controller: observe, decide, act, explain. The decision itself is in `policies`."""
