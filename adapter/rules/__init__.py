"""The rules that are served: the built-in catalogue, and what files of rules add, replace or switch off."""
