"""Jobs that the operator owns: their pods, their logs, and how they are going."""
