"""The reconcilers of the AIM operator: each observes, asks ``aimctl.domain`` to decide, and applies."""
