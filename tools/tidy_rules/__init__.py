"""The rules of tools/tidy, by subject."""
