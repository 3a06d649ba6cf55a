"""The validation of pod specs, in pods and in the pod templates of workloads."""
