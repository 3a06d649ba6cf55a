"""The controllers of StatefulSets, DaemonSets and CronJobs, and what all controllers of workloads share."""
