"""The controllers of StatefulSets and DaemonSets, and what all controllers of workloads share."""
