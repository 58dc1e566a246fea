"""Train anywhere, ship one verified file, get the same numbers on the device."""
