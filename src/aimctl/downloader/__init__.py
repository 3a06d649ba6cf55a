"""What runs in download pods: the operator sends the text of :mod:`aimctl.downloader.program`."""
