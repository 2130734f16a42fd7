"""The built-in plugins: each module is one, registered by the same door as anybody's."""
