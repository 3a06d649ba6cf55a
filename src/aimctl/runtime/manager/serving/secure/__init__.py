"""Protected endpoints: TLS, authentication by TokenReview, and authorization by SubjectAccessReview."""

from __future__ import annotations
