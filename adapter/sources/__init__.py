"""Where series come from: names, pages, targets. Imports no other part of the adapter."""
