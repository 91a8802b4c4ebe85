"""facedex: register, recognize, verify and delete people by their faces."""
