"""The controllers of kube-controller-manager that operators rely on."""
