from aimctl.kubetypes.k8s.access import AggregationRule as AggregationRule
from aimctl.kubetypes.k8s.access import ClusterRole as ClusterRole
from aimctl.kubetypes.k8s.access import ClusterRoleBinding as ClusterRoleBinding
from aimctl.kubetypes.k8s.access import PolicyRule as PolicyRule
from aimctl.kubetypes.k8s.access import Role as Role
from aimctl.kubetypes.k8s.access import RoleBinding as RoleBinding
from aimctl.kubetypes.k8s.access import RoleRef as RoleRef
from aimctl.kubetypes.k8s.access import Subject as Subject
from aimctl.kubetypes.k8s.core import AttachedVolume as AttachedVolume
from aimctl.kubetypes.k8s.core import ClientIPConfig as ClientIPConfig
from aimctl.kubetypes.k8s.core import ConfigMap as ConfigMap
from aimctl.kubetypes.k8s.core import ConfigMapNodeConfigSource as ConfigMapNodeConfigSource
from aimctl.kubetypes.k8s.core import ContainerImage as ContainerImage
from aimctl.kubetypes.k8s.core import CoreEvent as CoreEvent
from aimctl.kubetypes.k8s.core import CoreEventSeries as CoreEventSeries
from aimctl.kubetypes.k8s.core import DaemonEndpoint as DaemonEndpoint
from aimctl.kubetypes.k8s.core import Event as Event
from aimctl.kubetypes.k8s.core import EventSeries as EventSeries
from aimctl.kubetypes.k8s.core import EventSource as EventSource
from aimctl.kubetypes.k8s.core import Lease as Lease
from aimctl.kubetypes.k8s.core import LeaseSpec as LeaseSpec
from aimctl.kubetypes.k8s.core import LimitRange as LimitRange
from aimctl.kubetypes.k8s.core import LimitRangeItem as LimitRangeItem
from aimctl.kubetypes.k8s.core import LimitRangeSpec as LimitRangeSpec
from aimctl.kubetypes.k8s.core import LoadBalancerIngress as LoadBalancerIngress
from aimctl.kubetypes.k8s.core import LoadBalancerStatus as LoadBalancerStatus
from aimctl.kubetypes.k8s.core import Namespace as Namespace
from aimctl.kubetypes.k8s.core import NamespaceCondition as NamespaceCondition
from aimctl.kubetypes.k8s.core import NamespaceSpec as NamespaceSpec
from aimctl.kubetypes.k8s.core import NamespaceStatus as NamespaceStatus
from aimctl.kubetypes.k8s.core import Node as Node
from aimctl.kubetypes.k8s.core import NodeAddress as NodeAddress
from aimctl.kubetypes.k8s.core import NodeCondition as NodeCondition
from aimctl.kubetypes.k8s.core import NodeConfigSource as NodeConfigSource
from aimctl.kubetypes.k8s.core import NodeConfigStatus as NodeConfigStatus
from aimctl.kubetypes.k8s.core import NodeDaemonEndpoints as NodeDaemonEndpoints
from aimctl.kubetypes.k8s.core import NodeFeatures as NodeFeatures
from aimctl.kubetypes.k8s.core import NodeRuntimeHandler as NodeRuntimeHandler
from aimctl.kubetypes.k8s.core import NodeRuntimeHandlerFeatures as NodeRuntimeHandlerFeatures
from aimctl.kubetypes.k8s.core import NodeSpec as NodeSpec
from aimctl.kubetypes.k8s.core import NodeStatus as NodeStatus
from aimctl.kubetypes.k8s.core import NodeSwapStatus as NodeSwapStatus
from aimctl.kubetypes.k8s.core import NodeSystemInfo as NodeSystemInfo
from aimctl.kubetypes.k8s.core import PortStatus as PortStatus
from aimctl.kubetypes.k8s.core import PriorityClass as PriorityClass
from aimctl.kubetypes.k8s.core import ResourceQuota as ResourceQuota
from aimctl.kubetypes.k8s.core import ResourceQuotaSpec as ResourceQuotaSpec
from aimctl.kubetypes.k8s.core import ResourceQuotaStatus as ResourceQuotaStatus
from aimctl.kubetypes.k8s.core import ScopedResourceSelectorRequirement as ScopedResourceSelectorRequirement
from aimctl.kubetypes.k8s.core import ScopeSelector as ScopeSelector
from aimctl.kubetypes.k8s.core import Secret as Secret
from aimctl.kubetypes.k8s.core import Service as Service
from aimctl.kubetypes.k8s.core import ServiceAccount as ServiceAccount
from aimctl.kubetypes.k8s.core import ServicePort as ServicePort
from aimctl.kubetypes.k8s.core import ServiceSpec as ServiceSpec
from aimctl.kubetypes.k8s.core import ServiceStatus as ServiceStatus
from aimctl.kubetypes.k8s.core import SessionAffinityConfig as SessionAffinityConfig
from aimctl.kubetypes.k8s.core import Taint as Taint
from aimctl.kubetypes.k8s.extensions import CustomResourceColumnDefinition as CustomResourceColumnDefinition
from aimctl.kubetypes.k8s.extensions import CustomResourceConversion as CustomResourceConversion
from aimctl.kubetypes.k8s.extensions import CustomResourceDefinition as CustomResourceDefinition
from aimctl.kubetypes.k8s.extensions import (
    CustomResourceDefinitionCondition as CustomResourceDefinitionCondition,
)
from aimctl.kubetypes.k8s.extensions import CustomResourceDefinitionNames as CustomResourceDefinitionNames
from aimctl.kubetypes.k8s.extensions import CustomResourceDefinitionSpec as CustomResourceDefinitionSpec
from aimctl.kubetypes.k8s.extensions import CustomResourceDefinitionStatus as CustomResourceDefinitionStatus
from aimctl.kubetypes.k8s.extensions import CustomResourceDefinitionVersion as CustomResourceDefinitionVersion
from aimctl.kubetypes.k8s.extensions import CustomResourceSubresources as CustomResourceSubresources
from aimctl.kubetypes.k8s.extensions import CustomResourceSubresourceScale as CustomResourceSubresourceScale
from aimctl.kubetypes.k8s.extensions import CustomResourceValidation as CustomResourceValidation
from aimctl.kubetypes.k8s.extensions import ExternalDocumentation as ExternalDocumentation
from aimctl.kubetypes.k8s.extensions import JSONSchemaProps as JSONSchemaProps
from aimctl.kubetypes.k8s.extensions import SelectableField as SelectableField
from aimctl.kubetypes.k8s.extensions import ServiceReference as ServiceReference
from aimctl.kubetypes.k8s.extensions import ValidationRule as ValidationRule
from aimctl.kubetypes.k8s.extensions import WebhookClientConfig as WebhookClientConfig
from aimctl.kubetypes.k8s.extensions import WebhookConversion as WebhookConversion
from aimctl.kubetypes.k8s.meta import Condition as Condition
from aimctl.kubetypes.k8s.meta import LabelSelector as LabelSelector
from aimctl.kubetypes.k8s.meta import LabelSelectorRequirement as LabelSelectorRequirement
from aimctl.kubetypes.k8s.meta import LocalObjectReference as LocalObjectReference
from aimctl.kubetypes.k8s.meta import ObjectMeta as ObjectMeta
from aimctl.kubetypes.k8s.meta import ObjectReference as ObjectReference
from aimctl.kubetypes.k8s.meta import OwnerReference as OwnerReference
from aimctl.kubetypes.k8s.meta import TypedLocalObjectReference as TypedLocalObjectReference
from aimctl.kubetypes.k8s.network import Endpoint as Endpoint
from aimctl.kubetypes.k8s.network import EndpointConditions as EndpointConditions
from aimctl.kubetypes.k8s.network import EndpointHints as EndpointHints
from aimctl.kubetypes.k8s.network import EndpointPort as EndpointPort
from aimctl.kubetypes.k8s.network import EndpointSlice as EndpointSlice
from aimctl.kubetypes.k8s.network import ForNode as ForNode
from aimctl.kubetypes.k8s.network import ForZone as ForZone
from aimctl.kubetypes.k8s.network import HTTPIngressPath as HTTPIngressPath
from aimctl.kubetypes.k8s.network import HTTPIngressRuleValue as HTTPIngressRuleValue
from aimctl.kubetypes.k8s.network import Ingress as Ingress
from aimctl.kubetypes.k8s.network import IngressBackend as IngressBackend
from aimctl.kubetypes.k8s.network import IngressLoadBalancerIngress as IngressLoadBalancerIngress
from aimctl.kubetypes.k8s.network import IngressLoadBalancerStatus as IngressLoadBalancerStatus
from aimctl.kubetypes.k8s.network import IngressPortStatus as IngressPortStatus
from aimctl.kubetypes.k8s.network import IngressRule as IngressRule
from aimctl.kubetypes.k8s.network import IngressServiceBackend as IngressServiceBackend
from aimctl.kubetypes.k8s.network import IngressSpec as IngressSpec
from aimctl.kubetypes.k8s.network import IngressStatus as IngressStatus
from aimctl.kubetypes.k8s.network import IngressTLS as IngressTLS
from aimctl.kubetypes.k8s.network import IPBlock as IPBlock
from aimctl.kubetypes.k8s.network import NetworkPolicy as NetworkPolicy
from aimctl.kubetypes.k8s.network import NetworkPolicyEgressRule as NetworkPolicyEgressRule
from aimctl.kubetypes.k8s.network import NetworkPolicyIngressRule as NetworkPolicyIngressRule
from aimctl.kubetypes.k8s.network import NetworkPolicyPeer as NetworkPolicyPeer
from aimctl.kubetypes.k8s.network import NetworkPolicyPort as NetworkPolicyPort
from aimctl.kubetypes.k8s.network import NetworkPolicySpec as NetworkPolicySpec
from aimctl.kubetypes.k8s.network import ServiceBackendPort as ServiceBackendPort
from aimctl.kubetypes.k8s.pods import Affinity as Affinity
from aimctl.kubetypes.k8s.pods import AppArmorProfile as AppArmorProfile
from aimctl.kubetypes.k8s.pods import Capabilities as Capabilities
from aimctl.kubetypes.k8s.pods import ConfigMapEnvSource as ConfigMapEnvSource
from aimctl.kubetypes.k8s.pods import ConfigMapKeySelector as ConfigMapKeySelector
from aimctl.kubetypes.k8s.pods import Container as Container
from aimctl.kubetypes.k8s.pods import ContainerExtendedResourceRequest as ContainerExtendedResourceRequest
from aimctl.kubetypes.k8s.pods import ContainerPort as ContainerPort
from aimctl.kubetypes.k8s.pods import ContainerResizePolicy as ContainerResizePolicy
from aimctl.kubetypes.k8s.pods import ContainerRestartRule as ContainerRestartRule
from aimctl.kubetypes.k8s.pods import ContainerRestartRuleOnExitCodes as ContainerRestartRuleOnExitCodes
from aimctl.kubetypes.k8s.pods import ContainerState as ContainerState
from aimctl.kubetypes.k8s.pods import ContainerStateRunning as ContainerStateRunning
from aimctl.kubetypes.k8s.pods import ContainerStateTerminated as ContainerStateTerminated
from aimctl.kubetypes.k8s.pods import ContainerStateWaiting as ContainerStateWaiting
from aimctl.kubetypes.k8s.pods import ContainerStatus as ContainerStatus
from aimctl.kubetypes.k8s.pods import ContainerUser as ContainerUser
from aimctl.kubetypes.k8s.pods import EnvFromSource as EnvFromSource
from aimctl.kubetypes.k8s.pods import EnvVar as EnvVar
from aimctl.kubetypes.k8s.pods import EnvVarSource as EnvVarSource
from aimctl.kubetypes.k8s.pods import EphemeralContainer as EphemeralContainer
from aimctl.kubetypes.k8s.pods import ExecAction as ExecAction
from aimctl.kubetypes.k8s.pods import FileKeySelector as FileKeySelector
from aimctl.kubetypes.k8s.pods import GRPCAction as GRPCAction
from aimctl.kubetypes.k8s.pods import HostAlias as HostAlias
from aimctl.kubetypes.k8s.pods import HostIP as HostIP
from aimctl.kubetypes.k8s.pods import HTTPGetAction as HTTPGetAction
from aimctl.kubetypes.k8s.pods import HTTPHeader as HTTPHeader
from aimctl.kubetypes.k8s.pods import ImageVolumeStatus as ImageVolumeStatus
from aimctl.kubetypes.k8s.pods import Lifecycle as Lifecycle
from aimctl.kubetypes.k8s.pods import LifecycleHandler as LifecycleHandler
from aimctl.kubetypes.k8s.pods import LinuxContainerUser as LinuxContainerUser
from aimctl.kubetypes.k8s.pods import NodeAffinity as NodeAffinity
from aimctl.kubetypes.k8s.pods import NodeAllocatableResourceClaimStatus as NodeAllocatableResourceClaimStatus
from aimctl.kubetypes.k8s.pods import Pod as Pod
from aimctl.kubetypes.k8s.pods import PodAffinity as PodAffinity
from aimctl.kubetypes.k8s.pods import PodAffinityTerm as PodAffinityTerm
from aimctl.kubetypes.k8s.pods import PodAntiAffinity as PodAntiAffinity
from aimctl.kubetypes.k8s.pods import PodCondition as PodCondition
from aimctl.kubetypes.k8s.pods import PodDNSConfig as PodDNSConfig
from aimctl.kubetypes.k8s.pods import PodDNSConfigOption as PodDNSConfigOption
from aimctl.kubetypes.k8s.pods import PodExtendedResourceClaimStatus as PodExtendedResourceClaimStatus
from aimctl.kubetypes.k8s.pods import PodIP as PodIP
from aimctl.kubetypes.k8s.pods import PodOS as PodOS
from aimctl.kubetypes.k8s.pods import PodReadinessGate as PodReadinessGate
from aimctl.kubetypes.k8s.pods import PodResourceClaim as PodResourceClaim
from aimctl.kubetypes.k8s.pods import PodResourceClaimStatus as PodResourceClaimStatus
from aimctl.kubetypes.k8s.pods import PodSchedulingGate as PodSchedulingGate
from aimctl.kubetypes.k8s.pods import PodSchedulingGroup as PodSchedulingGroup
from aimctl.kubetypes.k8s.pods import PodSecurityContext as PodSecurityContext
from aimctl.kubetypes.k8s.pods import PodSpec as PodSpec
from aimctl.kubetypes.k8s.pods import PodStatus as PodStatus
from aimctl.kubetypes.k8s.pods import PodTemplateSpec as PodTemplateSpec
from aimctl.kubetypes.k8s.pods import PreferredSchedulingTerm as PreferredSchedulingTerm
from aimctl.kubetypes.k8s.pods import Probe as Probe
from aimctl.kubetypes.k8s.pods import ReplicationController as ReplicationController
from aimctl.kubetypes.k8s.pods import ReplicationControllerCondition as ReplicationControllerCondition
from aimctl.kubetypes.k8s.pods import ReplicationControllerSpec as ReplicationControllerSpec
from aimctl.kubetypes.k8s.pods import ReplicationControllerStatus as ReplicationControllerStatus
from aimctl.kubetypes.k8s.pods import ResourceClaim as ResourceClaim
from aimctl.kubetypes.k8s.pods import ResourceHealth as ResourceHealth
from aimctl.kubetypes.k8s.pods import ResourceRequirements as ResourceRequirements
from aimctl.kubetypes.k8s.pods import ResourceStatus as ResourceStatus
from aimctl.kubetypes.k8s.pods import SeccompProfile as SeccompProfile
from aimctl.kubetypes.k8s.pods import SecretEnvSource as SecretEnvSource
from aimctl.kubetypes.k8s.pods import SecretKeySelector as SecretKeySelector
from aimctl.kubetypes.k8s.pods import SecurityContext as SecurityContext
from aimctl.kubetypes.k8s.pods import SELinuxOptions as SELinuxOptions
from aimctl.kubetypes.k8s.pods import SleepAction as SleepAction
from aimctl.kubetypes.k8s.pods import Sysctl as Sysctl
from aimctl.kubetypes.k8s.pods import TCPSocketAction as TCPSocketAction
from aimctl.kubetypes.k8s.pods import Toleration as Toleration
from aimctl.kubetypes.k8s.pods import TopologySpreadConstraint as TopologySpreadConstraint
from aimctl.kubetypes.k8s.pods import VolumeDevice as VolumeDevice
from aimctl.kubetypes.k8s.pods import VolumeMount as VolumeMount
from aimctl.kubetypes.k8s.pods import VolumeMountStatus as VolumeMountStatus
from aimctl.kubetypes.k8s.pods import VolumeStatus as VolumeStatus
from aimctl.kubetypes.k8s.pods import WeightedPodAffinityTerm as WeightedPodAffinityTerm
from aimctl.kubetypes.k8s.pods import WindowsSecurityContextOptions as WindowsSecurityContextOptions
from aimctl.kubetypes.k8s.volumes import AWSElasticBlockStoreVolumeSource as AWSElasticBlockStoreVolumeSource
from aimctl.kubetypes.k8s.volumes import AzureDiskVolumeSource as AzureDiskVolumeSource
from aimctl.kubetypes.k8s.volumes import AzureFilePersistentVolumeSource as AzureFilePersistentVolumeSource
from aimctl.kubetypes.k8s.volumes import AzureFileVolumeSource as AzureFileVolumeSource
from aimctl.kubetypes.k8s.volumes import CephFSPersistentVolumeSource as CephFSPersistentVolumeSource
from aimctl.kubetypes.k8s.volumes import CephFSVolumeSource as CephFSVolumeSource
from aimctl.kubetypes.k8s.volumes import CinderPersistentVolumeSource as CinderPersistentVolumeSource
from aimctl.kubetypes.k8s.volumes import CinderVolumeSource as CinderVolumeSource
from aimctl.kubetypes.k8s.volumes import ClusterTrustBundleProjection as ClusterTrustBundleProjection
from aimctl.kubetypes.k8s.volumes import ConfigMapProjection as ConfigMapProjection
from aimctl.kubetypes.k8s.volumes import ConfigMapVolumeSource as ConfigMapVolumeSource
from aimctl.kubetypes.k8s.volumes import CSIPersistentVolumeSource as CSIPersistentVolumeSource
from aimctl.kubetypes.k8s.volumes import CSIVolumeSource as CSIVolumeSource
from aimctl.kubetypes.k8s.volumes import DownwardAPIProjection as DownwardAPIProjection
from aimctl.kubetypes.k8s.volumes import DownwardAPIVolumeFile as DownwardAPIVolumeFile
from aimctl.kubetypes.k8s.volumes import DownwardAPIVolumeSource as DownwardAPIVolumeSource
from aimctl.kubetypes.k8s.volumes import EmptyDirVolumeSource as EmptyDirVolumeSource
from aimctl.kubetypes.k8s.volumes import EphemeralVolumeSource as EphemeralVolumeSource
from aimctl.kubetypes.k8s.volumes import FCVolumeSource as FCVolumeSource
from aimctl.kubetypes.k8s.volumes import FlexPersistentVolumeSource as FlexPersistentVolumeSource
from aimctl.kubetypes.k8s.volumes import FlexVolumeSource as FlexVolumeSource
from aimctl.kubetypes.k8s.volumes import FlockerVolumeSource as FlockerVolumeSource
from aimctl.kubetypes.k8s.volumes import GCEPersistentDiskVolumeSource as GCEPersistentDiskVolumeSource
from aimctl.kubetypes.k8s.volumes import GitRepoVolumeSource as GitRepoVolumeSource
from aimctl.kubetypes.k8s.volumes import GlusterfsPersistentVolumeSource as GlusterfsPersistentVolumeSource
from aimctl.kubetypes.k8s.volumes import GlusterfsVolumeSource as GlusterfsVolumeSource
from aimctl.kubetypes.k8s.volumes import HostPathVolumeSource as HostPathVolumeSource
from aimctl.kubetypes.k8s.volumes import ImageVolumeSource as ImageVolumeSource
from aimctl.kubetypes.k8s.volumes import ISCSIPersistentVolumeSource as ISCSIPersistentVolumeSource
from aimctl.kubetypes.k8s.volumes import ISCSIVolumeSource as ISCSIVolumeSource
from aimctl.kubetypes.k8s.volumes import KeyToPath as KeyToPath
from aimctl.kubetypes.k8s.volumes import LocalVolumeSource as LocalVolumeSource
from aimctl.kubetypes.k8s.volumes import ModifyVolumeStatus as ModifyVolumeStatus
from aimctl.kubetypes.k8s.volumes import NFSVolumeSource as NFSVolumeSource
from aimctl.kubetypes.k8s.volumes import NodeSelector as NodeSelector
from aimctl.kubetypes.k8s.volumes import NodeSelectorRequirement as NodeSelectorRequirement
from aimctl.kubetypes.k8s.volumes import NodeSelectorTerm as NodeSelectorTerm
from aimctl.kubetypes.k8s.volumes import ObjectFieldSelector as ObjectFieldSelector
from aimctl.kubetypes.k8s.volumes import PersistentVolume as PersistentVolume
from aimctl.kubetypes.k8s.volumes import PersistentVolumeClaim as PersistentVolumeClaim
from aimctl.kubetypes.k8s.volumes import PersistentVolumeClaimCondition as PersistentVolumeClaimCondition
from aimctl.kubetypes.k8s.volumes import PersistentVolumeClaimSpec as PersistentVolumeClaimSpec
from aimctl.kubetypes.k8s.volumes import PersistentVolumeClaimStatus as PersistentVolumeClaimStatus
from aimctl.kubetypes.k8s.volumes import PersistentVolumeClaimTemplate as PersistentVolumeClaimTemplate
from aimctl.kubetypes.k8s.volumes import (
    PersistentVolumeClaimVolumeSource as PersistentVolumeClaimVolumeSource,
)
from aimctl.kubetypes.k8s.volumes import PersistentVolumeSpec as PersistentVolumeSpec
from aimctl.kubetypes.k8s.volumes import PersistentVolumeStatus as PersistentVolumeStatus
from aimctl.kubetypes.k8s.volumes import PhotonPersistentDiskVolumeSource as PhotonPersistentDiskVolumeSource
from aimctl.kubetypes.k8s.volumes import PodCertificateProjection as PodCertificateProjection
from aimctl.kubetypes.k8s.volumes import PortworxVolumeSource as PortworxVolumeSource
from aimctl.kubetypes.k8s.volumes import ProjectedVolumeSource as ProjectedVolumeSource
from aimctl.kubetypes.k8s.volumes import QuobyteVolumeSource as QuobyteVolumeSource
from aimctl.kubetypes.k8s.volumes import RBDPersistentVolumeSource as RBDPersistentVolumeSource
from aimctl.kubetypes.k8s.volumes import RBDVolumeSource as RBDVolumeSource
from aimctl.kubetypes.k8s.volumes import ResourceFieldSelector as ResourceFieldSelector
from aimctl.kubetypes.k8s.volumes import ScaleIOPersistentVolumeSource as ScaleIOPersistentVolumeSource
from aimctl.kubetypes.k8s.volumes import ScaleIOVolumeSource as ScaleIOVolumeSource
from aimctl.kubetypes.k8s.volumes import SecretProjection as SecretProjection
from aimctl.kubetypes.k8s.volumes import SecretReference as SecretReference
from aimctl.kubetypes.k8s.volumes import SecretVolumeSource as SecretVolumeSource
from aimctl.kubetypes.k8s.volumes import ServiceAccountTokenProjection as ServiceAccountTokenProjection
from aimctl.kubetypes.k8s.volumes import StorageClass as StorageClass
from aimctl.kubetypes.k8s.volumes import StorageOSPersistentVolumeSource as StorageOSPersistentVolumeSource
from aimctl.kubetypes.k8s.volumes import StorageOSVolumeSource as StorageOSVolumeSource
from aimctl.kubetypes.k8s.volumes import TopologySelectorLabelRequirement as TopologySelectorLabelRequirement
from aimctl.kubetypes.k8s.volumes import TopologySelectorTerm as TopologySelectorTerm
from aimctl.kubetypes.k8s.volumes import TypedObjectReference as TypedObjectReference
from aimctl.kubetypes.k8s.volumes import Volume as Volume
from aimctl.kubetypes.k8s.volumes import VolumeNodeAffinity as VolumeNodeAffinity
from aimctl.kubetypes.k8s.volumes import VolumeProjection as VolumeProjection
from aimctl.kubetypes.k8s.volumes import VolumeResourceRequirements as VolumeResourceRequirements
from aimctl.kubetypes.k8s.volumes import VsphereVirtualDiskVolumeSource as VsphereVirtualDiskVolumeSource
from aimctl.kubetypes.k8s.workloads import ContainerResourceMetricSource as ContainerResourceMetricSource
from aimctl.kubetypes.k8s.workloads import ContainerResourceMetricStatus as ContainerResourceMetricStatus
from aimctl.kubetypes.k8s.workloads import CronJob as CronJob
from aimctl.kubetypes.k8s.workloads import CronJobSpec as CronJobSpec
from aimctl.kubetypes.k8s.workloads import CronJobStatus as CronJobStatus
from aimctl.kubetypes.k8s.workloads import CrossVersionObjectReference as CrossVersionObjectReference
from aimctl.kubetypes.k8s.workloads import DaemonSet as DaemonSet
from aimctl.kubetypes.k8s.workloads import DaemonSetCondition as DaemonSetCondition
from aimctl.kubetypes.k8s.workloads import DaemonSetSpec as DaemonSetSpec
from aimctl.kubetypes.k8s.workloads import DaemonSetStatus as DaemonSetStatus
from aimctl.kubetypes.k8s.workloads import DaemonSetUpdateStrategy as DaemonSetUpdateStrategy
from aimctl.kubetypes.k8s.workloads import Deployment as Deployment
from aimctl.kubetypes.k8s.workloads import DeploymentCondition as DeploymentCondition
from aimctl.kubetypes.k8s.workloads import DeploymentSpec as DeploymentSpec
from aimctl.kubetypes.k8s.workloads import DeploymentStatus as DeploymentStatus
from aimctl.kubetypes.k8s.workloads import DeploymentStrategy as DeploymentStrategy
from aimctl.kubetypes.k8s.workloads import ExternalMetricSource as ExternalMetricSource
from aimctl.kubetypes.k8s.workloads import ExternalMetricStatus as ExternalMetricStatus
from aimctl.kubetypes.k8s.workloads import HorizontalPodAutoscaler as HorizontalPodAutoscaler
from aimctl.kubetypes.k8s.workloads import HorizontalPodAutoscalerBehavior as HorizontalPodAutoscalerBehavior
from aimctl.kubetypes.k8s.workloads import (
    HorizontalPodAutoscalerCondition as HorizontalPodAutoscalerCondition,
)
from aimctl.kubetypes.k8s.workloads import HorizontalPodAutoscalerSpec as HorizontalPodAutoscalerSpec
from aimctl.kubetypes.k8s.workloads import HorizontalPodAutoscalerStatus as HorizontalPodAutoscalerStatus
from aimctl.kubetypes.k8s.workloads import HPAScalingPolicy as HPAScalingPolicy
from aimctl.kubetypes.k8s.workloads import HPAScalingRules as HPAScalingRules
from aimctl.kubetypes.k8s.workloads import Job as Job
from aimctl.kubetypes.k8s.workloads import JobCondition as JobCondition
from aimctl.kubetypes.k8s.workloads import JobSpec as JobSpec
from aimctl.kubetypes.k8s.workloads import JobStatus as JobStatus
from aimctl.kubetypes.k8s.workloads import JobTemplateSpec as JobTemplateSpec
from aimctl.kubetypes.k8s.workloads import MetricIdentifier as MetricIdentifier
from aimctl.kubetypes.k8s.workloads import MetricSpec as MetricSpec
from aimctl.kubetypes.k8s.workloads import MetricStatus as MetricStatus
from aimctl.kubetypes.k8s.workloads import MetricTarget as MetricTarget
from aimctl.kubetypes.k8s.workloads import MetricValueStatus as MetricValueStatus
from aimctl.kubetypes.k8s.workloads import ObjectMetricSource as ObjectMetricSource
from aimctl.kubetypes.k8s.workloads import ObjectMetricStatus as ObjectMetricStatus
from aimctl.kubetypes.k8s.workloads import PodDisruptionBudget as PodDisruptionBudget
from aimctl.kubetypes.k8s.workloads import PodDisruptionBudgetSpec as PodDisruptionBudgetSpec
from aimctl.kubetypes.k8s.workloads import PodDisruptionBudgetStatus as PodDisruptionBudgetStatus
from aimctl.kubetypes.k8s.workloads import PodFailurePolicy as PodFailurePolicy
from aimctl.kubetypes.k8s.workloads import (
    PodFailurePolicyOnExitCodesRequirement as PodFailurePolicyOnExitCodesRequirement,
)
from aimctl.kubetypes.k8s.workloads import (
    PodFailurePolicyOnPodConditionsPattern as PodFailurePolicyOnPodConditionsPattern,
)
from aimctl.kubetypes.k8s.workloads import PodFailurePolicyRule as PodFailurePolicyRule
from aimctl.kubetypes.k8s.workloads import PodsMetricSource as PodsMetricSource
from aimctl.kubetypes.k8s.workloads import PodsMetricStatus as PodsMetricStatus
from aimctl.kubetypes.k8s.workloads import ReplicaSet as ReplicaSet
from aimctl.kubetypes.k8s.workloads import ReplicaSetCondition as ReplicaSetCondition
from aimctl.kubetypes.k8s.workloads import ReplicaSetSpec as ReplicaSetSpec
from aimctl.kubetypes.k8s.workloads import ReplicaSetStatus as ReplicaSetStatus
from aimctl.kubetypes.k8s.workloads import ResourceMetricSource as ResourceMetricSource
from aimctl.kubetypes.k8s.workloads import ResourceMetricStatus as ResourceMetricStatus
from aimctl.kubetypes.k8s.workloads import RollingUpdateDaemonSet as RollingUpdateDaemonSet
from aimctl.kubetypes.k8s.workloads import RollingUpdateDeployment as RollingUpdateDeployment
from aimctl.kubetypes.k8s.workloads import (
    RollingUpdateStatefulSetStrategy as RollingUpdateStatefulSetStrategy,
)
from aimctl.kubetypes.k8s.workloads import StatefulSet as StatefulSet
from aimctl.kubetypes.k8s.workloads import StatefulSetCondition as StatefulSetCondition
from aimctl.kubetypes.k8s.workloads import StatefulSetOrdinals as StatefulSetOrdinals
from aimctl.kubetypes.k8s.workloads import (
    StatefulSetPersistentVolumeClaimRetentionPolicy as StatefulSetPersistentVolumeClaimRetentionPolicy,
)
from aimctl.kubetypes.k8s.workloads import StatefulSetSpec as StatefulSetSpec
from aimctl.kubetypes.k8s.workloads import StatefulSetStatus as StatefulSetStatus
from aimctl.kubetypes.k8s.workloads import StatefulSetUpdateStrategy as StatefulSetUpdateStrategy
from aimctl.kubetypes.k8s.workloads import SuccessPolicy as SuccessPolicy
from aimctl.kubetypes.k8s.workloads import SuccessPolicyRule as SuccessPolicyRule
from aimctl.kubetypes.k8s.workloads import UncountedTerminatedPods as UncountedTerminatedPods

__all__ = [
    "AWSElasticBlockStoreVolumeSource",
    "Affinity",
    "AggregationRule",
    "AppArmorProfile",
    "AttachedVolume",
    "AzureDiskVolumeSource",
    "AzureFilePersistentVolumeSource",
    "AzureFileVolumeSource",
    "CSIPersistentVolumeSource",
    "CSIVolumeSource",
    "Capabilities",
    "CephFSPersistentVolumeSource",
    "CephFSVolumeSource",
    "CinderPersistentVolumeSource",
    "CinderVolumeSource",
    "ClientIPConfig",
    "ClusterRole",
    "ClusterRoleBinding",
    "ClusterTrustBundleProjection",
    "Condition",
    "ConfigMap",
    "ConfigMapEnvSource",
    "ConfigMapKeySelector",
    "ConfigMapNodeConfigSource",
    "ConfigMapProjection",
    "ConfigMapVolumeSource",
    "Container",
    "ContainerExtendedResourceRequest",
    "ContainerImage",
    "ContainerPort",
    "ContainerResizePolicy",
    "ContainerResourceMetricSource",
    "ContainerResourceMetricStatus",
    "ContainerRestartRule",
    "ContainerRestartRuleOnExitCodes",
    "ContainerState",
    "ContainerStateRunning",
    "ContainerStateTerminated",
    "ContainerStateWaiting",
    "ContainerStatus",
    "ContainerUser",
    "CoreEvent",
    "CoreEventSeries",
    "CronJob",
    "CronJobSpec",
    "CronJobStatus",
    "CrossVersionObjectReference",
    "CustomResourceColumnDefinition",
    "CustomResourceConversion",
    "CustomResourceDefinition",
    "CustomResourceDefinitionCondition",
    "CustomResourceDefinitionNames",
    "CustomResourceDefinitionSpec",
    "CustomResourceDefinitionStatus",
    "CustomResourceDefinitionVersion",
    "CustomResourceSubresourceScale",
    "CustomResourceSubresources",
    "CustomResourceValidation",
    "DaemonEndpoint",
    "DaemonSet",
    "DaemonSetCondition",
    "DaemonSetSpec",
    "DaemonSetStatus",
    "DaemonSetUpdateStrategy",
    "Deployment",
    "DeploymentCondition",
    "DeploymentSpec",
    "DeploymentStatus",
    "DeploymentStrategy",
    "DownwardAPIProjection",
    "DownwardAPIVolumeFile",
    "DownwardAPIVolumeSource",
    "EmptyDirVolumeSource",
    "Endpoint",
    "EndpointConditions",
    "EndpointHints",
    "EndpointPort",
    "EndpointSlice",
    "EnvFromSource",
    "EnvVar",
    "EnvVarSource",
    "EphemeralContainer",
    "EphemeralVolumeSource",
    "Event",
    "EventSeries",
    "EventSource",
    "ExecAction",
    "ExternalDocumentation",
    "ExternalMetricSource",
    "ExternalMetricStatus",
    "FCVolumeSource",
    "FileKeySelector",
    "FlexPersistentVolumeSource",
    "FlexVolumeSource",
    "FlockerVolumeSource",
    "ForNode",
    "ForZone",
    "GCEPersistentDiskVolumeSource",
    "GRPCAction",
    "GitRepoVolumeSource",
    "GlusterfsPersistentVolumeSource",
    "GlusterfsVolumeSource",
    "HPAScalingPolicy",
    "HPAScalingRules",
    "HTTPGetAction",
    "HTTPHeader",
    "HTTPIngressPath",
    "HTTPIngressRuleValue",
    "HorizontalPodAutoscaler",
    "HorizontalPodAutoscalerBehavior",
    "HorizontalPodAutoscalerCondition",
    "HorizontalPodAutoscalerSpec",
    "HorizontalPodAutoscalerStatus",
    "HostAlias",
    "HostIP",
    "HostPathVolumeSource",
    "IPBlock",
    "ISCSIPersistentVolumeSource",
    "ISCSIVolumeSource",
    "ImageVolumeSource",
    "ImageVolumeStatus",
    "Ingress",
    "IngressBackend",
    "IngressLoadBalancerIngress",
    "IngressLoadBalancerStatus",
    "IngressPortStatus",
    "IngressRule",
    "IngressServiceBackend",
    "IngressSpec",
    "IngressStatus",
    "IngressTLS",
    "JSONSchemaProps",
    "Job",
    "JobCondition",
    "JobSpec",
    "JobStatus",
    "JobTemplateSpec",
    "KeyToPath",
    "LabelSelector",
    "LabelSelectorRequirement",
    "Lease",
    "LeaseSpec",
    "Lifecycle",
    "LifecycleHandler",
    "LimitRange",
    "LimitRangeItem",
    "LimitRangeSpec",
    "LinuxContainerUser",
    "LoadBalancerIngress",
    "LoadBalancerStatus",
    "LocalObjectReference",
    "LocalVolumeSource",
    "MetricIdentifier",
    "MetricSpec",
    "MetricStatus",
    "MetricTarget",
    "MetricValueStatus",
    "ModifyVolumeStatus",
    "NFSVolumeSource",
    "Namespace",
    "NamespaceCondition",
    "NamespaceSpec",
    "NamespaceStatus",
    "NetworkPolicy",
    "NetworkPolicyEgressRule",
    "NetworkPolicyIngressRule",
    "NetworkPolicyPeer",
    "NetworkPolicyPort",
    "NetworkPolicySpec",
    "Node",
    "NodeAddress",
    "NodeAffinity",
    "NodeAllocatableResourceClaimStatus",
    "NodeCondition",
    "NodeConfigSource",
    "NodeConfigStatus",
    "NodeDaemonEndpoints",
    "NodeFeatures",
    "NodeRuntimeHandler",
    "NodeRuntimeHandlerFeatures",
    "NodeSelector",
    "NodeSelectorRequirement",
    "NodeSelectorTerm",
    "NodeSpec",
    "NodeStatus",
    "NodeSwapStatus",
    "NodeSystemInfo",
    "ObjectFieldSelector",
    "ObjectMeta",
    "ObjectMetricSource",
    "ObjectMetricStatus",
    "ObjectReference",
    "OwnerReference",
    "PersistentVolume",
    "PersistentVolumeClaim",
    "PersistentVolumeClaimCondition",
    "PersistentVolumeClaimSpec",
    "PersistentVolumeClaimStatus",
    "PersistentVolumeClaimTemplate",
    "PersistentVolumeClaimVolumeSource",
    "PersistentVolumeSpec",
    "PersistentVolumeStatus",
    "PhotonPersistentDiskVolumeSource",
    "Pod",
    "PodAffinity",
    "PodAffinityTerm",
    "PodAntiAffinity",
    "PodCertificateProjection",
    "PodCondition",
    "PodDNSConfig",
    "PodDNSConfigOption",
    "PodDisruptionBudget",
    "PodDisruptionBudgetSpec",
    "PodDisruptionBudgetStatus",
    "PodExtendedResourceClaimStatus",
    "PodFailurePolicy",
    "PodFailurePolicyOnExitCodesRequirement",
    "PodFailurePolicyOnPodConditionsPattern",
    "PodFailurePolicyRule",
    "PodIP",
    "PodOS",
    "PodReadinessGate",
    "PodResourceClaim",
    "PodResourceClaimStatus",
    "PodSchedulingGate",
    "PodSchedulingGroup",
    "PodSecurityContext",
    "PodSpec",
    "PodStatus",
    "PodTemplateSpec",
    "PodsMetricSource",
    "PodsMetricStatus",
    "PolicyRule",
    "PortStatus",
    "PortworxVolumeSource",
    "PreferredSchedulingTerm",
    "PriorityClass",
    "Probe",
    "ProjectedVolumeSource",
    "QuobyteVolumeSource",
    "RBDPersistentVolumeSource",
    "RBDVolumeSource",
    "ReplicaSet",
    "ReplicaSetCondition",
    "ReplicaSetSpec",
    "ReplicaSetStatus",
    "ReplicationController",
    "ReplicationControllerCondition",
    "ReplicationControllerSpec",
    "ReplicationControllerStatus",
    "ResourceClaim",
    "ResourceFieldSelector",
    "ResourceHealth",
    "ResourceMetricSource",
    "ResourceMetricStatus",
    "ResourceQuota",
    "ResourceQuotaSpec",
    "ResourceQuotaStatus",
    "ResourceRequirements",
    "ResourceStatus",
    "Role",
    "RoleBinding",
    "RoleRef",
    "RollingUpdateDaemonSet",
    "RollingUpdateDeployment",
    "RollingUpdateStatefulSetStrategy",
    "SELinuxOptions",
    "ScaleIOPersistentVolumeSource",
    "ScaleIOVolumeSource",
    "ScopeSelector",
    "ScopedResourceSelectorRequirement",
    "SeccompProfile",
    "Secret",
    "SecretEnvSource",
    "SecretKeySelector",
    "SecretProjection",
    "SecretReference",
    "SecretVolumeSource",
    "SecurityContext",
    "SelectableField",
    "Service",
    "ServiceAccount",
    "ServiceAccountTokenProjection",
    "ServiceBackendPort",
    "ServicePort",
    "ServiceReference",
    "ServiceSpec",
    "ServiceStatus",
    "SessionAffinityConfig",
    "SleepAction",
    "StatefulSet",
    "StatefulSetCondition",
    "StatefulSetOrdinals",
    "StatefulSetPersistentVolumeClaimRetentionPolicy",
    "StatefulSetSpec",
    "StatefulSetStatus",
    "StatefulSetUpdateStrategy",
    "StorageClass",
    "StorageOSPersistentVolumeSource",
    "StorageOSVolumeSource",
    "Subject",
    "SuccessPolicy",
    "SuccessPolicyRule",
    "Sysctl",
    "TCPSocketAction",
    "Taint",
    "Toleration",
    "TopologySelectorLabelRequirement",
    "TopologySelectorTerm",
    "TopologySpreadConstraint",
    "TypedLocalObjectReference",
    "TypedObjectReference",
    "UncountedTerminatedPods",
    "ValidationRule",
    "Volume",
    "VolumeDevice",
    "VolumeMount",
    "VolumeMountStatus",
    "VolumeNodeAffinity",
    "VolumeProjection",
    "VolumeResourceRequirements",
    "VolumeStatus",
    "VsphereVirtualDiskVolumeSource",
    "WebhookClientConfig",
    "WebhookConversion",
    "WeightedPodAffinityTerm",
    "WindowsSecurityContextOptions",
]
