// Validates KEDA's and the Prometheus operator's resources against their schemas.
// node deploy/checks/check.mjs FILE...   exits 1 when one is wrong, or of no known kind. Kubernetes'
// own resources are left to kubernetes-validate.
import { readFileSync } from "node:fs";
import { parseAllDocuments } from "yaml";
import { ScaledObject } from "@kubernetes-models/keda/keda.sh/v1alpha1/ScaledObject";
import { TriggerAuthentication } from "@kubernetes-models/keda/keda.sh/v1alpha1/TriggerAuthentication";
import { PrometheusRule } from "@kubernetes-models/prometheus-operator/monitoring.coreos.com/v1/PrometheusRule";
import { ServiceMonitor } from "@kubernetes-models/prometheus-operator/monitoring.coreos.com/v1/ServiceMonitor";

const KINDS = { PrometheusRule, ScaledObject, ServiceMonitor, TriggerAuthentication };
const OF_KUBERNETES = /^(v1|apps\/v1|autoscaling\/v2|networking\.k8s\.io\/v1|policy\/v1)$/;
let faults = 0;

for (const file of process.argv.slice(2)) {
  for (const document of parseAllDocuments(readFileSync(file, "utf8"))) {
    const { apiVersion, kind, ...content } = document.toJS();
    if (OF_KUBERNETES.test(apiVersion)) continue;
    const Kind = KINDS[kind];
    try {
      if (!Kind || Kind.apiVersion !== apiVersion) throw new Error(`unknown: ${apiVersion} ${kind}`);
      new Kind(content).validate();
      console.log(`${file}: ${kind} ${content.metadata.name} is valid`);
    } catch (error) {
      faults += 1;
      console.error(`${file}: ${error.message}`);
    }
  }
}
process.exit(faults ? 1 : 0);
