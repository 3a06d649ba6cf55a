// controller-runtime doing the work of the benchmark: one controller with ten workers.
//
// Usage: contender OBJECTS WRITES GENERATION SERVER [CA]. It prints {"phase": "sync", ...} when every object has been
// reconciled. After the line "go" on its standard input, every one of the first WRITES objects is reconciled and its
// status is written, unless it has the generation already; when that many later reconciles found nothing to do, it
// prints {"phase": "writes", ...}. It ends at the end of its input.
//
// In its favour: spec and status are kept as bytes and not decoded into types, leader election and the metrics server
// are off, and the client has no rate limit.
package main

import (
	"bufio"
	"context"
	"encoding/json"
	"fmt"
	"os"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"time"

	"github.com/go-logr/logr"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/rest"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/controller"
	"sigs.k8s.io/controller-runtime/pkg/event"
	"sigs.k8s.io/controller-runtime/pkg/handler"
	"sigs.k8s.io/controller-runtime/pkg/log"
	"sigs.k8s.io/controller-runtime/pkg/metrics/server"
	"sigs.k8s.io/controller-runtime/pkg/reconcile"
	"sigs.k8s.io/controller-runtime/pkg/source"
)

const workers = 10

// Template is an AIMServiceTemplate whose spec and status stay JSON.
type Template struct {
	metav1.TypeMeta   `json:",inline"`
	metav1.ObjectMeta `json:"metadata,omitempty"`
	Spec              json.RawMessage `json:"spec,omitempty"`
	Status            json.RawMessage `json:"status,omitempty"`
}

// DeepCopyObject implements runtime.Object. The bytes are never changed, so copies share them.
func (t *Template) DeepCopyObject() runtime.Object {
	copied := *t
	t.ObjectMeta.DeepCopyInto(&copied.ObjectMeta)
	return &copied
}

// TemplateList is a list of templates.
type TemplateList struct {
	metav1.TypeMeta `json:",inline"`
	metav1.ListMeta `json:"metadata,omitempty"`
	Items           []Template `json:"items"`
}

// DeepCopyObject implements runtime.Object.
func (l *TemplateList) DeepCopyObject() runtime.Object {
	copied := *l
	l.ListMeta.DeepCopyInto(&copied.ListMeta)
	copied.Items = make([]Template, len(l.Items))
	for i := range l.Items {
		copied.Items[i] = *(l.Items[i].DeepCopyObject().(*Template))
	}
	return &copied
}

type reading struct {
	cpu, wall float64
	rss       int64
}

func read() reading {
	var used syscall.Rusage
	must(syscall.Getrusage(syscall.RUSAGE_SELF, &used))
	seconds := func(v syscall.Timeval) float64 { return float64(v.Sec) + float64(v.Usec)/1e6 }
	return reading{
		cpu:  seconds(used.Utime) + seconds(used.Stime),
		wall: float64(time.Now().UnixNano()) / 1e9,
		rss:  status("VmRSS:"),
	}
}

func status(field string) int64 {
	text, err := os.ReadFile("/proc/self/status")
	must(err)
	for _, line := range strings.Split(string(text), "\n") {
		if strings.HasPrefix(line, field) {
			value, err := strconv.ParseInt(strings.Fields(line)[1], 10, 64)
			must(err)
			return value
		}
	}
	panic("/proc/self/status has no " + field)
}

func say(phase string, since reading) {
	now := read()
	fmt.Printf("{\"phase\": %q, \"cpu_seconds\": %f, \"wall_seconds\": %f, \"grown_kib\": %d, \"before_kib\": %d, "+
		"\"peak_kib\": %d, \"stall_ms\": 0}\n",
		phase, now.cpu-since.cpu, now.wall-since.wall, now.rss-since.rss, since.rss, status("VmHWM:"))
}

func must(err error) {
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

// counter is the reconciler.
type counter struct {
	client     client.Client
	generation string

	mutex   sync.Mutex
	left    int // of the sync
	writing bool
	writes  int
	begun   reading
}

func (c *counter) Reconcile(ctx context.Context, request ctrl.Request) (ctrl.Result, error) {
	c.mutex.Lock()
	writing := c.writing
	if c.left > 0 {
		c.left--
		if c.left == 0 {
			say("sync", c.begun)
		}
	}
	c.mutex.Unlock()
	if !writing {
		return ctrl.Result{}, nil
	}
	template := &Template{}
	if err := c.client.Get(ctx, request.NamespacedName, template); err != nil {
		return ctrl.Result{}, err
	}
	var found struct {
		ObservedGeneration json.Number `json:"observedGeneration"`
	}
	if err := json.Unmarshal(template.Status, &found); err != nil {
		return ctrl.Result{}, err
	}
	if found.ObservedGeneration.String() != c.generation {
		patch := []byte(`{"status":{"observedGeneration":` + c.generation + `}}`)
		return ctrl.Result{}, c.client.Status().Patch(ctx, template, client.RawPatch(types.MergePatchType, patch))
	}
	c.mutex.Lock()
	defer c.mutex.Unlock()
	c.writes--
	if c.writes == 0 {
		say("writes", c.begun)
	}
	return ctrl.Result{}, nil
}

func main() {
	log.SetLogger(logr.Discard())
	objects, err := strconv.Atoi(os.Args[1])
	must(err)
	writes, err := strconv.Atoi(os.Args[2])
	must(err)
	config := &rest.Config{Host: os.Args[4], QPS: -1}
	if len(os.Args) > 5 {
		config.TLSClientConfig.CAFile = os.Args[5]
	}
	scheme := runtime.NewScheme()
	version := schema.GroupVersion{Group: "aim.silogen.ai", Version: "v1alpha1"}
	scheme.AddKnownTypeWithName(version.WithKind("AIMServiceTemplate"), &Template{})
	scheme.AddKnownTypeWithName(version.WithKind("AIMServiceTemplateList"), &TemplateList{})
	metav1.AddToGroupVersion(scheme, version)
	manager, err := ctrl.NewManager(config, ctrl.Options{
		Scheme:  scheme,
		Metrics: server.Options{BindAddress: "0"},
	})
	must(err)
	reconciler := &counter{client: manager.GetClient(), generation: os.Args[3], left: objects, writes: writes}
	triggers := make(chan event.TypedGenericEvent[types.NamespacedName], 1024)
	enqueue := handler.TypedEnqueueRequestsFromMapFunc(
		func(_ context.Context, name types.NamespacedName) []reconcile.Request {
			return []reconcile.Request{{NamespacedName: name}}
		})
	must(ctrl.NewControllerManagedBy(manager).
		For(&Template{}).
		WatchesRawSource(source.TypedChannel(triggers, enqueue)).
		WithOptions(controller.Options{MaxConcurrentReconciles: workers}).
		Complete(reconciler))
	ctx, cancel := context.WithCancel(context.Background())
	go commands(ctx, cancel, manager, reconciler, triggers, writes)
	reconciler.begun = read()
	must(manager.Start(ctx))
}

// commands reads the standard input. The names are taken from the cache before the measurement begins.
func commands(
	ctx context.Context,
	cancel context.CancelFunc,
	manager ctrl.Manager,
	reconciler *counter,
	triggers chan<- event.TypedGenericEvent[types.NamespacedName],
	writes int,
) {
	defer cancel()
	lines := bufio.NewScanner(os.Stdin)
	for lines.Scan() {
		if lines.Text() != "go" {
			continue
		}
		list := &TemplateList{}
		must(manager.GetCache().List(ctx, list))
		names := make([]types.NamespacedName, 0, writes)
		for i := range list.Items[:writes] {
			names = append(names, client.ObjectKeyFromObject(&list.Items[i]))
		}
		list = nil
		reconciler.mutex.Lock()
		reconciler.writing = true
		reconciler.begun = read()
		reconciler.mutex.Unlock()
		for _, name := range names {
			triggers <- event.TypedGenericEvent[types.NamespacedName]{Object: name}
		}
	}
}
