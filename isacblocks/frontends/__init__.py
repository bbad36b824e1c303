"""The world outside: recordings of other instruments, radios, other programs. Each front end gives frames as a block."""
