import { constants } from "node:os";
import type { Errno, Fault } from "./injector.ts";
import { nameOf, optional, otherErrno } from "./optional.ts";
import type { Optional } from "./optional.ts";
import { failureOf, MONITOR } from "./scene.ts";
import type { Outcome } from "./scene.ts";
import type { NativeFailure } from "../../../src/runtime/formats.ts";

/** What is wrong with what a fault has led to; empty: nothing. */
export function complaints(fault: Fault, outcome: Outcome, undisturbed: Outcome): readonly string[] {
  const { report } = outcome;
  if (report.failed.length === 0) return [];
  const general = [
    ...(report.complete ? [] : ["the injector did not come to its end"]),
    ...(report.overLimit ? ["it hangs"] : []),
    ...(takenOver(fault, outcome) ? [] : report.left.map((process) => `a process is left: ${process}`)),
    ...outcome.remains.map((thing) => `it is left: ${thing}`),
  ];
  const failure = failureOf(outcome);
  if (failure !== undefined) return [...general, ...failedStart(fault, outcome)];
  const refusal = refusalOf(outcome);
  // Said to who asked, with the error that it was, and without harm to the container: nothing else is asked of it.
  const said: Optional | undefined = refusal !== undefined && (refusal.errno === constants.errno[fault.error] || otherErrno.some((each) => each.calls.test(nameOf(fault)))) && refusal.stage !== "" && refusal.message !== "" ? { calls: /^/, why: "it is said", answers: /./ } : undefined;
  const rule = said ?? optional.find((each) => each.calls.test(nameOf(fault)));
  if (rule === undefined) return [...general, outcome.status === undefined ? "nobody was told whether it started" : `it goes on as if nothing had been (answer: ${JSON.stringify(outcome.answers ?? "none")}), and no rule says that this may be`];
  return [...general, ...differences(rule, outcome, undisturbed)];
}

/** Its monitor has died of it, and another one was started: what the injector found left is that one's by then. */
function takenOver(fault: Fault, outcome: Outcome): boolean {
  return outcome.died && optional.find((each) => each.calls.test(nameOf(fault)))?.ends?.includes("killed") === true;
}

function refusalOf({ answers }: Outcome): NativeFailure | undefined {
  const refused = (answers as { refused?: unknown } | undefined)?.refused;
  return typeof refused === "object" && refused !== null ? (refused as NativeFailure) : undefined;
}

function failedStart(fault: Fault, outcome: Outcome): readonly string[] {
  const found: string[] = [];
  const failure = failureOf(outcome);
  if (failure === undefined) return found;
  const wanted = constants.errno[fault.error];
  if (failure.stage === "" || failure.message === "") found.push("the failure says not what or where");
  if (failure.errno !== wanted && !otherErrno.some((each) => each.calls.test(nameOf(fault)))) found.push(`errno ${errnoName(failure.errno)} instead of ${fault.error}: ${failure.stage}: ${failure.message}`);
  if (outcome.files.includes("monitor.sock")) found.push("monitor.sock stays");
  // Before the monitor has read its task there is no record to write: whoever asked is told on the descriptor.
  const early = /^(protect|start monitor|open container|open events\.log|lock container|event loop|descriptor flags|read file|find process)$/.test(failure.stage);
  if (outcome.state === undefined) {
    if (!early) found.push(`no record of the failure at ${failure.stage}`);
    return found;
  }
  if (outcome.state.status !== "exited" || outcome.state.exitCode === 0 || outcome.state.endedBy !== "start-failure") found.push(`recorded as ${outcome.state.status}, ${outcome.state.exitCode}, ${outcome.state.endedBy}`);
  if (outcome.state.error?.errno !== failure.errno || outcome.state.error.stage !== failure.stage) found.push("the record says otherwise than the starter was told");
  if (!outcome.events.includes("start-failed")) found.push("no event start-failed");
  return found;
}

function differences(rule: Optional, outcome: Outcome, undisturbed: Outcome): readonly string[] {
  const found: string[] = [];
  if (outcome.status === undefined && rule.ends?.includes("unrecorded") !== true) found.push("nobody was told whether it started");
  if (outcome.died && rule.ends?.includes("killed") === true) return outcome.state?.status === "exited" ? [] : ["another monitor does not bring it to its end"];
  const end = `${outcome.state?.status ?? "nothing"} ${outcome.state?.exitCode ?? ""} ${outcome.state?.endedBy ?? ""}`;
  if (rule.end?.test(end) === true) return found;
  if (outcome.state?.status !== "exited" || outcome.state.exitCode !== undisturbed.state?.exitCode || outcome.state.endedBy !== undisturbed.state.endedBy)
    found.push(`recorded as ${outcome.state?.status ?? "nothing"}, ${outcome.state?.exitCode ?? ""}, ${outcome.state?.endedBy ?? ""}`);
  for (const line of changed(undisturbed.facts.split("\n"), outcome.facts.split("\n"))) if (rule.facts?.test(line.slice(1)) !== true) found.push(`the container says ${line}`);
  for (const line of changed(undisturbed.events, outcome.events)) if (rule.events?.includes(line.slice(1)) !== true) found.push(`events: ${line}`);
  for (const line of changed(undisturbed.files, outcome.files)) if (rule.files?.test(line.slice(1)) !== true) found.push(`files: ${line}`);
  const answered = JSON.stringify(outcome.answers);
  if (answered !== JSON.stringify(undisturbed.answers) && rule.answers?.test(answered) !== true) found.push(`answered ${JSON.stringify(outcome.answers)}`);
  const status = outcome.report.gone.get(MONITOR);
  if (status !== "0") found.push(`the monitor ended with ${status ?? "nothing"}`);
  return found;
}

/** `-line` is missing, `+line` is new; each as often as it is so. */
function changed(before: readonly string[], after: readonly string[]): readonly string[] {
  const left = [...after];
  const missing = before.filter((line) => {
    const at = left.indexOf(line);
    if (at >= 0) left.splice(at, 1);
    return at < 0;
  });
  return [...missing.map((line) => `-${line}`), ...left.map((line) => `+${line}`)];
}

function errnoName(number: number): string {
  return (Object.keys(constants.errno) as Errno[]).find((name) => constants.errno[name] === number) ?? String(number);
}
