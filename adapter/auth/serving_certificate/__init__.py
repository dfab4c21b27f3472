"""The certificate that the adapter shows: from mounted files, or made, shared and renewed by itself."""
