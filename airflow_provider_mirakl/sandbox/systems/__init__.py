"""The systems that the sandbox plays: Connect, an instance, the token server, DJUST. Each knows the machine only."""
