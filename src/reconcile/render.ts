import type { Operation, Plan } from "./plan.ts";

/**
 * A plan as text: one line for each operation with its position, cause and what it waits for.
 *
 *     0 create-network shop_default      (no existing network)
 *     1 create-container shop-web-1      (no existing container)  after 0
 */
export function renderPlan(plan: Plan): string {
  const lines = plan.operations.map((operation, index) => renderOperation(operation, index, plan));
  return [
    ...lines,
    ...plan.warnings.map((warning) => `warning: ${warning.message}`),
    ...plan.questions.map((question) => `question: ${question.message}`),
  ].join("\n");
}

function renderOperation(operation: Operation, index: number, plan: Plan): string {
  const width = String(plan.operations.length - 1).length;
  const label = Math.max(...plan.operations.map((other) => other.id.length + detail(other).length));
  const what = `${operation.id}${detail(operation)}`.padEnd(label);
  const after = operation.after.length === 0 ? "" : `  after ${operation.after.join(", ")}`;
  return `${String(index).padStart(width)} ${what}  (${operation.cause})${after}`.trimEnd();
}

function detail(operation: Operation): string {
  switch (operation.kind) {
    case "ensure-image":
      return ` ${operation.policy}`;
    case "remove-container":
      return operation.removeAnonymousVolumes ? " with anonymous volumes" : "";
    case "wait":
      return operation.required ? "" : " (optional)";
    case "create-container":
      return operation.renewAnonymousVolumes ? " with new anonymous volumes" : "";
    default:
      return "";
  }
}
