// A tour of the JavaScript client: node javascript_tour.mjs KUBECONFIG NAMESPACE. Prints one step per line as JSON.
import * as k8s from "@kubernetes/client-node";

const [kubeconfig, namespace] = process.argv.slice(2);
const config = new k8s.KubeConfig();
config.loadFromFile(kubeconfig);
const core = config.makeApiClient(k8s.CoreV1Api);
const note = (name, outcome) => console.log(JSON.stringify([name, outcome]));
const refused = async (promise) => {
  try {
    await promise;
  } catch (error) {
    return [error.code, JSON.parse(error.body).message];
  }
  throw new Error("the request was accepted");
};

const body = { metadata: { name: "a", labels: { tour: "js" } }, data: { x: "1" } };
const created = await core.createNamespacedConfigMap({ namespace, body });
note("create", created.data);
note("create again", await refused(core.createNamespacedConfigMap({ namespace, body })));
const listed = await core.listNamespacedConfigMap({ namespace, labelSelector: "tour=js" });
note("list", listed.items.map((item) => item.metadata.name));

const events = [];
const watch = new k8s.Watch(config);
await new Promise((resolve, reject) => {
  let request;
  watch
    .watch(
      `/api/v1/namespaces/${namespace}/configmaps`,
      { labelSelector: "tour=js", resourceVersion: listed.metadata.resourceVersion },
      (type, object) => {
        events.push([type, object.data]);
        if (type === "DELETED") {
          request.abort();
          resolve();
        }
      },
      (error) => (events.length < 2 ? reject(error) : resolve()),
    )
    .then(async (opened) => {
      request = opened;
      const changed = { ...created, data: { x: "2" } };
      await core.replaceNamespacedConfigMap({ name: "a", namespace, body: changed });
      note("conflict", (await refused(core.replaceNamespacedConfigMap({ name: "a", namespace, body: created })))[0]);
      await core.deleteNamespacedConfigMap({ name: "a", namespace });
    })
    .catch(reject);
});
note("watch", events);
note("missing", await refused(core.readNamespacedConfigMap({ name: "a", namespace })));
const pods = await config.makeApiClient(k8s.CustomObjectsApi).listNamespacedCustomObject({
  group: "batch",
  version: "v1",
  namespace,
  plural: "jobs",
});
note("list by name", [pods.kind, pods.items]);
