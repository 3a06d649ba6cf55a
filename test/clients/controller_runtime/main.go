// An operator written with controller-runtime. Usage: operator NAMESPACE. The kubeconfig is taken from KUBECONFIG.
//
// Each Widget gets a ConfigMap, which it owns and which is applied on the server side, a status with a condition, an
// Event, and a finalizer. The size of all Widgets with the same size is read through an index of the cache. Replicas
// elect a leader. Every call is printed as a line: the words "leads", "reconciled NAME" and "finalized NAME".
package main

import (
	"context"
	"encoding/json"
	"fmt"
	"os"
	"time"

	"github.com/go-logr/logr"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
	clientgoscheme "k8s.io/client-go/kubernetes/scheme"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/builder"
	"sigs.k8s.io/controller-runtime/pkg/cache"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/controller/controllerutil"
	"sigs.k8s.io/controller-runtime/pkg/log"
	"sigs.k8s.io/controller-runtime/pkg/metrics/server"
	"sigs.k8s.io/controller-runtime/pkg/predicate"
)

const finalizer = "controllerruntime.tours.example.com/finalizer"

var version = schema.GroupVersion{Group: "controllerruntime.tours.example.com", Version: "v1"}

// WidgetSpec is the desired state.
type WidgetSpec struct {
	Size     string `json:"size"`
	Replicas *int32 `json:"replicas,omitempty"`
}

// WidgetStatus is the observed state.
type WidgetStatus struct {
	Phase      string             `json:"phase,omitempty"`
	Replicas   int32              `json:"replicas,omitempty"`
	SameSize   int                `json:"sameSize,omitempty"`
	Conditions []metav1.Condition `json:"conditions,omitempty"`
}

// Widget is the custom kind.
type Widget struct {
	metav1.TypeMeta   `json:",inline"`
	metav1.ObjectMeta `json:"metadata,omitempty"`
	Spec              WidgetSpec   `json:"spec"`
	Status            WidgetStatus `json:"status,omitempty"`
}

// DeepCopyObject implements runtime.Object.
func (w *Widget) DeepCopyObject() runtime.Object {
	copied := *w
	w.ObjectMeta.DeepCopyInto(&copied.ObjectMeta)
	if w.Spec.Replicas != nil {
		replicas := *w.Spec.Replicas
		copied.Spec.Replicas = &replicas
	}
	copied.Status.Conditions = append([]metav1.Condition(nil), w.Status.Conditions...)
	return &copied
}

// WidgetList is a list of Widgets.
type WidgetList struct {
	metav1.TypeMeta `json:",inline"`
	metav1.ListMeta `json:"metadata,omitempty"`
	Items           []Widget `json:"items"`
}

// DeepCopyObject implements runtime.Object.
func (l *WidgetList) DeepCopyObject() runtime.Object {
	copied := *l
	l.ListMeta.DeepCopyInto(&copied.ListMeta)
	copied.Items = make([]Widget, len(l.Items))
	for i := range l.Items {
		copied.Items[i] = *(l.Items[i].DeepCopyObject().(*Widget))
	}
	return &copied
}

func must(err error) {
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

type reconciler struct {
	client.Client
	manager ctrl.Manager
}

func (r *reconciler) Reconcile(ctx context.Context, request ctrl.Request) (ctrl.Result, error) {
	widget := &Widget{}
	if err := r.Get(ctx, request.NamespacedName, widget); err != nil {
		return ctrl.Result{}, client.IgnoreNotFound(err)
	}
	if !widget.DeletionTimestamp.IsZero() {
		if controllerutil.RemoveFinalizer(widget, finalizer) {
			if err := r.Update(ctx, widget); err != nil {
				return ctrl.Result{}, err
			}
			fmt.Println("finalized", widget.Name)
		}
		return ctrl.Result{}, nil
	}
	before := widget.DeepCopyObject().(*Widget)
	if controllerutil.AddFinalizer(widget, finalizer) {
		if err := r.Patch(ctx, widget, client.MergeFromWithOptions(before, client.MergeFromWithOptimisticLock{})); err != nil {
			return ctrl.Result{}, err
		}
	}
	config := &corev1.ConfigMap{ObjectMeta: metav1.ObjectMeta{Name: widget.Name, Namespace: widget.Namespace}}
	result, err := controllerutil.CreateOrUpdate(ctx, r.Client, config, func() error {
		config.Data = map[string]string{"size": widget.Spec.Size}
		return controllerutil.SetControllerReference(widget, config, r.Scheme())
	})
	if err != nil {
		return ctrl.Result{}, err
	}
	applied, err := json.Marshal(map[string]any{
		"apiVersion": "v1", "kind": "ConfigMap", "metadata": map[string]any{"labels": map[string]string{"size": widget.Spec.Size}},
	})
	must(err)
	owner := client.FieldOwner("tour-labels")
	if err := r.Patch(ctx, config, client.RawPatch("application/apply-patch+yaml", applied), owner, client.ForceOwnership); err != nil {
		return ctrl.Result{}, err
	}
	if result == controllerutil.OperationResultCreated {
		r.manager.GetEventRecorder("tour").Eventf(widget, nil, corev1.EventTypeNormal, "Created", "Create", "made %s", config.Name)
	}
	same := &WidgetList{}
	if err := r.List(ctx, same, client.InNamespace(widget.Namespace), client.MatchingFields{"spec.size": widget.Spec.Size}); err != nil {
		return ctrl.Result{}, err
	}
	widget.Status.Phase, widget.Status.SameSize, widget.Status.Replicas = "Ready", len(same.Items), *widget.Spec.Replicas
	meta.SetStatusCondition(&widget.Status.Conditions, metav1.Condition{
		Type: "Ready", Status: metav1.ConditionTrue, Reason: "Made", ObservedGeneration: widget.Generation,
	})
	if err := r.Status().Update(ctx, widget); err != nil {
		if apierrors.IsConflict(err) {
			return ctrl.Result{RequeueAfter: 10 * time.Millisecond}, nil
		}
		return ctrl.Result{}, err
	}
	fmt.Println("reconciled", widget.Name)
	return ctrl.Result{}, nil
}

func main() {
	log.SetLogger(logr.Discard())
	namespace := os.Args[1]
	config, err := ctrl.GetConfig()
	must(err)
	scheme := runtime.NewScheme()
	must(clientgoscheme.AddToScheme(scheme))
	scheme.AddKnownTypeWithName(version.WithKind("Widget"), &Widget{})
	scheme.AddKnownTypeWithName(version.WithKind("WidgetList"), &WidgetList{})
	metav1.AddToGroupVersion(scheme, version)
	lease, renew, retry := 4*time.Second, 2*time.Second, 500*time.Millisecond
	manager, err := ctrl.NewManager(config, ctrl.Options{
		Scheme:                        scheme,
		Metrics:                       server.Options{BindAddress: "0"},
		Cache:                         cache.Options{DefaultNamespaces: map[string]cache.Config{namespace: {}}},
		LeaderElection:                true,
		LeaderElectionID:              "tour",
		LeaderElectionNamespace:       namespace,
		LeaderElectionReleaseOnCancel: true,
		LeaseDuration:                 &lease,
		RenewDeadline:                 &renew,
		RetryPeriod:                   &retry,
	})
	must(err)
	ctx := ctrl.SetupSignalHandler()
	must(manager.GetFieldIndexer().IndexField(ctx, &Widget{}, "spec.size", func(object client.Object) []string {
		return []string{object.(*Widget).Spec.Size}
	}))
	must(ctrl.NewControllerManagedBy(manager).
		For(&Widget{}, builder.WithPredicates(predicate.GenerationChangedPredicate{})).
		Owns(&corev1.ConfigMap{}).
		Complete(&reconciler{Client: manager.GetClient(), manager: manager}))
	go func() {
		<-manager.Elected()
		fmt.Println("leads")
	}()
	must(manager.Start(ctx))
}
