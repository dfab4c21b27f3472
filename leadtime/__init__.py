"""The front door: the `leadtime` command, and the demo that runs the whole loop on one machine."""
